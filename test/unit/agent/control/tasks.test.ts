/** Claiming, performing and ending tasks against a store that loses answers, and beside another process that does the same. */
import { expect } from 'chai';
import fc from 'fast-check';
import { TASKS_MAX, TaskRunner } from '../../../../agent/control/tasks/taskRunner.ts';
import { type InstanceId, replicaId } from '../../../../core/ids.ts';
import { createTaskId, keysOf } from '../../../../core/keys.ts';
import { silentLog } from '../../../../core/log.ts';
import { type Claim, type CreateSpec, fileTask, refileIfLost, type Task, type TaskSpec } from '../../../../core/task.ts';
import { INSTANCE, OTHER_INSTANCE, UID } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest, type Fault, ScriptedLease, ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');
const NODE = 'node-a';

function taskOf(index = 0): Task {
  const replica = replicaId(index.toString(16).padStart(16, '0'));
  const spec: TaskSpec = { kind: 'create-replica', volume: UID, replica, pool: 'default', sizeBytes: 4096, volumeName: 'pgdata' };
  return fileTask(createTaskId(replica), NODE, spec, 1, 'trace');
}

class Worker {
  readonly store: ScriptedStore;
  readonly clock: ManualClock;
  readonly lease = new ScriptedLease();
  readonly performed: TaskSpec[] = [];
  readonly runner: TaskRunner;
  readonly waiting: (() => void)[] = [];
  isManual = false;
  error: string | null = null;
  refused = 0;
  readonly schema: { problem: string | null } = { problem: null };
  inWork = 0;
  inWorkMax = 0;

  constructor(store = new ScriptedStore(), clock = new ManualClock(), instance: InstanceId = INSTANCE) {
    this.store = store;
    this.clock = clock;
    this.runner = new TaskRunner({
      store,
      keys,
      clock,
      lease: this.lease,
      schema: this.schema,
      log: silentLog,
      node: NODE,
      instance,
      perform: (spec) => this.#perform(spec),
      ended: () => undefined,
      refused: () => {
        this.refused++;
      },
    });
  }

  async #perform(spec: TaskSpec): Promise<string | null> {
    this.inWork++;
    this.inWorkMax = Math.max(this.inWorkMax, this.inWork);
    this.performed.push(spec);
    if (this.isManual) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else await atRest();
    this.inWork--;
    return this.error;
  }

  file(task: Task): void {
    this.store.put(keys.task(task.node, task.id), task);
  }

  async run(forMs = 1_000): Promise<void> {
    for (let spentMs = 0; spentMs < forMs; spentMs += 50) {
      await atRest();
      this.clock.advance(50);
      this.runner.tick(this.clock.nowMs);
    }
    await atRest();
  }

  task(task = taskOf()): Task | null {
    return this.store.json(keys.task(task.node, task.id));
  }

  claim(task = taskOf()): Claim | null {
    return this.store.json(keys.claim(task.id));
  }

  /** As the leader does when it notices. */
  refile(task = taskOf()): void {
    const stands = this.task(task);
    const again = stands && refileIfLost(stands, this.claim(task), 2);
    if (again) this.file(again);
  }
}

describe('a task', () => {
  it('is claimed, performed and ended, and its claim is gone', async () => {
    const worker = new Worker();
    worker.file(taskOf());
    await worker.run();
    expect(worker.task()).to.deep.equal({ ...taskOf(), state: 'done' });
    expect(worker.claim()).to.equal(null);
    expect(worker.performed).to.deep.equal([taskOf().spec]);
  });

  it('is left alone while etcd is of a schema that is not known here', async () => {
    const worker = new Worker();
    worker.schema.problem = 'etcd is of schema 9';
    worker.file(taskOf());
    await worker.run();
    expect([worker.task(), worker.claim()]).to.deep.equal([taskOf(), null]);
    worker.schema.problem = null;
    await worker.run();
    expect(worker.task()?.state).to.equal('done');
  });

  it('that fails is ended as failed, with the reason', async () => {
    const worker = new Worker();
    worker.error = 'the pool is full';
    worker.file(taskOf());
    await worker.run();
    expect(worker.task()).to.deep.equal({ ...taskOf(), state: 'failed', error: 'the pool is full' });
  });

  it('is under a claim of this instance and attempt while it is performed', async () => {
    const worker = new Worker();
    worker.isManual = true;
    worker.file({ ...taskOf(), attempt: 3 });
    await worker.run();
    expect(worker.claim()).to.deep.equal({ node: NODE, instance: INSTANCE, attempt: 3 });
    expect(worker.task()?.state).to.equal('running');
    worker.store.expireLeases();
    expect(worker.claim(), 'the claim stands under the lease').to.equal(null);
  });

  const FAULTS: { name: string; faults: Fault[]; performed: number }[] = [
    { name: 'the claim never landed', faults: ['lostBefore'], performed: 1 },
    { name: 'the claim landed, its answer was lost', faults: ['lostAfter'], performed: 1 },
    { name: 'the claim lands late', faults: ['late'], performed: 1 },
    { name: 'the end never landed', faults: ['none', 'lostBefore'], performed: 1 },
    { name: 'the end landed, its answer was lost', faults: ['none', 'lostAfter'], performed: 1 },
    { name: 'the end lands late', faults: ['none', 'late'], performed: 1 },
    { name: 'everything is lost twice', faults: ['lostBefore', 'lostAfter', 'lostBefore', 'lostAfter'], performed: 1 },
  ];
  for (const { name, faults, performed } of FAULTS) {
    it(`ends once, performed once: ${name}`, async () => {
      const worker = new Worker();
      worker.store.commitFaults.push(...faults);
      worker.file(taskOf());
      await worker.run(400);
      worker.store.land();
      await worker.run(8_000);
      expect(worker.task()?.state).to.equal('done');
      expect(worker.claim()).to.equal(null);
      expect(worker.performed.length).to.equal(performed);
    });
  }

  it('that a former process of this agent has claimed is left alone until the leader files it again', async () => {
    const worker = new Worker();
    const claim: Claim = { node: NODE, instance: OTHER_INSTANCE, attempt: 1 };
    worker.store.put(keys.claim(taskOf().id), claim, true);
    worker.file({ ...taskOf(), state: 'running' });
    await worker.run(10_000);
    expect(worker.performed).to.deep.equal([]);
    worker.store.expireLeases();
    await worker.run(10_000);
    expect(worker.performed, 'not even when the claim has gone').to.deep.equal([]);
    worker.refile();
    await worker.run(2_000);
    expect(worker.task()).to.include({ state: 'done', attempt: 2 });
  });

  it('whose claim was lost with the lease is not ended by the late loser, and is done again when filed again', async () => {
    const worker = new Worker();
    worker.isManual = true;
    worker.file(taskOf());
    await worker.run();
    worker.store.expireLeases();
    worker.refile();
    await worker.run(2_000);
    expect(worker.performed.length, 'one attempt at a time').to.equal(1);
    worker.waiting.shift()?.();
    await worker.run(500);
    expect(worker.task(), 'the first attempt changed nothing').to.not.include({ state: 'done' });
    worker.isManual = false;
    await worker.run(3_000);
    worker.waiting.shift()?.();
    await worker.run(3_000);
    expect(worker.task()).to.include({ state: 'done', attempt: 2 });
    expect(worker.performed.length).to.equal(2);
  });

  it('that is filed and still claimed is left alone', async () => {
    const worker = new Worker();
    worker.store.put(keys.claim(taskOf().id), { node: NODE, instance: OTHER_INSTANCE, attempt: 1 } satisfies Claim);
    worker.file(taskOf());
    await worker.run(5_000);
    expect(worker.performed).to.deep.equal([]);
    worker.store.delete(keys.claim(taskOf().id));
    await worker.run(2_000);
    expect(worker.task()?.state).to.equal('done');
  });

  it('that the leader took back before it was claimed does not come to life again', async () => {
    const worker = new Worker();
    worker.store.commitFaults.push('held');
    worker.file(taskOf());
    await worker.run(300);
    worker.store.delete(keys.task(NODE, taskOf().id));
    worker.store.release();
    await worker.run(2_000);
    expect(worker.performed).to.deep.equal([]);
    expect(worker.task()).to.equal(null);
    expect(worker.claim()).to.equal(null);
  });

  it('whose claim has gone is not ended, even if nobody has filed it again yet', async () => {
    const worker = new Worker();
    worker.isManual = true;
    worker.file(taskOf());
    await worker.run();
    worker.store.expireLeases();
    worker.waiting.shift()?.();
    await worker.run(5_000);
    expect(worker.task()?.state).to.equal('running');
    expect(worker.runner.runsInWork).to.equal(0);
  });

  it('waits for the one before of its replica', async () => {
    const worker = new Worker();
    const { volume, replica, pool } = taskOf().spec as CreateSpec;
    const removal: Task = { ...taskOf(), id: 'delete-it', spec: { kind: 'delete-replica', volume, replica, pool } };
    worker.isManual = true;
    worker.file(taskOf());
    worker.file(removal);
    await worker.run(3_000);
    expect(worker.performed).to.deep.equal([taskOf().spec]);
    worker.waiting.shift()?.();
    await worker.run(3_000);
    expect(worker.performed).to.deep.equal([taskOf().spec, removal.spec]);
  });

  it('is not claimed while there is no lease', async () => {
    const worker = new Worker();
    worker.lease.isAlive = false;
    worker.file(taskOf());
    await worker.run(3_000);
    expect(worker.store.asked).to.deep.equal([]);
    worker.lease.grant();
    await worker.run(2_000);
    expect(worker.task()?.state).to.equal('done');
  });

  it('is not claimed by an agent that stops; one in work goes on', async () => {
    const worker = new Worker();
    worker.isManual = true;
    worker.file(taskOf(1));
    await worker.run();
    worker.runner.stop();
    worker.file(taskOf(2));
    worker.waiting.shift()?.();
    await worker.run(3_000);
    expect(worker.task(taskOf(1))?.state).to.equal('done');
    expect(worker.task(taskOf(2))?.state).to.equal('filed');
  });

  it('waits while too many are in work', async () => {
    const worker = new Worker();
    for (let index = 0; index < 20; index++) worker.file(taskOf(index));
    worker.isManual = true;
    await worker.run();
    expect(worker.performed.length).to.equal(TASKS_MAX);
    worker.isManual = false;
    for (const resume of worker.waiting) resume();
    await worker.run(15_000);
    expect(worker.inWorkMax).to.equal(TASKS_MAX);
    for (let index = 0; index < 20; index++) expect(worker.task(taskOf(index))?.state).to.equal('done');
  });

  const BAD: { name: string; value: unknown }[] = [
    { name: 'no JSON', value: '{' },
    { name: 'an unknown kind', value: { ...taskOf(), spec: { ...taskOf().spec, kind: 'format-disk' } } },
    { name: 'an unknown field', value: { ...taskOf(), force: true } },
    { name: 'a replica id that is a path', value: { ...taskOf(), spec: { ...taskOf().spec, replica: '../../../../x' } } },
    { name: 'a negative size', value: { ...taskOf(), spec: { ...taskOf().spec, sizeBytes: -1 } } },
    { name: 'an id that is not its key', value: { ...taskOf(), id: 'another' } },
    { name: 'another node', value: { ...taskOf(), node: 'node-b' } },
    { name: 'a snapshot of nothing', value: { ...taskOf(), spec: { kind: 'snapshot', volume: UID } } },
    {
      name: 'a source that is not known whole',
      value: { ...taskOf(), spec: { ...taskOf().spec, source: { snapshot: 'uid-s', attempt: 1 } } },
    },
    { name: 'a size for a deletion', value: { ...taskOf(), spec: { ...taskOf().spec, kind: 'delete-replica' } } },
  ];
  for (const { name, value } of BAD) {
    it(`that cannot be understood is refused once, and harms no other: ${name}`, async () => {
      const worker = new Worker();
      worker.store.put(keys.task(NODE, taskOf().id), value);
      worker.file(taskOf(7));
      await worker.run(5_000);
      expect(worker.refused).to.equal(1);
      expect(worker.performed).to.deep.equal([taskOf(7).spec]);
    });
  }

  it('whatever is lost, whoever dies and however often: each attempt ends at most once, and in the end it is done', async () => {
    const fault = fc.constantFrom<Fault>('none', 'none', 'lostBefore', 'lostAfter', 'late');
    const event = fc.constantFrom('run', 'land', 'failRead', 'dies', 'leader');
    await fc.assert(
      fc.asyncProperty(fc.array(fault, { maxLength: 8 }), fc.array(event, { maxLength: 12 }), async (faults, events) => {
        const store = new ScriptedStore();
        const clock = new ManualClock();
        let starts = 0;
        const start = () => new Worker(store, clock, (++starts).toString(16).padStart(16, '0') as InstanceId);
        let worker = start();
        store.commitFaults.push(...faults);
        worker.file(taskOf());
        const HAPPENS: Record<string, () => void> = {
          run: () => undefined,
          land: () => store.land(),
          failRead: () => {
            store.failingReads++;
          },
          dies: () => {
            worker.lease.isAlive = false;
            worker.runner.stop();
            store.expireLeases();
            worker = start();
          },
          leader: () => worker.refile(),
        };
        for (const name of events) {
          HAPPENS[name]?.();
          await worker.run(300);
        }
        store.commitFaults.length = 0;
        store.failingReads = 0;
        for (let round = 0; round < 5; round++) {
          await worker.run(2_500);
          worker.refile();
        }
        expect(worker.task()?.state).to.equal('done');
        const ends = store.landed.flatMap(({ changes }) =>
          changes.flatMap((change) => ('put' in change && change.put.includes('/tasks/') ? [JSON.parse(change.value) as Task] : [])),
        );
        const done = ends.filter(({ state }) => state === 'done');
        expect(done.length).to.equal(1);
      }),
      { numRuns: 40 },
    );
  }).timeout(30_000);
});
