import { expect } from 'chai';
import { clockThatCountsSleep } from '../../../../agent/edge/clock.ts';

describe('the clock that counts sleep', () => {
  const make = () => {
    const machine = { awakeMs: 100, sinceBootMs: 5_000 };
    const turns: (() => void)[] = [];
    const awake = { monotonicMs: () => machine.awakeMs, wallMs: () => 0 };
    const clock = clockThatCountsSleep(
      awake,
      () => machine.sinceBootMs,
      (done) => turns.push(done),
    );
    const endTurn = () => {
      for (const done of turns.splice(0)) done();
    };
    const run = (awakeMs: number, asleepMs: number) => {
      machine.awakeMs += awakeMs;
      machine.sinceBootMs += awakeMs + asleepMs;
      endTurn();
    };
    return { clock, run };
  };

  it('goes on by what was slept', () => {
    const { clock, run } = make();
    const startMs = clock.monotonicMs();
    run(50, 60_000);
    expect(clock.monotonicMs() - startMs).to.equal(60_050);
    run(10, 0);
    expect(clock.monotonicMs() - startMs).to.equal(60_060);
  });

  it('does not take rounding for sleep, and never goes back', () => {
    const { clock, run } = make();
    let beforeMs = clock.monotonicMs();
    for (const jitterMs of [9, -9, 12, -12, 5_000, -30, 3]) {
      run(1, jitterMs);
      expect(clock.monotonicMs()).to.be.at.least(beforeMs);
      beforeMs = clock.monotonicMs();
    }
    expect(beforeMs).to.be.within(5_100, 5_150);
  });
});
