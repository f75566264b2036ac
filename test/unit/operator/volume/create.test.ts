import { expect } from 'chai';
import { createTaskId, deleteTaskId } from '../../../../core/keys.ts';
import { emptyMemory, sightingOf } from '../../../../operator/observe/memory.ts';
import type { ObservedVolume } from '../../../../operator/observe/observed.ts';
import type { World } from '../../../../operator/volume/decision.ts';
import { KEYS, observedTask, observedVolume, replica, UID, volumeObject, without, world } from '../../../support/operator/builders.ts';
import {
  attached,
  decide,
  deleted,
  filedTasks,
  fresh,
  kinds,
  membersOf,
  nextConfig,
  put,
  transactionOf,
} from '../../../support/operator/decisions.ts';

describe('operator: deciding about a new volume', () => {
  it('puts the finalizer on first', () => {
    const decision = decide(observedVolume({ object: volumeObject({}, { finalizers: [] }), config: null }));
    expect([decision.state, kinds(decision)]).to.deep.equal(['new', ['addFinalizer']]);
  });

  it('places it: config, pointers and tasks in one transaction', () => {
    const decision = decide(observedVolume({ config: null, object: volumeObject({ size: '5000' }) }));
    const placed = nextConfig(decision);
    expect(placed).to.include({ uid: UID, name: 'pgdata', sizeBytes: 8192, minInSync: 2, epoch: 0, version: 1, primary: null });
    expect(placed.shards[0]?.inSync).to.deep.equal([]);
    const nodes = membersOf(decision);
    expect(new Set(nodes).size).to.equal(3);
    expect(nodes.map((node) => put(decision, KEYS.pointer(node, UID)))).to.deep.equal([1, 1, 1]);
    const tasks = filedTasks(decision);
    expect(tasks.map(({ node }) => node)).to.deep.equal(nodes);
    expect(tasks.map(({ id }) => id)).to.deep.equal(placed.shards[0]?.members.map((one) => createTaskId(one.replica)));
    expect(tasks[0]).to.deep.include({ state: 'filed', attempt: 1, filedBy: 7 });
    expect(tasks[0]?.spec).to.deep.include({ kind: 'create-replica', sizeBytes: 8192, volumeName: 'pgdata', volume: UID });
    const absent = [KEYS.volume(UID), ...tasks.map(({ node, id }) => KEYS.task(node, id))];
    expect(transactionOf(decision).conditions).to.have.deep.members(absent.map((key) => ({ key, is: 'absent' })));
  });

  it('goes on with the trace of who asked', () => {
    const object = volumeObject({}, { annotations: { 'holdfast.dev/traceparent': `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` } });
    const decision = decide(observedVolume({ config: null, object }));
    expect([transactionOf(decision).traceId, filedTasks(decision)[0]?.traceId]).to.deep.equal(['a'.repeat(32), 'a'.repeat(32)]);
  });

  it('says for every node why it takes none, and does nothing', () => {
    const decision = decide(observedVolume({ config: null, object: volumeObject({ size: '300Gi' }) }), world({ machines: without('cde') }));
    expect([decision.state, decision.actions]).to.deep.equal(['unschedulable', []]);
    expect(decision.reason).to.equal('3 replicas of 300Gi wanted, no node can hold one');
    expect(decision.unschedulable).to.deep.equal([
      { node: 'node-a', reason: '95Gi free after reserve, 300Gi needed' },
      { node: 'node-b', reason: '95Gi free after reserve, 300Gi needed' },
    ]);
  });

  for (const [replicas, minInSync] of [
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
  ] as const) {
    it(`wants ${minInSync} of ${replicas} replicas in sync unless somebody said otherwise`, () => {
      expect(nextConfig(decide(observedVolume({ config: null, object: volumeObject({ replicas }) }))).minInSync).to.equal(minInSync);
    });
  }

  it('takes the minInSync that was asked for', () => {
    expect(nextConfig(decide(observedVolume({ config: null, object: volumeObject({ minInSync: 1 }) }))).minInSync).to.equal(1);
  });

  it('waits for a source with a sentence, and makes nothing', () => {
    const decision = decide(observedVolume({ config: null, object: volumeObject({ source: { volume: 'x' } }) }));
    expect([decision.state, decision.actions]).to.deep.equal(['waiting', []]);
    expect(decision.reason).to.equal('spec.source.volume: there is no Volume x');
  });

  it('touches nothing whose config cannot be read', () => {
    const decision = decide(observedVolume({ config: null, damage: 'it is not JSON' }));
    expect([decision.state, decision.actions, decision.reason]).to.deep.equal(['damaged', [], 'nothing is done to it: it is not JSON']);
  });
});

describe('operator: deciding while the replicas are made', () => {
  it('waits for all', () => {
    const tasks = [
      observedTask('create', 'a', 'done'),
      observedTask('create', 'b', 'running', { claimed: true }),
      observedTask('create', 'c', 'filed'),
    ];
    const decision = decide(observedVolume({ config: fresh(), tasks }));
    expect([decision.state, decision.reason, decision.actions]).to.deep.equal(['creating', '1 of 3 replicas are made', []]);
  });

  it('then declares all in sync and puts the tasks away, in one transaction', () => {
    const tasks = [...'abc'].map((letter) => observedTask('create', letter, 'done'));
    const decision = decide(observedVolume({ config: fresh(), tasks }));
    expect(nextConfig(decision)).to.deep.equal({
      ...fresh(),
      version: 2,
      shards: [{ members: fresh().shards[0]?.members, inSync: [...'abc'].map(replica) }],
    });
    expect(deleted(decision)).to.include.members(tasks.map(({ task }) => task.key));
    expect(put(decision, KEYS.historyOf(createTaskId(replica('a'))))).to.deep.include({ state: 'done' });
    expect(transactionOf(decision).conditions).to.deep.include({
      key: tasks[0]?.task.key,
      is: 'revision',
      revision: tasks[0]?.task.revision,
    });
  });

  it('does not attach before that', () => {
    const tasks = [...'abc'].map((letter) => observedTask('create', letter, 'filed'));
    expect(decide(observedVolume({ config: fresh(), tasks, object: attached('a') })).actions).to.deep.equal([]);
  });

  const troubles: [says: string, volume: ObservedVolume, around: World][] = [
    [
      'whose making failed',
      observedVolume({
        config: fresh(),
        tasks: [
          observedTask('create', 'a', 'failed', { error: 'no space' }),
          observedTask('create', 'b', 'done'),
          observedTask('create', 'c', 'done'),
        ],
      }),
      world(),
    ],
    [
      'whose machine is gone for long',
      observedVolume({ config: fresh(), tasks: [...'abc'].map((letter) => observedTask('create', letter, 'filed')) }),
      world({ machines: without('a'), memory: { ...emptyMemory, machineGoneSinceMs: new Map([['node-a', 990_000]]) } }),
    ],
    (() => {
      const tasks = [...'abc'].map((letter) => observedTask('create', letter, 'running', { claimed: true }));
      const first = tasks[0]?.task.value;
      const taskSinceMs = new Map(first ? [[sightingOf(first), 940_000]] : []);
      return ['that takes too long', observedVolume({ config: fresh(), tasks }), world({ memory: { ...emptyMemory, taskSinceMs } })] as [
        string,
        ObservedVolume,
        World,
      ];
    })(),
  ];
  for (const [says, volume, around] of troubles) {
    it(`exchanges a replica ${says} for another on another node`, () => {
      const decision = decide(volume, around);
      expect(membersOf(decision)).to.include.members(['node-b', 'node-c']).and.not.include('node-a');
      const [create, remove] = filedTasks(decision);
      expect([create?.spec.kind, remove?.id]).to.deep.equal(['create-replica', deleteTaskId(replica('a'))]);
      expect(deleted(decision)).to.include.members([KEYS.task('node-a', createTaskId(replica('a'))), KEYS.pointer('node-a', UID)]);
      expect(kinds(decision)).to.deep.equal(['commit', 'noteSetback']);
    });
  }

  it('is patient with a machine that is gone for a moment', () => {
    const volume = observedVolume({ config: fresh(), tasks: [...'abc'].map((letter) => observedTask('create', letter, 'filed')) });
    const around = world({ machines: without('a'), memory: { ...emptyMemory, machineGoneSinceMs: new Map([['node-a', 995_000]]) } });
    expect(decide(volume, around).actions).to.deep.equal([]);
  });

  it('leaves the replica where it is when no other node can hold it', () => {
    const tasks = [
      observedTask('create', 'a', 'failed', { error: 'no space' }),
      observedTask('create', 'b', 'done'),
      observedTask('create', 'c', 'done'),
    ];
    const decision = decide(observedVolume({ config: fresh(), tasks }), world({ machines: without('de') }));
    expect(decision.actions).to.deep.equal([]);
    expect(decision.reason).to.equal('the replica on node-a could not be made (no space), and no other node can hold it');
    expect(decision.unschedulable.find(({ node }) => node === 'node-a')?.reason).to.equal(
      'making a replica here failed once, left alone for a while',
    );
  });
});
