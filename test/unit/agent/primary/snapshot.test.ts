/** The barrier of a snapshot: what waits at it, what it waits for, and when an attempt comes to nothing. */
import { expect } from 'chai';
import { SNAPSHOT_BARRIER_MS, SNAPSHOT_WAIT_MS, SNAPSHOTS_WAITING_MAX, type SnapshotOutcome } from '../../../../agent/primary/snapshot.ts';
import { BLOCKS_PER_EXTENT } from '../../../../core/extent.ts';
import { snapshotUid } from '../../../../core/ids.ts';
import { idOf, PrimaryBench } from '../../../support/primaryBench.ts';

type Options = ConstructorParameters<typeof PrimaryBench>[0];

const ioTimeoutMs = 60_000;

function serving(options: Options): PrimaryBench {
  const bench = new PrimaryBench({ ...options, settings: { ioTimeoutMs, ...options.settings } });
  bench.pass(500);
  return bench;
}

/** Asks for it; the outcomes are told here. */
function take(bench: PrimaryBench, attempt = 7): SnapshotOutcome[] {
  const outcomes: SnapshotOutcome[] = [];
  bench.primary.snapshot({ snapshot: snapshotUid('snap-1'), attempt }, (outcome) => outcomes.push(outcome));
  return outcomes;
}

const problemsOf = (outcomes: readonly SnapshotOutcome[]): (string | null)[] => outcomes.map(({ problem }) => problem);
const kept = (bench: PrimaryBench, letters: string) => [...letters].map((letter) => bench.replica(letter).told('snapshot').length);

describe('A snapshot at its primary', () => {
  it('is kept by every in-sync replica of every shard, behind all that was written, and names them', () => {
    const bench = serving({ inSync: 'ab/cd' });
    bench.write(0);
    bench.write(BLOCKS_PER_EXTENT);
    const outcomes = take(bench);
    expect(kept(bench, 'abcd'), 'before the writes are settled').to.deep.equal([0, 0, 0, 0]);
    bench.settle();
    expect(kept(bench, 'abcd')).to.deep.equal([1, 1, 1, 1]);
    expect(bench.replica('a').told('write', 'snapshot')).to.deep.equal(['write 1 v20', 'snapshot']);
    const member = (letter: string, shard: number) => ({ shard, replica: idOf(letter), node: `node-${letter}`, pool: 'pool' });
    const replicas = [member('a', 0), member('b', 0), member('c', 1), member('d', 1)];
    expect(outcomes).to.deep.equal([{ epoch: 5, sizeBytes: bench.config.sizeBytes, replicas, problem: null }]);
  });

  it('holds back writes and zeroes that come later, not reads and flushes, and lets them go on in order', () => {
    const bench = serving({ inSync: 'ab' });
    for (const letter of 'ab') bench.replica(letter).mute.add('snapshot');
    const outcomes = take(bench);
    bench.settle();
    bench.write(0, 'first');
    bench.write(0, 'second');
    bench.flush();
    bench.read(1);
    bench.pass(1_000);
    expect(bench.answers).to.deep.equal(['read 1: from a', 'flush: done']);
    expect(bench.replica('b').told('write')).to.deep.equal([]);
    for (const letter of 'ab') bench.replica(letter).mute.clear();
    bench.settle();
    expect(problemsOf(outcomes)).to.deep.equal([null]);
    expect(bench.answers.slice(2)).to.deep.equal(['first: done', 'second: done']);
    expect(bench.replica('b').told('snapshot', 'write')).to.deep.equal(['snapshot', 'write 1 v20', 'write 2 v20']);
  });

  it('has replicas write out what they have cached before writers have to wait for it', () => {
    const bench = serving({ inSync: 'ab', settings: { replicaTimeoutMs: 60_000 } });
    bench.replica('b').mute.add('flush');
    const outcomes = take(bench);
    bench.write(0);
    bench.pass(2 * SNAPSHOT_BARRIER_MS);
    expect([bench.answers, kept(bench, 'ab'), outcomes]).to.deep.equal([['write 0: done'], [0, 0], []]);
    bench.replica('b').mute.clear();
    bench.settle();
    expect([kept(bench, 'ab'), problemsOf(outcomes)]).to.deep.equal([[1, 1], [null]]);
  });

  it('does not wait for the flush of one that is lost meanwhile', () => {
    const bench = serving({ inSync: 'ab', settings: { replicaTimeoutMs: 60_000 } });
    bench.replica('b').mute.add('flush');
    const outcomes = take(bench);
    bench.settle();
    bench.replica('b').breaks();
    bench.settle();
    bench.lands();
    bench.pass(100);
    expect(problemsOf(outcomes)).to.deep.equal([null]);
    expect(kept(bench, 'ab')).to.deep.equal([1, 0]);
  });

  it('waits for what is in flight, and goes on without it when that takes too long', () => {
    const bench = serving({ inSync: 'ab', settings: { replicaTimeoutMs: 60_000 } });
    bench.replica('b').mute.add('write');
    bench.write(0, 'before');
    const outcomes = take(bench);
    bench.settle();
    bench.write(1, 'behind');
    bench.pass(SNAPSHOT_BARRIER_MS - 100);
    expect([outcomes.length, bench.replica('a').told('write').length]).to.deep.equal([0, 1]);
    bench.pass(200);
    expect(problemsOf(outcomes)).to.deep.equal(['writes in flight were not settled, or replicas not there, in time']);
    expect(bench.replica('a').told('write')).to.have.length(2);
    expect(kept(bench, 'ab')).to.deep.equal([0, 0]);
  });

  it('takes no more of a client’s patience than half', () => {
    const bench = serving({ inSync: 'ab', settings: { ioTimeoutMs: 2_000, replicaTimeoutMs: 60_000 } });
    bench.replica('b').mute.add('snapshot');
    const outcomes = take(bench);
    bench.settle();
    bench.write(0, 'behind');
    bench.pass(1_100);
    expect(problemsOf(outcomes)).to.deep.equal(['not kept in time by node-b']);
    expect(bench.answers).to.deep.equal(['behind: done']);
  });

  it('waits until what is in doubt is level, and copies nothing else meanwhile', () => {
    const bench = serving({
      inSync: 'ab',
      learners: 'c',
      before: (made) => {
        made.replica('b').log = [2];
        made.replica('b').mute.add('level');
        made.replica('c').stamped = [0, 1, 3];
        made.replica('c').mute.add('changed');
      },
    });
    const outcomes = take(bench);
    bench.replica('c').mute.clear();
    bench.pass(500);
    expect(bench.replica('b').told('level'), 'levelled').to.have.length(1);
    expect(outcomes).to.deep.equal([]);
    bench.replica('b').mute.clear();
    for (const letter of 'ab') bench.replica(letter).mute.add('snapshot');
    bench.settle();
    expect(kept(bench, 'abc')).to.deep.equal([1, 1, 0]);
    const copied = bench.replica('c').told('digest').length;
    bench.pass(500);
    expect(bench.replica('c').told('digest').length, 'copied while it is kept').to.equal(copied);
    for (const letter of 'ab') bench.replica(letter).mute.clear();
    bench.pass(500);
    expect(problemsOf(outcomes)).to.deep.equal([null]);
    expect(bench.replica('c').told('digest').length).to.be.above(copied);
  });

  it('comes to nothing when one replica cannot keep it, says why, and costs nobody their place', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('b').snapshotProblem = 'snapshots: unsupported on pool slow (its file system cannot share blocks)';
    const outcomes = take(bench);
    bench.settle();
    bench.write(0);
    bench.pass(500);
    expect(problemsOf(outcomes)).to.deep.equal(['node-b: snapshots: unsupported on pool slow (its file system cannot share blocks)']);
    expect([bench.proposals, bench.answers]).to.deep.equal([[], ['write 0: done']]);
  });

  it('comes to nothing when a session ends meanwhile, also one that is there again', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('b').mute.add('snapshot');
    const outcomes = take(bench);
    bench.settle();
    bench.replica('b').breaks();
    expect(problemsOf(outcomes)).to.deep.equal([`the session of replica ${idOf('b')} on node-b has ended`]);
    bench.replica('b').isReachable = true;
    bench.replica('b').mute.clear();
    bench.pass(1_000);
    expect(outcomes).to.have.length(1);
  });

  it('comes to nothing when the config changes meanwhile', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('b').mute.add('snapshot');
    const outcomes = take(bench);
    bench.settle();
    bench.lands((config) => ({ ...config, minInSync: 2 }));
    bench.replica('b').mute.clear();
    bench.settle();
    expect(problemsOf(outcomes)).to.deep.equal(['the config has changed meanwhile']);
  });

  it('comes to nothing when the primary ends or lets go', () => {
    for (const end of ['stop', 'letGo'] as const) {
      const bench = serving({ inSync: 'ab' });
      bench.replica('b').mute.add('snapshot');
      const outcomes = [...take(bench, 7), ...take(bench, 8)];
      expect(outcomes).to.deep.equal([]);
      const first = take(bench, 9);
      bench.primary[end]();
      expect(problemsOf(first)).to.have.length(1);
      expect(problemsOf(take(bench, 10)), 'asked for later').to.have.length(1);
    }
  });

  it('waits for the primary to be ready, and no longer than it says', () => {
    const bench = new PrimaryBench({ inSync: 'ab', minInSync: 2, before: (made) => made.replica('b').mute.add('seal') });
    const outcomes = take(bench);
    bench.pass(2_000);
    expect(outcomes).to.deep.equal([]);
    bench.pass(SNAPSHOT_WAIT_MS);
    expect(problemsOf(outcomes)).to.deep.equal([`the volume was not ready for it within ${SNAPSHOT_WAIT_MS} ms`]);
  });

  it('follows on another that is being taken; too many are refused', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('b').mute.add('snapshot');
    const first = take(bench, 0);
    bench.settle();
    const all = [first, ...Array.from({ length: SNAPSHOTS_WAITING_MAX + 1 }, (_, index) => take(bench, 1 + index))];
    expect(problemsOf(all.at(-1) ?? [])).to.deep.equal([`more than ${SNAPSHOTS_WAITING_MAX} snapshots wait`]);
    bench.replica('b').mute.clear();
    bench.settle();
    expect(all.slice(0, -1).map(problemsOf)).to.deep.equal(all.slice(0, -1).map(() => [null]));
    expect(bench.replica('b').told('snapshot')).to.have.length(SNAPSHOTS_WAITING_MAX + 1);
  });

  it('is waited for by a primary in the background, which stays a while to be asked', () => {
    const bench = new PrimaryBench({ inSync: 'ab', mode: 'background' });
    bench.pass(1_000);
    expect(bench.proposals).to.deep.equal([]);
    bench.replica('b').mute.add('snapshot');
    const outcomes = take(bench);
    bench.pass(1_500);
    expect(bench.proposals, 'while it is taken').to.deep.equal([]);
    bench.replica('b').mute.clear();
    bench.pass(1_000);
    expect(problemsOf(outcomes)).to.deep.equal([null]);
    expect(bench.proposals.map(({ primary }) => primary)).to.deep.equal([null]);
  });
});
