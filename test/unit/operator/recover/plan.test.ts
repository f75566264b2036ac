/** The plan that a person reads before a lost store is rebuilt: who is waited for, which snapshots come back, what stays on disks that nobody names. */
import { expect } from 'chai';
import type { VolumeConfig } from '../../../../core/config.ts';
import { snapshotUid, type VolumeUid } from '../../../../core/ids.ts';
import type { Inventory, InventoryReplica, InventorySnapshot } from '../../../../core/inventory.ts';
import type { SnapshotObject } from '../../../../operator/api.ts';
import {
  type Choices,
  describePlan,
  type Evidence,
  isIncomplete,
  isNothingToDo,
  mayBeWritten,
  planRecovery,
  planReport,
} from '../../../../operator/recover/plan.ts';
import { rebuildSnapshot } from '../../../../operator/recover/snapshots.ts';
import { config, GiB, instance, nodeOf, replica, snapshotObject, UID, volumeObject } from '../../../support/operator/builders.ts';

const SNAPSHOT = snapshotUid('22222222-2222-3333-4444-555555555555');
const WHOLE = config({ epoch: 4, version: 20 });
const NOTHING_SAID: Choices = { without: new Set(), acceptLoss: new Set(), amends: false };

const held = (letter: string, seen: VolumeConfig = WHOLE): InventoryReplica => ({
  ...{ pool: 'default', replica: replica(letter), volume: UID, problem: null },
  ...{ promisedEpoch: seen.epoch, knownVersion: seen.version, config: seen },
});
const part = (letter: string, attempt = 7): InventorySnapshot => ({
  ...{ pool: 'default', snapshot: SNAPSHOT, attempt, replica: replica(letter), volume: UID, problem: null, config: WHOLE },
});
const inventory = (letter: string, change: Partial<Inventory> = {}): [string, Inventory] => [
  nodeOf(letter),
  { node: nodeOf(letter), instance: instance(letter), problems: [], replicas: [held(letter)], snapshots: [part(letter)], ...change },
];
const wasReady = (letters: string): SnapshotObject => ({
  ...snapshotObject('nightly', 'pgdata', SNAPSHOT),
  status: { phase: 'Pending', ready: false, size: '1Gi', createdAt: '2026-01-01T00:00:00Z', nodes: [...letters].map(nodeOf) },
});
const evidence = (inventories: [string, Inventory | string][], change: Partial<Evidence> = {}): Evidence => ({
  inventories: new Map(inventories),
  expected: new Set(['a', 'b', 'c'].map(nodeOf)),
  volumes: [{ ...volumeObject(), status: { epoch: 4 } }],
  snapshots: [wasReady('abc')],
  configs: new Map(),
  recorded: new Set(),
  ...change,
});

describe('operator: the plan of a recovery', () => {
  it('rebuilds all that everybody is there for', () => {
    const plan = planRecovery(evidence(['a', 'b', 'c'].map((letter) => inventory(letter))), NOTHING_SAID);
    expect([plan.waitsFor, isIncomplete(plan), plan.strays]).to.deep.equal([[], false, []]);
    expect(plan.volumes.map(({ name, verdict }) => [name, verdict.kind])).to.deep.equal([['pgdata', 'rebuilt']]);
    const [snapshot] = plan.snapshots;
    if (snapshot?.verdict.kind !== 'rebuilt') throw new Error(JSON.stringify(snapshot));
    expect(snapshot.verdict.record).to.deep.include({ attempt: 7, epoch: 4, sizeBytes: GiB, createdAtMs: Date.UTC(2026, 0, 1) });
    expect(snapshot.verdict.record.replicas.map(({ node, shard }) => [node, shard])).to.deep.equal(
      ['a', 'b', 'c'].map((letter) => [nodeOf(letter), 0]),
    );
  });

  it('waits for nodes and pools of which nobody knows what they hold, until somebody says that they will not come', () => {
    const there = evidence([
      inventory('a'),
      inventory('b', { problems: ['pool fast: it is not open'] }),
      [nodeOf('c'), 'connection refused'],
    ]);
    const plan = planRecovery(there, NOTHING_SAID);
    expect(plan.waitsFor).to.deep.equal(['node-b: pool fast: it is not open', 'node-c: connection refused']);
    const without = planRecovery(there, { ...NOTHING_SAID, without: new Set(['b', 'c'].map(nodeOf)) });
    expect(without.waitsFor).to.deep.equal([]);
    expect(describePlan(without).join('\n')).to.contain('node-c has not told what it holds').and.to.contain('--accept-loss pgdata means');
    expect(isIncomplete(without)).to.equal(true);
  });

  it('names a volume that was there and of which nothing is', () => {
    const plan = planRecovery(evidence(['a', 'b', 'c'].map((letter) => inventory(letter, { replicas: [], snapshots: [] }))), NOTHING_SAID);
    expect(plan.volumes.map(({ uid, verdict }) => [uid, verdict.kind])).to.deep.equal([[UID, 'refused']]);
  });

  it('leaves replicas that no config names, and says where they are', () => {
    const stray = { ...held('f'), pool: 'fast' };
    const plan = planRecovery(evidence([inventory('a', { replicas: [held('a'), stray] }), inventory('b'), inventory('c')]), NOTHING_SAID);
    expect(plan.strays.map(({ replica: id, node, pool }) => [id, node, pool])).to.deep.equal([[replica('f'), 'node-a', 'fast']]);
  });

  it('has nothing to do where etcd holds the latest', () => {
    const stored = { value: WHOLE, key: 'k', revision: '1' };
    const told = evidence(
      ['a', 'b', 'c'].map((letter) => inventory(letter)),
      {
        configs: new Map([[UID as VolumeUid, stored]]),
        recorded: new Set([SNAPSHOT]),
      },
    );
    const plan = planRecovery(told, NOTHING_SAID);
    expect([plan.volumes.map(({ verdict }) => verdict.kind), plan.snapshots, isIncomplete(plan)]).to.deep.equal([['sound'], [], false]);
    expect([isNothingToDo(plan), describePlan(plan)]).to.deep.equal([true, ['  1 volumes need nothing']]);
  });

  it('is refused over an etcd that holds something already, unless a person knows that', () => {
    const stored = { value: config({ epoch: 3, version: 9 }), key: 'k', revision: '1' };
    const there = evidence(
      ['a', 'b', 'c'].map((letter) => inventory(letter)),
      { configs: new Map([[UID as VolumeUid, stored]]) },
    );
    const plan = planRecovery(there, NOTHING_SAID);
    expect([mayBeWritten(plan), isNothingToDo(plan)]).to.deep.equal([false, false]);
    expect(describePlan(plan)[0]).to.match(/refused +this etcd is not empty, it holds the configs of 1 volumes .*--amend/);
    const amended = planRecovery(there, { ...NOTHING_SAID, amends: true });
    expect([mayBeWritten(amended), amended.volumes.map(({ verdict }) => verdict.kind)]).to.deep.equal([true, ['rebuilt']]);
    expect(planReport(amended)).to.deep.include({ waitsFor: [], notEmpty: null });
  });

  const parts = (letters: string, attempt?: number) => [...letters].map((letter) => ({ ...part(letter, attempt), node: nodeOf(letter) }));
  const refusals: [string, SnapshotObject, ReturnType<typeof parts>][] = [
    ['a part is missing', wasReady('abc'), parts('ab')],
    ['only some pools have the latest attempt', wasReady('abc'), [...parts('abc', 6), ...parts('a', 7)]],
    ['the parts are on other nodes than people saw', wasReady('ab'), parts('abc')],
    ['nothing is left of it', wasReady('abc'), []],
    ['no part tells what it is of', wasReady('abc'), parts('abc').map((each) => ({ ...each, config: null }))],
  ];
  for (const [what, object, of] of refusals) {
    it(`makes no record of a snapshot where ${what}`, () => expect(rebuildSnapshot(object, of)?.kind).to.equal('refused'));
  }

  it('makes none of a snapshot that never was ready', () => {
    expect(rebuildSnapshot(snapshotObject('nightly', 'pgdata', SNAPSHOT), parts('abc'))).to.equal(null);
  });
});
