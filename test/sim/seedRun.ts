/** All that one seed is: the volume's world, then the task world. What `make sim SEED=…` replays. */
import type { SimOptions } from './options.ts';
import { type Outcome, simulate } from './simulate.ts';
import { Tally } from './tally.ts';
import { simulateTasks } from './tasks/simulate.ts';

/** Of the task world, which is small. */
const TASK_STEPS = 3_000;

export async function runSeed(options: SimOptions, tell: ((line: string) => void) | null = null): Promise<Outcome> {
  const outcome = simulate(options, tell);
  if (outcome.violation) return outcome;
  const tasks = await simulateTasks(options.seed, Math.min(TASK_STEPS, options.steps), tell);
  const tally = new Tally();
  tally.add(outcome.faults);
  tally.add(tasks.faults);
  return {
    ...outcome,
    traceHash: `${outcome.traceHash}${tasks.traceHash}`,
    events: outcome.events + tasks.events,
    virtualMs: outcome.virtualMs + tasks.virtualMs,
    faults: tally.counts,
    violation: tasks.violation,
  };
}
