/** A handful of fixed seeds on every change, and that a seed is a seed. Many more: test/sim/run.ts. */
import { expect } from 'chai';
import { drawOptions } from '../../sim/options.ts';
import { runSeed } from '../../sim/seedRun.ts';
import { simulate } from '../../sim/simulate.ts';
import { simulateTasks } from '../../sim/tasks/simulate.ts';

const STEPS = 10_000;
const TASK_STEPS = 3_000;
/** The first ones each showed a bug once; see the log of agent/primary. The others: several shards, the real store, torn blocks, rot, bytes on the wire. */
const SEEDS = [13, 16, 57, 63, 72, 97, 108, 143, 26, 27, 48];

describe('The simulated cluster', function () {
  this.timeout(120_000);

  for (const seed of SEEDS) {
    it(`keeps every invariant with seed ${seed}`, () => {
      const { violation, answered } = simulate(drawOptions(seed, STEPS));
      expect(violation).to.equal(null);
      expect(answered).to.be.greaterThan(10);
    });
  }

  it('ends every task once in effect, whoever dies', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { violation, faults } = await simulateTasks(seed, TASK_STEPS);
      expect(violation, `seed ${seed}`).to.equal(null);
      expect(faults['tasks: agent fault'], `seed ${seed}`).to.be.greaterThan(0);
    }
  });

  it('does the very same for the same seed, and something else for another', async () => {
    const hashes: string[] = [];
    for (const seed of [7, 7, 8]) hashes.push((await runSeed(drawOptions(seed, STEPS))).traceHash);
    const [one, again, other] = hashes;
    expect(again).to.equal(one);
    expect(other).to.not.equal(one);
  });
});
