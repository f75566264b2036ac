/** What a volume starts from, and what people read while it cannot. */
import { expect } from 'chai';
import { type SnapshotUid, snapshotUid, volumeUid } from '../../../../core/ids.ts';
import type { RecordedSnapshot } from '../../../../core/snapshot.ts';
import type { CreateSpec } from '../../../../core/task.ts';
import type { SnapshotObject } from '../../../../operator/api.ts';
import type { ObservedVolume } from '../../../../operator/observe/observed.ts';
import type { World } from '../../../../operator/volume/decision.ts';
import {
  config,
  GiB,
  KEYS,
  machine,
  observedTask,
  observedVolume,
  pool,
  recorded,
  replica,
  snapshotObject,
  UID,
  volumeObject,
  without,
  world,
} from '../../../support/operator/builders.ts';
import { decide, filedTasks, membersOf, nextConfig, transactionOf } from '../../../support/operator/decisions.ts';

const createTask = (letter: string, state: 'failed' | 'done' | 'filed') => observedTask('create', letter, state, { error: 'no room' });
const SOURCE = volumeUid('source');
const NIGHTLY = snapshotUid('nightly-uid');
const sourceObject = (change: Parameters<typeof volumeObject>[0] = {}, metadata = {}) =>
  volumeObject(change, { uid: SOURCE, name: 'source', ...metadata });
const sourceConfig = (change: Partial<ReturnType<typeof config>> = {}) => config({ uid: SOURCE, name: 'source', ...change });
const REFLINK = [...'abcde'].map((letter) => machine(letter, { pools: [pool({ reflink: true })] }));

type Parts = {
  source?: Partial<Parameters<typeof observedVolume>[0]> | null;
  objects?: SnapshotObject[];
  record?: RecordedSnapshot;
  of?: SnapshotUid;
};

function worldWith(clone: ObservedVolume, { source = {}, objects = [], record, of = NIGHTLY }: Parts, machines = REFLINK): World {
  const snapshots = new Map(record ? [[of, { value: record, key: KEYS.snapshot(SOURCE, of), revision: '60' }]] : []);
  const volumes =
    source === null ? [] : [observedVolume({ uid: SOURCE, object: sourceObject(), config: sourceConfig(), snapshots, ...source })];
  return world({ machines, volumes: [clone, ...volumes], snapshotObjects: objects });
}

const fromSnapshot = (change: Parameters<typeof volumeObject>[0] = {}) =>
  observedVolume({ config: null, object: volumeObject({ source: { snapshot: 'nightly' }, ...change }) });
const fromVolume = (change: Parameters<typeof volumeObject>[0] = {}) =>
  observedVolume({ config: null, object: volumeObject({ source: { volume: 'source' }, ...change }) });
const nightly = snapshotObject('nightly', 'source', NIGHTLY);
const going = { deletionTimestamp: '2026-01-01T00:00:00Z' };
const bare = [...'abcde'].map((letter) => machine(letter));

describe('operator: a volume that starts from something, and waits', () => {
  const rows: [says: string, clone: ObservedVolume, parts: Parts, sentence: string, machines?: typeof REFLINK][] = [
    ['there is no such snapshot', fromSnapshot(), {}, 'spec.source.snapshot: there is no Snapshot nightly'],
    [
      'the snapshot is not ready',
      fromSnapshot(),
      { objects: [nightly] },
      'spec.source.snapshot: nightly is not ready: waits for a primary',
    ],
    [
      'the snapshot has no volume',
      fromSnapshot(),
      { source: null, objects: [nightly] },
      'spec.source.snapshot: nightly is not ready: there is no Volume source',
    ],
    [
      'the snapshot goes',
      fromSnapshot(),
      { objects: [snapshotObject('nightly', 'source', NIGHTLY, going)], record: recorded('abc') },
      'spec.source.snapshot: nightly is being deleted',
    ],
    [
      'the snapshot is larger',
      fromSnapshot({ size: '1023Mi' }),
      { objects: [nightly], record: recorded('abc') },
      'spec.size: must be at least 1Gi as its source has (is 1023Mi)',
    ],
    [
      'the snapshot has other shards',
      fromSnapshot({ shards: 2 }),
      { objects: [nightly], record: recorded('abc') },
      'spec.shards: must be 1 as its source has (is 2)',
    ],
    ['there is no such volume', fromVolume(), { source: null }, 'spec.source.volume: there is no Volume source'],
    [
      'it names itself',
      observedVolume({ config: null, object: volumeObject({ source: { volume: 'pgdata' } }) }),
      {},
      'spec.source.volume: a volume cannot start from itself',
    ],
    ['the volume goes', fromVolume(), { source: { object: sourceObject({}, going) } }, 'spec.source.volume: source is being deleted'],
    [
      'the volume is larger',
      fromVolume(),
      { source: { config: sourceConfig({ sizeBytes: 2 * GiB }) } },
      'spec.size: must be at least 2Gi as its source has (is 1Gi)',
    ],
    [
      'the volume is not made',
      fromVolume(),
      { source: { config: null } },
      'a snapshot of source is made first: Volume source is not made yet',
    ],
    ['its own snapshot is not there yet', fromVolume(), {}, 'a snapshot of source is made first: waits for a primary'],
    [
      'a pool cannot do it',
      fromVolume(),
      {},
      'a snapshot of source is made first: snapshots: unsupported on pool node-a/default (its file system cannot share blocks)',
      bare,
    ],
  ];
  for (const [says, clone, parts, sentence, machines] of rows) {
    it(`says so: ${says}`, () => {
      const decision = decide(clone, worldWith(clone, parts, machines));
      expect([decision.state, decision.reason, decision.actions]).to.deep.equal(['waiting', sentence, []]);
    });
  }
});

describe('operator: the first replicas of a clone', () => {
  const sourcesOf = (decision: ReturnType<typeof decide>) =>
    filedTasks(decision).map(({ node, spec }) => [node, (spec as CreateSpec).source]);
  const from = (letter: string) => ({ snapshot: NIGHTLY, attempt: 4, replica: replica(letter) });

  it('are made where the snapshot is, from what is there', () => {
    const clone = fromSnapshot({ size: '2Gi' });
    const decision = decide(clone, worldWith(clone, { objects: [nightly], record: recorded('cde') }));
    expect(sourcesOf(decision).sort()).to.deep.equal([
      ['node-c', from('c')],
      ['node-d', from('d')],
      ['node-e', from('e')],
    ]);
    expect(nextConfig(decision)).to.deep.include({ sizeBytes: 2 * GiB, minInSync: 2, epoch: 0 });
  });

  it('are as many as can be: the others follow as learners', () => {
    const clone = fromSnapshot();
    const decision = decide(
      clone,
      worldWith(
        clone,
        { objects: [nightly], record: recorded('abc') },
        REFLINK.filter(({ node }) => node === 'node-b'),
      ),
    );
    expect(sourcesOf(decision)).to.deep.equal([['node-b', from('b')]]);
    expect(nextConfig(decision).minInSync).to.equal(1);
  });

  it('are none where nobody who has it can be used: for every node there is a reason', () => {
    const clone = fromSnapshot();
    const decision = decide(clone, worldWith(clone, { objects: [nightly], record: recorded('e') }, without('e')));
    expect([decision.state, decision.unschedulable[0]]).to.deep.equal([
      'unschedulable',
      { node: 'node-a', reason: 'does not hold what the volume starts from' },
    ]);
  });

  it('of a volume are those of the snapshot with its own uid', () => {
    const clone = fromVolume();
    const own = snapshotUid(UID);
    const decision = decide(clone, worldWith(clone, { record: recorded('ab'), of: own }));
    expect(sourcesOf(decision).sort()).to.deep.equal([
      ['node-a', { ...from('a'), snapshot: own }],
      ['node-b', { ...from('b'), snapshot: own }],
    ]);
  });

  const begun = (letters: string, state: 'failed' | 'done' | 'filed', others: 'done' | 'filed' = 'done') => {
    const object = volumeObject({ source: { snapshot: 'nightly' } });
    const [first = 'a', ...rest] = letters;
    const tasks = [createTask(first, state), ...rest.map((letter) => createTask(letter, others))];
    return observedVolume({ object, config: config({ epoch: 0, version: 1, minInSync: 2 }, letters, ''), tasks });
  };

  it('that cannot be made are made by another that has it', () => {
    const clone = begun('ab', 'failed');
    const decision = decide(clone, worldWith(clone, { objects: [nightly], record: recorded('abc') }));
    expect(membersOf(decision)).to.deep.equal(['node-b', 'node-c']);
    expect(sourcesOf(decision)[0]).to.deep.equal(['node-c', from('c')]);
  });

  it('that cannot be made anywhere else are left out, if there is another', () => {
    const clone = begun('ab', 'failed');
    const decision = decide(clone, worldWith(clone, { objects: [nightly], record: recorded('ab') }));
    expect(membersOf(decision)).to.deep.equal(['node-b']);
    expect(nextConfig(decision).minInSync).to.equal(1);
  });

  it('that are the last are made again', () => {
    const clone = begun('a', 'failed');
    const decision = decide(clone, worldWith(clone, { objects: [nightly], record: recorded('a') }));
    expect(filedTasks(decision)[0]).to.deep.include({ id: `create-${replica('a')}`, state: 'filed', attempt: 2 });
  });

  it('wait for each other, and are in sync together', () => {
    const waiting = begun('ab', 'filed');
    expect(decide(waiting, worldWith(waiting, { objects: [nightly], record: recorded('ab') })).reason).to.equal('1 of 2 replicas are made');
    const made = begun('ab', 'done');
    const decision = decide(made, worldWith(made, { objects: [nightly], record: recorded('ab') }));
    expect(nextConfig(decision).shards[0]?.inSync).to.deep.equal([replica('a'), replica('b')]);
    expect(transactionOf(decision).operation).to.equal('declare the first replicas in sync');
  });

  it('are still made when the snapshot is to go: it waits for them', () => {
    const clone = begun('ab', 'failed');
    const objects = [snapshotObject('nightly', 'source', NIGHTLY, going)];
    expect(membersOf(decide(clone, worldWith(clone, { objects, record: recorded('abc') })))).to.deep.equal(['node-b', 'node-c']);
  });
});
