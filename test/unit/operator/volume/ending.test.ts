import { expect } from 'chai';
import { deleteTaskId } from '../../../../core/keys.ts';
import { emptyMemory, releaseOf, sightingOf } from '../../../../operator/observe/memory.ts';
import {
  config,
  GiB,
  KEYS,
  machine,
  member,
  observedTask,
  observedVolume,
  pool,
  replica,
  UID,
  volumeObject,
  without,
  world,
} from '../../../support/operator/builders.ts';
import {
  decide,
  deleted,
  deleting,
  filedTasks,
  fresh,
  kinds,
  nextConfig,
  primary,
  transactionOf,
} from '../../../support/operator/decisions.ts';

describe('operator: deciding about tasks', () => {
  it('files one again that nobody does any more, if the claim is still gone', () => {
    const lost = observedTask('create', 'd', 'running');
    const volume = observedVolume({ object: volumeObject({ replicas: 4 }), config: config({}, 'abcd', 'abc'), tasks: [lost] });
    const decision = decide(volume);
    expect(filedTasks(decision)[0]).to.deep.include({ state: 'filed', attempt: 2, filedBy: 7 });
    expect(transactionOf(decision).conditions).to.deep.equal([
      { key: lost.task.key, is: 'revision', revision: lost.task.revision },
      { key: KEYS.claim(lost.task.value.id), is: 'absent' },
    ]);
  });

  for (const { what, change } of [
    { what: 'is in sync', change: config({}, 'abcd', 'abcd') },
    {
      what: 'was in sync once',
      change: config({
        shards: [
          { members: [...'abc'].map((letter) => member(letter)).concat(member('d', { leftAt: 3 })), inSync: [...'abc'].map(replica) },
        ],
      }),
    },
  ]) {
    it(`puts a lost one away whose replica ${what}: filed again it could make an empty replica that counts as holding data`, () => {
      const lost = observedTask('create', 'd', 'running');
      const decision = decide(observedVolume({ object: volumeObject({ replicas: 4, minInSync: 2 }), config: change, tasks: [lost] }));
      expect(filedTasks(decision)).to.deep.equal([]);
      expect(deleted(decision)).to.include(lost.task.key);
    });
  }

  it('leaves one alone that is being done', () => {
    const volume = observedVolume({
      object: volumeObject({ replicas: 4, minInSync: 2 }),
      config: config({}, 'abcd', 'abc'),
      tasks: [observedTask('create', 'd', 'running', { claimed: true })],
    });
    expect(decide(volume).actions).to.deep.equal([]);
  });

  it('files one again of which nothing comes, and takes its claim away: the attempt that hangs ends nothing any more', () => {
    const hanging = observedTask('delete', 'd', 'running', { claimed: true });
    const volume = observedVolume({ tasks: [hanging] });
    const since = (ms: number) =>
      world({ memory: { ...emptyMemory, taskSinceMs: new Map([[sightingOf(hanging.task.value), 1_000_000 - ms]]) } });
    expect(decide(volume, since(599_999)).actions).to.deep.equal([]);
    const decision = decide(volume, since(600_000));
    expect(filedTasks(decision)).to.deep.equal([{ ...hanging.task.value, state: 'filed', attempt: 2, filedBy: 7 }]);
    const key = KEYS.claim(hanging.task.value.id);
    expect(deleted(decision)).to.deep.equal([key]);
    expect(transactionOf(decision).conditions).to.deep.include({ key, is: 'revision', revision: hanging.claim?.revision });
  });

  it('does so under the trace of the task, and says which', () => {
    const transaction = transactionOf(decide(observedVolume({ tasks: [observedTask('delete', 'd', 'running')] })));
    expect([transaction.operation, transaction.traceId]).to.deep.equal([
      `file lost tasks again: ${deleteTaskId(replica('d'))} of node-d (attempt 1)`,
      'f'.repeat(32),
    ]);
  });

  it('puts ended ones away for an hour', () => {
    const done = observedTask('delete', 'd', 'done');
    const decision = decide(observedVolume({ tasks: [done] }));
    expect(deleted(decision)).to.deep.equal([done.task.key, KEYS.claim(done.task.value.id)]);
    const history = transactionOf(decision).changes.find((change) => 'put' in change);
    expect(history).to.deep.include({ put: KEYS.historyOf(done.task.value.id), expiresAfterSeconds: 3_600 });
  });

  it('tries a failed deletion again, after a while', () => {
    const failed = observedTask('delete', 'd', 'failed', { error: 'busy' });
    const volume = observedVolume({ tasks: [failed] });
    const since = (ms: number) =>
      world({ memory: { ...emptyMemory, taskSinceMs: new Map([[sightingOf(failed.task.value), 1_000_000 - ms]]) } });
    expect(decide(volume, since(4_999)).actions).to.deep.equal([]);
    expect(decide(volume, since(4_999)).reason).to.equal('the replica on node-d could not be deleted (busy); tried again after a while');
    expect(filedTasks(decide(volume, since(5_000)))[0])
      .to.deep.include({ state: 'filed', attempt: 2 })
      .and.not.have.property('error');
  });
});

describe('operator: deciding about a move', () => {
  it('goes on without the consent of a primary that does not let go for a minute', () => {
    const releasing = config({ primary: primary('a', 'release') });
    const volume = observedVolume({ object: volumeObject({ attachTo: 'node-b' }), config: releasing });
    const since = (ms: number) =>
      world({ memory: { ...emptyMemory, releasingSinceMs: new Map([[releaseOf(releasing), 1_000_000 - ms]]) } });
    expect(decide(volume, since(59_999)).actions).to.deep.equal([]);
    const after = nextConfig(decide(volume, since(60_000)));
    expect([after.epoch, after.primary]).to.deep.equal([releasing.epoch + 1, primary('b', 'serve')]);
  });
});

describe('operator: deciding about a volume that goes', () => {
  it('asks a primary that lives to let go, and waits', () => {
    const decision = decide(observedVolume({ object: deleting(), config: config({ primary: primary('a') }) }));
    expect(nextConfig(decision).primary).to.deep.equal(primary('a', 'release'));
    expect(decide(observedVolume({ object: deleting(), config: config({ primary: primary('a', 'release') }) })).actions).to.deep.equal([]);
  });

  it('fences one that does not let go for a minute', () => {
    const releasing = config({ primary: primary('a', 'release') });
    const since = (ms: number) =>
      world({ memory: { ...emptyMemory, releasingSinceMs: new Map([[releaseOf(releasing), 1_000_000 - ms]]) } });
    const volume = observedVolume({ object: deleting(), config: releasing });
    expect(decide(volume, since(59_999)).actions).to.deep.equal([]);
    expect(nextConfig(decide(volume, since(60_000)))).to.deep.include({ primary: null, epoch: 2 });
  });

  it('fences one that is gone', () => {
    const decision = decide(
      observedVolume({ object: deleting(), config: config({ primary: primary('a') }) }),
      world({ machines: without('a') }),
    );
    expect([nextConfig(decision).primary, nextConfig(decision).epoch]).to.deep.equal([null, 2]);
  });

  it('then deletes config and pointers and files one task a replica, in one transaction', () => {
    const members = [member('a'), member('b', { leaving: true }), member('c')];
    const decision = decide(observedVolume({ object: deleting(), config: config({ shards: [{ members, inSync: [replica('a')] }] }) }));
    expect(deleted(decision)).to.have.members([
      KEYS.volume(UID),
      KEYS.scrub(UID),
      ...['a', 'b', 'c'].flatMap((letter) => [KEYS.pointer(`node-${letter}`, UID), KEYS.bell(`node-${letter}`, UID)]),
    ]);
    expect(filedTasks(decision).map(({ id }) => id)).to.deep.equal([...'abc'].map((letter) => deleteTaskId(replica(letter))));
    expect(transactionOf(decision).conditions).to.deep.include({ key: KEYS.volume(UID), is: 'revision', revision: '50' });
  });

  it('takes create tasks with it, done or not', () => {
    const tasks = [
      observedTask('create', 'a', 'done'),
      observedTask('create', 'b', 'running', { claimed: true }),
      observedTask('create', 'c', 'filed'),
    ];
    const decision = decide(observedVolume({ object: deleting(), config: fresh(), tasks }));
    expect(deleted(decision)).to.include.members(tasks.map(({ task }) => task.key));
    expect(filedTasks(decision).length).to.equal(3);
  });

  it('waits for the agents that live', () => {
    const volume = observedVolume({ object: deleting(), config: null, tasks: [observedTask('delete', 'a', 'filed')] });
    const decision = decide(volume);
    expect([decision.actions, decision.reason]).to.deep.equal([[], 'node-a has still to delete its replica']);
  });

  it('removes ended tasks without a trace', () => {
    const done = observedTask('delete', 'a', 'done');
    const decision = decide(observedVolume({ object: deleting(), config: null, tasks: [done] }));
    expect(transactionOf(decision).changes).to.deep.equal([{ delete: done.task.key }, { delete: KEYS.claim(done.task.value.id) }]);
  });

  it('removes what is remembered of its tasks, also where the object is gone', () => {
    const history = [KEYS.historyOf('create-1'), KEYS.historyOf('delete-1')];
    for (const object of [deleting(), null]) {
      expect(deleted(decide(observedVolume({ object, config: null, history })))).to.deep.equal(history);
    }
    expect(decide(observedVolume({ history })).actions).to.deep.equal([]);
  });

  it('lets the object go though a machine is away, whose task stays', () => {
    const volume = observedVolume({ object: deleting(), config: null, tasks: [observedTask('delete', 'a', 'filed')] });
    expect(kinds(decide(volume, world({ machines: without('a') })))).to.deep.equal(['removeFinalizer']);
  });

  it('lets go at once what was never placed', () => {
    expect(kinds(decide(observedVolume({ object: deleting(), config: null })))).to.deep.equal(['removeFinalizer']);
  });

  it('does nothing more when the finalizer is gone', () => {
    const object = volumeObject({}, { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['somebody.else'] });
    expect(decide(observedVolume({ object, config: null })).state).to.equal('gone');
  });

  it('asks the API server before it touches what has no object', () => {
    const decision = decide(observedVolume({ object: null }));
    expect(decision.actions[0]).to.deep.equal({ kind: 'confirmAbsent', name: 'pgdata' });
    expect(deleted(decision)).to.include(KEYS.volume(UID));
    expect(kinds(decide(observedVolume({ object: null, config: config({ primary: primary('a') }) })))).to.deep.equal([
      'confirmAbsent',
      'commit',
    ]);
  });

  it('does the rest of a deletion whose object is gone: a machine came back', () => {
    const done = observedTask('delete', 'a', 'done');
    expect(deleted(decide(observedVolume({ object: null, config: null, tasks: [done] })))).to.include(done.task.key);
    expect(
      decide(
        observedVolume({ object: null, config: null, tasks: [observedTask('delete', 'a', 'filed')] }),
        world({ machines: without('a') }),
      ).state,
    ).to.equal('gone');
  });

  it('sizes what it gives away by the config, not by a spec that grew', () => {
    const full = [...'abc'].map((letter) => machine(letter, { pools: [pool({ allocatedBytes: 1_000 * GiB })] }));
    const around = world({ machines: [...full, machine('d')] });
    const decision = decide(observedVolume({ object: volumeObject({ size: '2Gi', replicas: 4 }) }), around);
    expect(filedTasks(decision)[0]?.spec).to.deep.include({ sizeBytes: GiB });
  });
});
