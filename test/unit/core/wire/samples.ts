/** One message of each kind (some in more than one form) beside the frame that PROTOCOL.md makes of it. */
import type { VolumeConfig } from '../../../../core/config.ts';
import { ExtentSet } from '../../../../core/extent.ts';
import { instanceId, replicaId, snapshotUid, volumeUid } from '../../../../core/ids.ts';
import { type FromReplica, LOG_ONLY, type Seal, type ToReplica } from '../../../../core/wire/messages.ts';
import { allocationEntry, buildFrame, levelEntry, u32s } from './builder.ts';

export type Sample<Sent> = { readonly message: Sent; readonly frame: Buffer };

export const SESSION = { epoch: 5, instance: instanceId('fedcba9876543210') };

export const CONFIG: VolumeConfig = {
  uid: volumeUid('5f0e1b8c-31a2-4f0e-9d5c-7f6f4a1f2b3c'),
  name: 'pgdata',
  sizeBytes: 10 * 1024 ** 3,
  minInSync: 2,
  epoch: 5,
  version: 17,
  primary: { node: 'node-a', instance: SESSION.instance, mode: 'serve' },
  shards: [
    {
      members: [
        { replica: replicaId('00000000000000aa'), node: 'node-a', pool: 'fast' },
        { replica: replicaId('00000000000000bb'), node: 'node-b', pool: 'fast', leaving: true },
        { replica: replicaId('00000000000000cc'), node: 'node-c', pool: 'slow', leftAt: 12 },
      ],
      inSync: [replicaId('00000000000000aa'), replicaId('00000000000000bb')],
    },
  ],
};

export const SEAL: Seal = { type: 'seal', volume: CONFIG.uid, replica: replicaId('00000000000000bb'), ...SESSION, config: CONFIG };

export const SEAL_BODY =
  '{"volume":"5f0e1b8c-31a2-4f0e-9d5c-7f6f4a1f2b3c","replica":"00000000000000bb","config":{"uid":"5f0e1b8c-31a2-4f0e-9d5c-7f6f4a1f2b3c",' +
  '"name":"pgdata","sizeBytes":10737418240,"minInSync":2,"epoch":5,"version":17,"primary":{"node":"node-a","instance":"fedcba9876543210",' +
  '"mode":"serve"},"shards":[{"members":[{"replica":"00000000000000aa","node":"node-a","pool":"fast"},{"replica":"00000000000000bb",' +
  '"node":"node-b","pool":"fast","leaving":true},{"replica":"00000000000000cc","node":"node-c","pool":"slow","leftAt":12}],' +
  '"inSync":["00000000000000aa","00000000000000bb"]}]}}';

/** Bytes that differ from place to place. */
export function pattern(lengthBytes: number, seed = 1): Buffer {
  return Buffer.from(Array.from({ length: lengthBytes }, (_, index) => (index * 31 + (index >> 8) * 7 + seed) & 255));
}

export const SEAL_SAMPLE: Sample<ToReplica> = { message: SEAL, frame: buildFrame({ type: 1, body: Buffer.from(SEAL_BODY) }) };

/** Each of them behind a Seal. */
export const TO_REPLICA: readonly Sample<ToReplica>[] = [
  {
    message: {
      type: 'write',
      sequence: 41,
      settled: 40,
      version: 17,
      offsetBytes: 2 ** 40 + 4096,
      lengthBytes: 300,
      chunks: [pattern(300).subarray(0, 100), pattern(300).subarray(100, 299), pattern(300).subarray(299)],
    },
    frame: buildFrame({
      type: 2,
      number: 41n,
      settled: 40n,
      argument: 17n,
      offset: 2n ** 40n + 4096n,
      length: 300n,
      body: pattern(300),
    }),
  },
  {
    message: { type: 'zero', sequence: 42, settled: 40, version: 17, offsetBytes: 0, lengthBytes: 1024 ** 3, free: true },
    frame: buildFrame({ type: 3, flags: 1, number: 42n, settled: 40n, argument: 17n, length: 1024n ** 3n }),
  },
  {
    message: { type: 'zero', sequence: 43, settled: 42, version: 17, offsetBytes: 4096, lengthBytes: 1, free: false },
    frame: buildFrame({ type: 3, number: 43n, settled: 42n, argument: 17n, offset: 4096n, length: 1n }),
  },
  {
    message: { type: 'restamp', sequence: 44, settled: 42, version: 18, extents: [0, 7, 2 ** 32 - 1] },
    frame: buildFrame({ type: 4, number: 44n, settled: 42n, argument: 18n, length: 3n, body: u32s(0, 7, 2 ** 32 - 1) }),
  },
  {
    message: { type: 'restamp', sequence: 45, settled: 42, version: 18, extents: [] },
    frame: buildFrame({ type: 4, number: 45n, settled: 42n, argument: 18n }),
  },
  {
    message: { type: 'read', id: 2 ** 53 - 1, offsetBytes: 2 ** 52, lengthBytes: 32 * 1024 * 1024 },
    frame: buildFrame({ type: 5, number: 2n ** 53n - 1n, offset: 2n ** 52n, length: 32n * 1024n * 1024n }),
  },
  { message: { type: 'flush', id: 3 }, frame: buildFrame({ type: 6, number: 3n }) },
  { message: { type: 'digest', id: 4, extent: 12, stampOnly: false }, frame: buildFrame({ type: 7, number: 4n, offset: 12n }) },
  { message: { type: 'digest', id: 5, extent: 12, stampOnly: true }, frame: buildFrame({ type: 7, flags: 1, number: 5n, offset: 12n }) },
  {
    message: {
      type: 'level',
      id: 5,
      extent: 2 ** 32 - 1,
      stamp: 16,
      runs: [
        { block: 0, blocks: 1, data: [pattern(4096).subarray(0, 1000), pattern(4096).subarray(1000)] },
        { block: 1, blocks: 100, data: null },
        { block: 255, blocks: 1, data: [pattern(17, 9)] },
      ],
    },
    frame: buildFrame({
      type: 8,
      number: 5n,
      offset: 2n ** 32n - 1n,
      length: 3n,
      argument: 16n,
      body: Buffer.concat([levelEntry(0, 1, 4096), levelEntry(1, 100, 0), levelEntry(255, 1, 17), pattern(4096), pattern(17, 9)]),
    }),
  },
  {
    message: { type: 'level', id: 6, extent: 0, stamp: 3, runs: [] },
    frame: buildFrame({ type: 8, number: 6n, argument: 3n }),
  },
  { message: { type: 'changed', id: 7, since: LOG_ONLY }, frame: buildFrame({ type: 9, number: 7n, argument: 2n ** 53n - 1n }) },
  {
    message: { type: 'allocation', id: 8, offsetBytes: 4096, lengthBytes: 2 ** 42 },
    frame: buildFrame({ type: 10, number: 8n, offset: 4096n, length: 2n ** 42n }),
  },
  {
    message: { type: 'ping', id: 9, settled: 45, leaseMs: 2000, mayClean: true },
    frame: buildFrame({ type: 11, flags: 1, number: 9n, settled: 45n, argument: 2000n }),
  },
  {
    message: { type: 'ping', id: 10, settled: 45, leaseMs: 2000, mayClean: false },
    frame: buildFrame({ type: 11, number: 10n, settled: 45n, argument: 2000n }),
  },
  { message: { type: 'release' }, frame: buildFrame({ type: 12 }) },
  {
    message: { type: 'resize', id: 11, sizeBytes: 2 ** 40 },
    frame: buildFrame({ type: 13, number: 11n, length: 2n ** 40n }),
  },
  {
    message: { type: 'progress', id: 12, since: 12, version: 17, below: 2 ** 31 },
    frame: buildFrame({ type: 14, number: 12n, length: 12n, argument: 17n, offset: 2n ** 31n }),
  },
  {
    message: { type: 'summary', id: 13, extent: 128, extents: 64 },
    frame: buildFrame({ type: 15, number: 13n, offset: 128n, length: 64n }),
  },
  {
    message: { type: 'snapshot', id: 14, snapshot: snapshotUid('9d0c-e1'), attempt: 2 },
    frame: buildFrame({ type: 16, number: 14n, argument: 2n, body: Buffer.from('{"snapshot":"9d0c-e1"}') }),
  },
];

const extentSet = (extents: number, ...members: number[]): ExtentSet => {
  const set = new ExtentSet(extents);
  for (const member of members) set.add(member);
  return set;
};

export const SEALED: Sample<FromReplica> = {
  message: {
    type: 'sealed',
    suspect: true,
    sizeBytes: 10 * 1024 ** 3,
    leaseRemainingMs: 1999,
    resync: { since: 12, version: 17, below: 9 },
  },
  frame: buildFrame({
    type: 65,
    body: Buffer.from('{"suspect":true,"sizeBytes":10737418240,"leaseRemainingMs":1999,"resync":{"since":12,"version":17,"below":9}}'),
  }),
};

/** Each of them behind a Sealed. */
export const FROM_REPLICA: readonly Sample<FromReplica>[] = [
  { message: { type: 'applied', sequence: 44 }, frame: buildFrame({ type: 67, number: 44n }) },
  {
    message: { type: 'data', id: 3, chunks: [pattern(5000).subarray(0, 1), pattern(5000).subarray(1)], lengthBytes: 5000 },
    frame: buildFrame({ type: 68, number: 3n, length: 5000n, body: pattern(5000) }),
  },
  { message: { type: 'done', id: 4 }, frame: buildFrame({ type: 69, number: 4n }) },
  {
    message: { type: 'digests', id: 5, stamp: 16, digests: pattern(48) },
    frame: buildFrame({ type: 70, number: 5n, argument: 16n, body: pattern(48) }),
  },
  {
    message: { type: 'digests', id: 6, stamp: 0, digests: null },
    frame: buildFrame({ type: 70, flags: 1, number: 6n }),
  },
  {
    message: { type: 'changedSet', id: 7, extents: extentSet(19, 0, 9, 18) },
    frame: buildFrame({ type: 71, number: 7n, length: 19n, body: Buffer.from([0b00000001, 0b00000010, 0b00000100]) }),
  },
  { message: { type: 'changedSet', id: 8, extents: extentSet(0) }, frame: buildFrame({ type: 71, number: 8n }) },
  {
    message: {
      type: 'allocationMap',
      id: 9,
      runs: [
        { lengthBytes: 4096, hole: false },
        { lengthBytes: 2 ** 42, hole: true },
      ],
    },
    frame: buildFrame({
      type: 72,
      number: 9n,
      length: 2n,
      body: Buffer.concat([allocationEntry(4096n, 0), allocationEntry(2n ** 42n, 1)]),
    }),
  },
  { message: { type: 'pong', id: 10 }, frame: buildFrame({ type: 73, number: 10n }) },
  {
    message: { type: 'summaryDigest', id: 11, digest: pattern(16) },
    frame: buildFrame({ type: 75, number: 11n, body: pattern(16) }),
  },
  {
    message: { type: 'unable', id: 12, message: 'no space' },
    frame: buildFrame({ type: 76, number: 12n, body: Buffer.from('{"message":"no space"}') }),
  },
];

/** The last message of a session. */
export const LAST: readonly Sample<FromReplica>[] = [
  {
    message: { type: 'refused', code: 'fenced', message: 'epoch 6 is promised, not 5', promisedEpoch: 6, seenVersion: 18 },
    frame: buildFrame({
      type: 66,
      body: Buffer.from('{"code":"fenced","message":"epoch 6 is promised, not 5","promisedEpoch":6,"seenVersion":18}'),
    }),
  },
  {
    message: { type: 'failed', message: 'fdatasync: E/A-Fehler \u{1f4a5}' },
    frame: buildFrame({ type: 74, body: Buffer.from('{"message":"fdatasync: E/A-Fehler \u{1f4a5}"}') }),
  },
];
