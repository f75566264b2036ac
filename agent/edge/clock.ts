/**
 * The agent's clock: goes on while the machine sleeps, as leases need. Node's own monotonic clock stands still then, so a primary that slept would take
 * its leases for valid. What was slept is looked up once a turn of the event loop: a machine that goes to sleep within a turn is like a reply that
 * is late by as long, and that is allowed.
 */
import { uptime } from 'node:os';
import { type Clock, systemClock } from '../../core/clock.ts';

const MS_PER_SECOND = 1000;
/** The time since boot is told in hundredths of a second: differences below are its rounding. */
const ROUNDING_MS = 20;

/** `sinceBootMs` must count sleep, `awakeMs` need not; `nextTurn` calls back when this turn of the event loop is over. */
export function clockThatCountsSleep(awake: Clock, sinceBootMs: () => number, nextTurn: (done: () => void) => void): Clock {
  const offsetMs = sinceBootMs() - awake.monotonicMs();
  let sleptMs = 0;
  let isLookedUp = false;
  return {
    wallMs: () => awake.wallMs(),
    monotonicMs: () => {
      const awakeMs = awake.monotonicMs();
      if (!isLookedUp) {
        isLookedUp = true;
        nextTurn(() => {
          isLookedUp = false;
        });
        const measuredMs = sinceBootMs() - awakeMs - offsetMs;
        if (measuredMs > sleptMs + ROUNDING_MS) sleptMs = measuredMs;
      }
      return awakeMs + sleptMs;
    },
  };
}

export const wakefulClock: Clock = clockThatCountsSleep(
  systemClock,
  () => uptime() * MS_PER_SECOND,
  (done) => setImmediate(done),
);
