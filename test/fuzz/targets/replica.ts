/**
 * A replica, its files, and whatever a peer with a certificate may send it: the bytes go through the decoder into a real session over real file formats on a
 * simulated disk. Must hold: nothing is thrown; what breaks a rule ends the session, by name, and fails no replica; nothing changes in the data but what a
 * message that was taken asked for, and there it is what one of them wrote; what is found after a restart is the same.
 */

import { crc32 } from 'node:zlib';
import { Replica } from '../../../agent/replica/replica.ts';
import { REPLICA_BYTES_MAX } from '../../../agent/replica/store/meta.ts';
import type { FileReplicaStore } from '../../../agent/replica/store/store.ts';
import type { ReplicaSession } from '../../../agent/replication/link.ts';
import { assert as must } from '../../../core/assert.ts';
import { snapshotUid } from '../../../core/ids.ts';
import { decoderToReplica } from '../../../core/wire/decode.ts';
import { Encoder } from '../../../core/wire/encode.ts';
import { HEADER, HEADER_BYTES } from '../../../core/wire/layout.ts';
import { type FromReplica, LOG_ONLY, type Seal, type ToReplica } from '../../../core/wire/messages.ts';
import { instance } from '../../support/replicaBench.ts';
import { create, MIB, open, REPLICA, tryOpen, VOLUME } from '../../support/replicaFiles.ts';
import type { SeededRandom } from '../../support/seededRandom.ts';
import { SimulatedDisk } from '../../support/simulatedDisk.ts';
import type { Target } from '../engine.ts';
import { Choices, cutUp, type Input } from '../input.ts';
import type { Field } from '../mutate.ts';
import { Shadow } from '../shadow.ts';

/** The last extent is a short one. */
const SIZE_BYTES = 2 * MIB - 16 * 4096;
const RESIZE_BYTES_MAX = 1024 * MIB;
const EPOCH = 3;
/** Of one session's answers, whatever it is asked. */
const ANSWER_BYTES_MAX = 256 * MIB;

export const SEAL: Seal = {
  type: 'seal',
  volume: VOLUME,
  replica: REPLICA,
  epoch: EPOCH,
  instance: instance(1),
  config: {
    uid: VOLUME,
    name: 'pgdata',
    sizeBytes: SIZE_BYTES,
    minInSync: 1,
    epoch: EPOCH,
    version: 7,
    primary: { node: 'node-a', instance: instance(1), mode: 'serve' },
    shards: [{ members: [{ replica: REPLICA, node: 'node-a', pool: 'pool' }], inSync: [REPLICA] }],
  },
};

/** With a new replica: made once, every run begins with a twin. */
let fresh: SimulatedDisk | null = null;

function newDisk(): SimulatedDisk {
  const disk = new SimulatedDisk();
  create(disk, SIZE_BYTES);
  return disk;
}

/** One process's life with the replica, and its primary's with the session. */
class Rig {
  readonly disk: SimulatedDisk;
  readonly store: FileReplicaStore;
  readonly replica: Replica;
  readonly shadow: Shadow;
  nowMs = 10_000;
  answerBytes = 0;
  isClosed = false;
  #session: ReplicaSession | null = null;
  readonly #choices: Choices;
  readonly #decoder = decoderToReplica((message) => this.#heard(message));

  constructor(choices: Choices) {
    this.#choices = choices;
    fresh ??= newDisk();
    this.disk = fresh.twin();
    this.store = open(this.disk);
    this.shadow = new Shadow();
    this.replica = new Replica({
      store: this.store,
      clock: { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs },
      events: {
        failed: (reason) => must(false, `a peer has failed the replica: ${reason}`),
        sessionOpened: () => undefined,
        sessionEnded: () => undefined,
        protocolError: (rule) => must(rule.length > 0, 'a rule has a name'),
      },
    });
  }

  receive(piece: Buffer): void {
    if (this.isClosed) return;
    const violation = this.#decoder.push(piece);
    if (violation) this.end();
    else this.#session?.burstEnd();
  }

  end(): void {
    this.isClosed = true;
    this.#decoder.stop();
    this.#session?.closed();
    this.#session = null;
  }

  #heard(message: ToReplica): void {
    // Allowed up to 64 TiB, and then as slow as it is large: nothing that a fuzzer can wait for.
    if (message.type === 'resize' && message.sizeBytes > RESIZE_BYTES_MAX && message.sizeBytes <= REPLICA_BYTES_MAX) return;
    this.shadow.heard(message);
    if (message.type !== 'seal') return this.#session?.message(message);
    if (message.volume !== VOLUME || message.replica !== REPLICA) return this.end(); // the agent knows no such replica
    this.#session = this.replica.accept(message, {
      peer: 'agent:node-a',
      send: (answer) => this.#answered(answer),
      close: () => {
        this.isClosed = true;
      },
    });
    // A peer that means it waits for the answer, which is behind the promise.
    if (this.#choices.chance(9)) this.disk.drain();
  }

  #answered(answer: FromReplica): void {
    this.answerBytes += answer.type === 'data' ? answer.lengthBytes : HEADER_BYTES;
    must(this.answerBytes < ANSWER_BYTES_MAX, 'answers are bounded');
  }
}

function run({ choices: bytes, frames }: Input): void {
  const choices = new Choices(bytes);
  const rig = new Rig(choices);
  for (const piece of cutUp(frames, choices)) {
    rig.receive(piece);
    if (choices.chance(5)) rig.disk.completeNext();
    if (choices.chance(3)) rig.nowMs += choices.byte() * 20;
    if (choices.chance(3)) rig.replica.tick();
  }
  rig.disk.drain();
  rig.nowMs += 10_000;
  rig.replica.tick();
  rig.disk.drain();
  rig.end();
  rig.disk.drain();
  must(rig.replica.failed === null, 'a peer fails no replica');
  rig.shadow.judge(rig.store);
  judgeReopened(rig);
}

/** As after a kill: the files say what memory said. */
function judgeReopened({ disk, store, shadow }: Rig): void {
  const { store: found, error } = tryOpen(disk.killProcess());
  must(found !== null, `the replica opens again: ${error?.message}`);
  must(found.meta.promisedEpoch === store.meta.promisedEpoch, 'the promise is kept');
  for (const extent of store.intents) must(found.intents.has(extent), `extent ${extent} is still in the log`);
  shadow.judge(found);
}

/** A frame's checksums and the length of its body, made to hold: nothing else would get past the door. Sometimes one is left wrong. */
export function repairFrame(frame: Buffer, random: SeededRandom): Buffer {
  if (frame.length < HEADER_BYTES || random.chance(0.08)) return frame;
  const repaired = Buffer.from(frame);
  if (random.chance(0.9)) repaired.writeUInt32LE(repaired.length - HEADER_BYTES, HEADER.bodyBytes);
  repaired.writeUInt32LE(crc32(repaired.subarray(HEADER_BYTES)), HEADER.bodyChecksum);
  // A write says its length twice.
  if (repaired[HEADER.type] === WRITE_CODE && random.chance(0.8))
    repaired.writeBigUInt64LE(BigInt(repaired.length - HEADER_BYTES), HEADER.length);
  repaired.writeUInt32LE(0, HEADER.headerChecksum);
  repaired.writeUInt32LE(crc32(repaired.subarray(0, HEADER_BYTES)), HEADER.headerChecksum);
  return repaired;
}

/** Of the header; and the table of a level's runs. */
export const FRAME_FIELDS: readonly Field[] = [
  ...[HEADER.number, HEADER.offset, HEADER.length, HEADER.argument, HEADER.settled].map((at): Field => ({ at, bytes: 8, isLittle: true })),
  { at: HEADER.type, bytes: 1, isLittle: true },
  { at: HEADER.flags, bytes: 1, isLittle: true },
  ...[0, 2, 8, 10].map((at): Field => ({ at: HEADER_BYTES + at, bytes: 2, isLittle: true })),
  ...[4, 12].map((at): Field => ({ at: HEADER_BYTES + at, bytes: 4, isLittle: true })),
];

const WRITE_CODE = 2;

const operation = (sequence: number, settled = Math.max(0, sequence - 2)) => ({ sequence, settled, version: 7 });
const payload = (lengthBytes: number, fill: number) => ({ lengthBytes, chunks: [Buffer.alloc(lengthBytes, fill)] });

const MESSAGES: ToReplica[] = [
  SEAL,
  { type: 'ping', id: 1, settled: 0, leaseMs: 1_000, mayClean: false },
  { type: 'write', ...operation(1), offsetBytes: 4096, ...payload(512, 0xa1) },
  { type: 'write', ...operation(2), offsetBytes: MIB - 100, ...payload(200, 0xa2) },
  { type: 'zero', ...operation(3), offsetBytes: 4096, lengthBytes: 100, free: false },
  { type: 'zero', ...operation(4), offsetBytes: MIB, lengthBytes: SIZE_BYTES - MIB, free: true },
  { type: 'restamp', ...operation(5), extents: [0, 1] },
  { type: 'read', id: 2, offsetBytes: 0, lengthBytes: 8192 },
  { type: 'flush', id: 3 },
  { type: 'digest', id: 4, extent: 0, stampOnly: false },
  { type: 'digest', id: 5, extent: 1, stampOnly: true },
  {
    type: 'level',
    id: 6,
    extent: 1,
    stamp: 7,
    runs: [
      { block: 0, blocks: 1, data: [Buffer.alloc(4096, 0xb1)] },
      { block: 3, blocks: 2, data: null },
    ],
  },
  { type: 'changed', id: 7, since: LOG_ONLY },
  { type: 'changed', id: 8, since: 3 },
  { type: 'allocation', id: 9, offsetBytes: 0, lengthBytes: SIZE_BYTES },
  { type: 'ping', id: 10, settled: 5, leaseMs: 2_000, mayClean: true },
  { type: 'resize', id: 11, sizeBytes: 3 * MIB },
  { type: 'progress', id: 12, since: 0, version: 7, below: 1 },
  { type: 'summary', id: 13, extent: 0, extents: 2 },
  { type: 'snapshot', id: 14, snapshot: snapshotUid('9d0c-e1'), attempt: 1 },
  { type: 'write', ...operation(6), offsetBytes: 2 * MIB, ...payload(100, 0xa6) },
  { type: 'release' },
];

function framesOf(messages: readonly ToReplica[]): Buffer[] {
  const encoder = new Encoder(SEAL);
  return messages.map((message) => Buffer.concat(encoder.encode(message)));
}

export const replicaTarget: Target = {
  name: 'replica',
  sources: /\/(agent\/replica|core\/wire)\//,
  seeds: () => [
    { choices: Buffer.from([8, 1, 250, 7]), frames: framesOf(MESSAGES) },
    { choices: Buffer.from([6, 9, 9, 5]), frames: framesOf(MESSAGES.slice(0, 7)) },
    ...MESSAGES.slice(1).map((message, index) => ({ choices: Buffer.from([index, 8, 40]), frames: framesOf([SEAL, message]) })),
  ],
  fields: FRAME_FIELDS,
  repair: repairFrame,
  run,
};
