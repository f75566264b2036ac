/** One run of the task world: faults for so many events, then none until every task that was wanted has ended and is put away. */
import { setImmediate as nextMacrotask } from 'node:timers/promises';
import { messageOf } from '../../../core/errors.ts';
import type { Outcome } from '../simulate.ts';
import { Violation } from '../violation.ts';
import { TaskWorld } from './world.ts';

/** From the end of the faults until nothing is left to do; a tick is 50 ms. */
const ENDED_WITHIN_TICKS = 1_200;
const TICK_MS = 50;

export type TasksOutcome = Pick<Outcome, 'violation' | 'traceHash' | 'events' | 'virtualMs' | 'faults'>;

export async function simulateTasks(seed: number, steps: number, tell: ((line: string) => void) | null = null): Promise<TasksOutcome> {
  const world = new TaskWorld(seed, tell);
  let violation: Outcome['violation'] = null;
  // What throws behind a promise would end the process: nobody waits for it.
  let thrown: unknown = null;
  const caught = (error: unknown) => {
    thrown ??= error;
  };
  process.on('unhandledRejection', caught);
  try {
    const step = async () => {
      world.schedule.runNext();
      if (world.schedule.takeSettled()) await nextMacrotask();
      if (thrown) throw thrown;
    };
    while (world.schedule.eventCount < steps) await step();
    world.endFaults();
    const untilMs = world.schedule.nowMs + ENDED_WITHIN_TICKS * TICK_MS;
    for (let left = world.unfinished(); left !== null; left = world.unfinished()) {
      if (world.schedule.nowMs > untilMs) throw new Violation('liveness', `not after ${ENDED_WITHIN_TICKS} ticks: ${left}`);
      for (let events = 0; events < 50; events++) await step();
    }
  } catch (error) {
    const checker = error instanceof Violation ? error.checker : 'crash';
    violation = { checker, message: messageOf(error), stack: error instanceof Error ? (error.stack ?? '') : '' };
  } finally {
    process.off('unhandledRejection', caught);
  }
  const { traceHash, eventCount, nowMs } = world.schedule;
  return { violation, traceHash, events: eventCount, virtualMs: Math.round(nowMs), faults: world.tally.counts };
}
