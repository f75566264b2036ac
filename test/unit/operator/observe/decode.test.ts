import { expect } from 'chai';
import fc from 'fast-check';
import type { ScrubState } from '../../../../core/scrub.ts';
import type { RecordedSnapshot } from '../../../../core/snapshot.ts';
import type { Entry } from '../../../../core/store.ts';
import {
  decodeClaim,
  decodeConfig,
  decodeMachine,
  decodeScrub,
  decodeServing,
  decodeSnapshot,
  decodeTask,
} from '../../../../operator/observe/decode.ts';
import { config, instance, machine, member, observedTask, replica, serving, UID } from '../../../support/operator/builders.ts';

const entry = (value: unknown): Entry => ({ key: '/key', value: typeof value === 'string' ? value : JSON.stringify(value), revision: '1' });
const task = observedTask('create', 'a', 'filed').task.value;
const RECORD: RecordedSnapshot = {
  attempt: 2,
  epoch: 3,
  sizeBytes: 4096,
  createdAtMs: 1,
  replicas: [{ shard: 0, replica: replica('a'), node: 'node-a', pool: 'default' }],
};
const SCRUB: ScrubState = { position: { shard: 1, extent: 7 }, startedAtMs: 1, endedAtMs: null, repairedBlocks: 0, unresolvedBlocks: 1 };
const ALL = [decodeConfig, decodeTask, decodeMachine, decodeServing, decodeClaim, decodeSnapshot, decodeScrub];

describe('operator: what stands in etcd', () => {
  it('is read as it was written', () => {
    const withPrimary = config({ primary: { node: 'node-a', instance: instance('a'), mode: 'serve' } });
    expect(decodeConfig(entry(withPrimary)).value).to.deep.equal(withPrimary);
    expect(decodeTask(entry(task)).value).to.deep.equal(task);
    expect(decodeMachine(entry(machine('a'))).value).to.deep.equal(machine('a'));
    expect(decodeMachine(entry(machine('a', { stopping: true }))).value?.stopping).to.equal(true);
    const later = { ...machine('a'), wordOfALaterVersion: true };
    expect(decodeMachine(entry(later)).problem, 'agents may be newer than their operator').to.equal(null);
    expect(decodeServing(entry(serving('a'))).value).to.deep.equal(serving('a'));
    expect(decodeSnapshot(entry(RECORD)).value).to.deep.equal(RECORD);
    expect(decodeScrub(entry(SCRUB)).value).to.deep.equal(SCRUB);
  });

  const rows: [says: string, decode: (one: Entry) => { problem: string | null }, value: unknown, problem: string][] = [
    ['no JSON', decodeConfig, '{', '/key is not JSON'],
    ['no map', decodeConfig, '[]', '/key is not a map'],
    ['a size that is none', decodeConfig, { ...config(), sizeBytes: -1 }, '/key: sizeBytes must be a whole number, not negative'],
    ['an epoch that is none', decodeConfig, { ...config(), epoch: 1.5 }, '/key: epoch must be a whole number, not negative'],
    ['a field of a later version', decodeConfig, { ...config(), fence: 1 }, '/key: there must not be a field "fence"'],
    [
      'a member with a field of a later version',
      decodeConfig,
      { ...config(), shards: [{ members: [{ ...member('a'), fence: 1 }], inSync: [] }] },
      '/key: there must not be a field "fence"',
    ],
    [
      'a primary with a field of a later version',
      decodeConfig,
      { ...config(), primary: { node: 'a', instance: instance('a'), mode: 'serve', fence: 1 } },
      '/key: there must not be a field "fence"',
    ],
    [
      'limits with a field of a later version',
      decodeConfig,
      { ...config(), limits: { iops: 0, bytesPerSecond: 0, burst: 1 } },
      '/key: there must not be a field "burst"',
    ],
    [
      'a shard with a field of a later version',
      decodeConfig,
      { ...config(), shards: [{ ...config().shards[0], fence: 1 }] },
      '/key: there must not be a field "fence"',
    ],
    ['no shards', decodeConfig, { ...config(), shards: [] }, '/key: shards must be a list of 1 to 64'],
    ['a shard that is none', decodeConfig, { ...config(), shards: [...config().shards, {}] }, '/key: a shard must have members and inSync'],
    [
      'a task for a snapshot without its uid',
      decodeTask,
      { ...task, spec: { kind: 'snapshot', volume: UID } },
      '/key: snapshot must be a snapshot uid',
    ],
    [
      'a snapshot without a shard',
      decodeSnapshot,
      { ...RECORD, replicas: [{ ...RECORD.replicas[0], shard: 1 }] },
      '/key: snapshot.replicas must name a replica of every shard',
    ],
    ['a snapshot of nothing', decodeSnapshot, { ...RECORD, replicas: [] }, '/key: snapshot.replicas must be a list of 1 to 512'],
    ['a scrub without an end', decodeScrub, { ...SCRUB, endedAtMs: undefined }, '/key: scrub.endedAtMs must be a time or null'],
    [
      'a scrub nowhere',
      decodeScrub,
      { ...SCRUB, position: { shard: 0, extent: -1 } },
      `/key: scrub.position.extent must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, not -1`,
    ],
    [
      'a member without an id',
      decodeConfig,
      config({ shards: [{ members: [member('a', { replica: 'x' as never })], inSync: [] }] }),
      '/key: replica must be an id of 16 hex digits',
    ],
    ['a replica in sync that is no member', decodeConfig, config({}, 'ab', 'abc'), '/key: inSync must name only members'],
    [
      'a primary of an unknown mode',
      decodeConfig,
      { ...config(), primary: { node: 'a', instance: instance('a'), mode: 'x' } },
      '/key: mode must be one of serve, background, release',
    ],
    [
      'a task of an unknown kind',
      decodeTask,
      { ...task, spec: { ...task.spec, kind: 'x' } },
      '/key: kind must be one of create-replica, delete-replica, snapshot, delete-snapshot',
    ],
    ['a task without a volume', decodeTask, { ...task, spec: { kind: 'create-replica' } }, '/key: volume must be a volume uid'],
    ['a machine without pools', decodeMachine, { ...machine('a'), pools: null }, '/key: pools must be a list'],
    ['a report without an epoch', decodeServing, { ...serving('a'), epoch: null }, '/key: epoch must be a whole number, not negative'],
    [
      'a claim without an attempt',
      decodeClaim,
      { node: 'a', instance: instance('a') },
      '/key: attempt must be a whole number, not negative',
    ],
  ];
  for (const [says, decode, value, problem] of rows) {
    it(`is refused with a sentence: ${says}`, () => expect(decode(entry(value)).problem).to.equal(problem));
  }

  it('never makes it throw, whatever stands there', () => {
    const mangled = fc.oneof(
      fc.string(),
      fc.json(),
      fc.object({ key: fc.constantFrom('shards', 'primary', 'spec', 'uid', 'members', 'inSync') }).map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(mangled, (value) => void ALL.map((decode) => decode(entry(value)))),
      { numRuns: 500 },
    );
  });
});
