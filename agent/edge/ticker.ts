/** The timers of control and of the workers. Must never call late ticks twice to catch up. */
import { systemClock } from '../../core/clock.ts';

/** Calls `tick` again and again. Returns what stops it. */
export function startTicker(intervalMs: number, tick: () => void): () => void {
  const timer = setInterval(tick, intervalMs);
  return () => clearInterval(timer);
}

export type PacedTicker = {
  /** Something has begun that may not wait so long for the next tick. */
  hasten(): void;
  stop(): void;
};

/** Each tick is told how late it comes, and says how long it may be until the next. */
export function startPacedTicker(shortestMs: number, tick: (lateMs: number) => number): PacedTicker {
  let isPaced = false;
  let dueMs = 0;
  let timer = plan(shortestMs);
  function plan(pauseMs: number): NodeJS.Timeout {
    isPaced = pauseMs > shortestMs;
    dueMs = systemClock.monotonicMs() + pauseMs;
    return setTimeout(act, pauseMs);
  }
  function act(): void {
    const lateMs = Math.max(0, systemClock.monotonicMs() - dueMs);
    // Hastened from within the tick: what it returns knows of that already.
    isPaced = false;
    timer = plan(Math.max(shortestMs, tick(lateMs)));
  }
  return {
    hasten: () => {
      if (!isPaced) return;
      clearTimeout(timer);
      timer = plan(shortestMs);
    },
    stop: () => clearTimeout(timer),
  };
}
