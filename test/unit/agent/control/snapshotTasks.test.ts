/** A snapshot from its task to its record, against a store that loses answers and a primary that does as the test says. */
import { expect } from 'chai';
import { type SnapshotSpec, SnapshotTasks } from '../../../../agent/control/tasks/snapshotTasks.ts';
import type { SnapshotRequest } from '../../../../agent/ports.ts';
import type { SnapshotDone, SnapshotOutcome } from '../../../../agent/primary/snapshot.ts';
import { snapshotUid } from '../../../../core/ids.ts';
import { keysOf } from '../../../../core/keys.ts';
import { silentLog } from '../../../../core/log.ts';
import { parseRecordedSnapshot, type RecordedSnapshot } from '../../../../core/snapshot.ts';
import { configWith, INSTANCE, OTHER_INSTANCE, REPLICAS, UID } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest, ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');
const SNAPSHOT = snapshotUid('snap-1');
const SPEC: SnapshotSpec = { kind: 'snapshot', volume: UID, snapshot: SNAPSHOT };
const KEY = keys.snapshot(UID, SNAPSHOT);
const CLAIM = { key: keys.claim('snapshot-snap-1'), value: '{"node":"node-a"}' };
const KEPT: SnapshotOutcome = {
  epoch: 1,
  sizeBytes: 16 * 1024 * 1024,
  replicas: REPLICAS.map((replica, index) => ({ shard: 0, replica, node: `node-${index}`, pool: 'default' })),
  problem: null,
};

class Bench {
  readonly store = new ScriptedStore();
  readonly clock = new ManualClock();
  readonly asked: { request: SnapshotRequest; done: SnapshotDone }[] = [];
  readonly tasks: SnapshotTasks;
  isPrimaryHere = true;
  /** What came of each task. */
  readonly ended: (string | null)[] = [];

  constructor() {
    this.store.put(keys.volume(UID), configWith());
    this.store.put(CLAIM.key, CLAIM.value, true);
    this.tasks = new SnapshotTasks({
      store: this.store,
      keys,
      clock: this.clock,
      node: 'node-a',
      instance: INSTANCE,
      ask: (_volume, request, done) => {
        if (this.isPrimaryHere) this.asked.push({ request, done });
        return this.isPrimaryHere;
      },
    });
  }

  take(): void {
    void this.tasks.take(SPEC, { ...CLAIM, is: 'value' }, silentLog).then((problem) => this.ended.push(problem));
  }

  async run(forMs = 500): Promise<void> {
    for (let spentMs = 0; spentMs < forMs; spentMs += 50) {
      await atRest();
      this.clock.advance(50);
      this.tasks.tick();
    }
    await atRest();
  }

  /** Taken, up to where the primary has been asked. */
  async asks(): Promise<{ request: SnapshotRequest; done: SnapshotDone }> {
    this.take();
    await this.run();
    const last = this.asked.at(-1);
    if (!last) throw new Error('the primary was not asked');
    return last;
  }

  get record(): RecordedSnapshot | null {
    const entry = this.store.entry(KEY);
    return entry && parseRecordedSnapshot(entry.value).value;
  }
}

describe('a snapshot task', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
  });

  it('asks the primary, and records what it kept', async () => {
    const { request, done } = await bench.asks();
    expect([request.snapshot, bench.record]).to.deep.equal([SNAPSHOT, null]);
    done(KEPT);
    await bench.run();
    expect(bench.ended).to.deep.equal([null]);
    expect(bench.record).to.deep.include({ attempt: request.attempt, epoch: 1, replicas: KEPT.problem === null ? KEPT.replicas : [] });
  });

  it('has a number of its own in each attempt, which rises', async () => {
    const attempts: number[] = [];
    for (let time = 0; time < 3; time++) {
      // Every task is claimed by a transaction of its own.
      bench.store.put(CLAIM.key, CLAIM.value, true);
      const { request, done } = await bench.asks();
      attempts.push(request.attempt);
      done({ problem: 'not kept in time by node-b' });
      await bench.run();
    }
    expect(new Set(attempts).size).to.equal(3);
    expect(attempts).to.deep.equal([...attempts].sort((a, b) => a - b));
    expect(bench.ended).to.deep.equal(Array(3).fill('not kept in time by node-b'));
    expect(bench.record).to.equal(null);
  });

  it('that is recorded already is done, and nobody is asked', async () => {
    bench.store.put(KEY, { some: 'record' });
    bench.take();
    await bench.run();
    expect([bench.ended, bench.asked]).to.deep.equal([[null], []]);
  });

  it('waits a while for the primary that it was filed for', async () => {
    bench.isPrimaryHere = false;
    bench.take();
    await bench.run(2_000);
    bench.isPrimaryHere = true;
    await bench.run();
    expect(bench.asked).to.have.length(1);
    bench.isPrimaryHere = false;
    bench.take();
    await bench.run(11_000);
    expect(bench.ended).to.deep.equal(['the volume’s primary is not on this node']);
  });

  it('is recorded though members came and went since, not once another epoch or primary has begun', async () => {
    const changes = [
      { change: configWith({ version: 4, minInSync: 1 }), isRecorded: true },
      { change: configWith({ version: 4, epoch: 2 }), isRecorded: false },
      { change: configWith({ version: 4, primary: { node: 'node-a', instance: OTHER_INSTANCE, mode: 'serve' } }), isRecorded: false },
      { change: configWith({ version: 4, primary: null }), isRecorded: false },
    ];
    for (const { change, isRecorded } of changes) {
      const each = new Bench();
      const { done } = await each.asks();
      each.store.put(keys.volume(UID), change);
      done(KEPT);
      await each.run();
      expect(each.record !== null, JSON.stringify(change)).to.equal(isRecorded);
      expect(each.ended).to.deep.equal([isRecorded ? null : 'another primary has taken over meanwhile']);
    }
  });

  it('is not recorded once its claim is gone', async () => {
    const { done } = await bench.asks();
    bench.store.delete(CLAIM.key);
    done(KEPT);
    await bench.run();
    expect([bench.record, bench.ended]).to.deep.equal([null, ['the task was given up meanwhile']]);
  });

  it('whose record’s answer is lost looks whether it is there, and does not end before that is known', async () => {
    for (const fault of ['lostBefore', 'lostAfter', 'late'] as const) {
      const each = new Bench();
      const { done } = await each.asks();
      each.store.commitFaults.push(fault, fault);
      each.store.failingReads = 0;
      done(KEPT);
      await each.run(150);
      each.store.land();
      await each.run(3_000);
      expect(each.ended, fault).to.deep.equal([null]);
      expect(each.record, fault).not.to.equal(null);
      expect(each.store.landed.filter(({ changes }) => changes.some((change) => 'put' in change && change.put === KEY))).to.have.length(1);
    }
  });

  it('is not ended while a record may still land: a config that changed under it is what tells', async () => {
    const { done } = await bench.asks();
    bench.store.commitFaults.push('late');
    done(KEPT);
    await atRest();
    bench.store.failingReads = 20;
    await bench.run(2_000);
    expect(bench.ended).to.deep.equal([]);
    bench.store.put(keys.volume(UID), configWith({ version: 4, epoch: 2 }));
    bench.store.failingReads = 0;
    await bench.run(5_000);
    expect(bench.ended).to.deep.equal(['another primary has taken over meanwhile']);
    bench.store.land();
    expect(bench.record, 'what was sent under the earlier config').to.equal(null);
  });
});
