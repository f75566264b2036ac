/** How often a primary asks for leases: all the time while there is something to do, seldom at rest, and at once when a client comes back. */
import { expect } from 'chai';
import { ASK_ALONE_MS, REST_AFTER_MS, REST_MS_MAX } from '../../../../agent/primary/heartbeats.ts';
import { Witness } from '../../../../agent/primary/witness.ts';
import { PrimaryBench, SETTINGS } from '../../../support/primaryBench.ts';

const TICK_MS = 50;
const BLOCK = Buffer.alloc(4096, 7);
/** Half of `replicaTimeoutMs` is less here. */
const REST_MS = Math.min(REST_MS_MAX, SETTINGS.replicaTimeoutMs / 2);

const pings = (bench: PrimaryBench, letter: string) =>
  bench.replica(letter).heard.flatMap((message) => (message.type === 'ping' ? [message] : []));
const pingsWithin = (bench: PrimaryBench, durationMs: number): number => {
  const before = pings(bench, 'b').length;
  bench.pass(durationMs);
  return pings(bench, 'b').length - before;
};

function resting(options: Partial<ConstructorParameters<typeof PrimaryBench>[0]> = {}): PrimaryBench {
  const bench = new PrimaryBench({ inSync: 'abc', ...options });
  bench.pass(REST_AFTER_MS + 500);
  expect(bench.primary.isResting).to.equal(true);
  return bench;
}

/** Volumes of one thread, with replicas in the same pools; time passes for all of them. */
function restingTogether(count: number): { benches: PrimaryBench[]; pass: (durationMs: number) => void } {
  const witness = new Witness();
  const benches = Array.from({ length: count }, () => new PrimaryBench({ inSync: 'abc', witness }));
  const pass = (durationMs: number) => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += TICK_MS) for (const bench of benches) bench.pass(TICK_MS);
  };
  pass(REST_AFTER_MS + 500);
  expect(benches.map(({ primary }) => primary.isResting)).to.not.include(false);
  return { benches, pass };
}

describe('Heartbeats of a primary', () => {
  it('come all the time at first, and seldom when nobody has asked for anything for a while', () => {
    const bench = new PrimaryBench({ inSync: 'abc' });
    expect(pingsWithin(bench, REST_AFTER_MS)).to.be.within(9, 11);
    bench.pass(500);
    expect(pingsWithin(bench, 10 * REST_MS)).to.equal(10);
    expect(bench.primary.report().state).to.equal('serving');
  });

  it('at rest: a request asks for leases beside what it sends, and is answered when both are, without a tick', () => {
    const bench = resting();
    bench.nowMs += REST_MS - 100;
    const before = bench.replica('b').heard.length;
    const answers: string[] = [];
    bench.client.write(0, [BLOCK], BLOCK.length, false, (error) => answers.push(error?.code ?? 'written'));
    bench.client.read(4096, 4096, (error) => answers.push(error?.code ?? 'read'));
    expect(
      bench
        .replica('b')
        .heard.slice(before)
        .map(({ type }) => type),
    ).to.deep.equal(['ping', 'write']);
    expect([answers, bench.primary.report().state]).to.deep.equal([[], 'serving']);
    bench.settle();
    expect(answers.sort()).to.deep.equal(['read', 'written']);
    expect(bench.primary.isResting).to.equal(false);
  });

  it('at rest: the first request wakes whoever ticks, and only that one', () => {
    let woken = 0;
    const bench = resting({ woke: () => woken++ });
    woken = 0;
    for (const offsetBytes of [0, 4096]) bench.client.write(offsetBytes, [BLOCK], BLOCK.length, false, () => undefined);
    expect(woken).to.equal(1);
    bench.settle();
    expect(woken).to.equal(1);
  });

  it('at rest: a session that breaks wakes whoever ticks', () => {
    let woken = 0;
    const bench = resting({ woke: () => woken++ });
    woken = 0;
    bench.replica('b').breaks();
    expect([woken, bench.primary.isResting]).to.deep.equal([1, false]);
  });

  it('at rest: a read is not answered before everybody has granted a lease anew', () => {
    const bench = resting();
    bench.replica('c').mute.add('ping');
    bench.nowMs += REST_MS - 100;
    let answered = false;
    bench.client.read(0, 4096, () => {
      answered = true;
    });
    bench.settle();
    expect(answered).to.equal(false);
    bench.replica('c').mute.clear();
    bench.settle();
    expect(answered).to.equal(true);
  });

  it('tell that all is settled and that logs may be cleaned, before they become seldom', () => {
    const bench = resting();
    bench.client.write(0, [BLOCK], BLOCK.length, false, () => undefined);
    bench.pass(REST_AFTER_MS + 500);
    expect(bench.primary.isResting).to.equal(true);
    for (const letter of 'abc') expect(pings(bench, letter).at(-1), letter).to.deep.include({ settled: 1, mayClean: true });
  });

  it('are as before while a replica misses something, a proposal is out, or a request waits', () => {
    const learning = new PrimaryBench({ inSync: 'ab', learners: 'c', before: (made) => made.replica('c').mute.add('digest') });
    learning.replica('a').stamped = [1];
    learning.pass(5_000);
    expect(learning.primary.isResting).to.equal(false);
    const waiting = new PrimaryBench({ inSync: 'abc' });
    waiting.pass(100);
    waiting.replica('c').mute.add('write');
    waiting.client.write(0, [BLOCK], BLOCK.length, false, () => undefined);
    waiting.pass(1_800);
    expect(waiting.primary.isResting).to.equal(false);
  });

  it('at rest: who is silent is noticed and dropped, not much later than ever', () => {
    const bench = resting();
    bench.replica('c').mute.add('ping');
    bench.pass(REST_MS + SETTINGS.replicaTimeoutMs + 200);
    expect(bench.proposed()).to.deep.equal(['ab']);
  });

  it('at rest: of many volumes one asks each pool, and each session is asked by itself now and then', () => {
    const { benches, pass } = restingTogether(10);
    const asked = () => benches.flatMap((bench) => pings(bench, 'b')).length;
    const before = asked();
    pass(20 * REST_MS);
    expect(asked() - before).to.be.within(15, 21);
    const alone = benches.map((bench) => pings(bench, 'b').length);
    pass(ASK_ALONE_MS + 2 * REST_MS);
    for (const [index, bench] of benches.entries()) expect(pings(bench, 'b').length).to.be.greaterThan(alone[index] ?? 0);
  });

  it('at rest: a pool that falls silent is noticed by all volumes, not much later than ever', () => {
    const { benches, pass } = restingTogether(3);
    for (const bench of benches) bench.replica('c').mute.add('ping');
    pass(REST_MS + SETTINGS.replicaTimeoutMs + 3 * SETTINGS.heartbeatMs);
    expect(benches.map((bench) => bench.proposed())).to.deep.equal([['ab'], ['ab'], ['ab']]);
  });

  it('at rest: a session that alone falls silent is noticed within a minute, and when it is asked for anything', () => {
    const { benches, pass } = restingTogether(2);
    for (const bench of benches) bench.replica('c').mute.add('ping');
    benches[0]?.replica('c').mute.clear();
    pass(ASK_ALONE_MS + REST_MS + SETTINGS.replicaTimeoutMs);
    expect(benches.map((bench) => bench.proposed())).to.deep.equal([[], ['ab']]);
  });

  it('at rest: a session that breaks is noticed at once', () => {
    const bench = resting();
    bench.replica('c').breaks();
    expect(bench.proposed()).to.deep.equal(['ab']);
    expect(bench.primary.isResting).to.equal(false);
  });

  it('at rest: a snapshot and a later config are worked on at once', () => {
    const bench = resting();
    const outcomes: unknown[] = [];
    bench.primary.snapshot({ snapshot: 'snapshot-1', attempt: 1 } as never, (outcome) => outcomes.push(outcome));
    expect(bench.primary.isResting).to.equal(false);
    bench.pass(200);
    expect(outcomes).to.have.length(1);
  });
});
