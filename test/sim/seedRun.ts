/** All that one seed is: the volume's world, then the task world. What `make sim SEED=…` replays. */
import type { SimOptions } from './options.ts';
import { type Outcome, simulate } from './simulate.ts';
import { Tally } from './tally.ts';
import { simulateTasks } from './tasks/simulate.ts';

/** Of the task world, which is small. */
const TASK_STEPS = 3_000;

/** Only one of them, where a mutant can show in no other. */
export type Worlds = 'both' | 'volume' | 'tasks';

export async function runSeed(
  options: SimOptions,
  tell: ((line: string) => void) | null = null,
  worlds: Worlds = 'both',
): Promise<Outcome> {
  const outcome = worlds === 'tasks' ? nothing(options) : simulate(options, tell);
  if (outcome.violation || worlds === 'volume') return outcome;
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

const nothing = (options: SimOptions): Outcome => ({
  options,
  traceHash: '',
  events: 0,
  virtualMs: 0,
  answered: 0,
  epochs: 0,
  faults: {},
  blindBlocks: 0,
  violation: null,
});
