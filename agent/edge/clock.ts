/**
 * The agent's clock: goes on while the machine sleeps, as leases need. Node's own monotonic clock stands still then, so a primary that slept would take
 * its leases for valid. The time since boot, which counts sleep, costs a file to be read, too much for each I/O; the wall clock costs nothing, and the kernel
 * sets it right by what was slept in the same step. So the time since boot is looked up as soon as the wall clock has moved against the monotonic one, and
 * now and then in any case: for a wall clock that somebody set back by just as long as the machine had slept.
 */
import { uptime } from 'node:os';
import { type Clock, systemClock } from '../../core/clock.ts';

const MS_PER_SECOND = 1000;
/** The time since boot is told in hundredths of a second: differences below are its rounding. */
const ROUNDING_MS = 20;
/** The wall clock moves against the monotonic one also when it is set. */
const WALL_MOVED_MS = 5;
const LOOK_MS = 50;

/** `sinceBootMs` must count sleep, as must the wall clock of `awake`; its monotonic one need not. */
export function clockThatCountsSleep(awake: Clock, sinceBootMs: () => number): Clock {
  const offsetMs = sinceBootMs() - awake.monotonicMs();
  let sleptMs = 0;
  let lookedAtMs = awake.monotonicMs();
  let wallAheadMs = awake.wallMs() - lookedAtMs;
  return {
    wallMs: () => awake.wallMs(),
    monotonicMs: () => {
      const awakeMs = awake.monotonicMs();
      const aheadMs = awake.wallMs() - awakeMs;
      if (Math.abs(aheadMs - wallAheadMs) > WALL_MOVED_MS || awakeMs - lookedAtMs >= LOOK_MS) {
        wallAheadMs = aheadMs;
        lookedAtMs = awakeMs;
        const measuredMs = sinceBootMs() - awakeMs - offsetMs;
        if (measuredMs > sleptMs + ROUNDING_MS) sleptMs = measuredMs;
      }
      return awakeMs + sleptMs;
    },
  };
}

export const wakefulClock: Clock = clockThatCountsSleep(systemClock, () => uptime() * MS_PER_SECOND);
