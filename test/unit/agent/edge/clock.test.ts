import { expect } from 'chai';
import { clockThatCountsSleep } from '../../../../agent/edge/clock.ts';

describe('the clock that counts sleep', () => {
  const make = () => {
    const machine = { awakeMs: 100, sinceBootMs: 5_000, wallMs: 1_000_000, looks: 0 };
    const awake = { monotonicMs: () => machine.awakeMs, wallMs: () => machine.wallMs };
    const clock = clockThatCountsSleep(awake, () => {
      machine.looks++;
      return machine.sinceBootMs;
    });
    const run = (awakeMs: number, asleepMs: number, setMs = 0) => {
      machine.awakeMs += awakeMs;
      machine.sinceBootMs += awakeMs + asleepMs;
      machine.wallMs += awakeMs + asleepMs + setMs;
    };
    return { clock, run, machine };
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

  it('takes no wall clock that was set for sleep', () => {
    const { clock, run } = make();
    const startMs = clock.monotonicMs();
    run(10, 0, 3_600_000);
    expect(clock.monotonicMs() - startMs).to.equal(10);
    run(10, 0, -7_200_000);
    expect(clock.monotonicMs() - startMs).to.equal(20);
  });

  it('finds soon what a wall clock hides that was set back by as long as was slept', () => {
    const { clock, run } = make();
    const startMs = clock.monotonicMs();
    run(1, 30_000, -30_000);
    run(50, 0);
    expect(clock.monotonicMs() - startMs).to.equal(30_051);
  });

  it('does not look at each call', () => {
    const { clock, run, machine } = make();
    const before = machine.looks;
    for (let call = 0; call < 100; call++) {
      clock.monotonicMs();
      run(0.1, 0);
    }
    expect(machine.looks - before).to.equal(0);
  });
});
