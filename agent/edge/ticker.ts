/** The timers of control and of the workers. Must never call late ticks twice to catch up. */
import { systemClock } from '../../core/clock.ts';

/** Calls `tick` with how late it is. Returns what stops it. */
export function startTicker(intervalMs: number, tick: (lateMs: number) => void): () => void {
  let dueMs = systemClock.monotonicMs() + intervalMs;
  const timer = setInterval(() => {
    const nowMs = systemClock.monotonicMs();
    const lateMs = Math.max(0, nowMs - dueMs);
    dueMs = nowMs + intervalMs;
    tick(lateMs);
  }, intervalMs);
  return () => clearInterval(timer);
}

export type PacedTicker = {
  /** Something has begun that may not wait so long for the next tick. */
  hasten(): void;
  stop(): void;
};

/** Each tick says how long it may be until the next. */
export function startPacedTicker(shortestMs: number, tick: () => number): PacedTicker {
  let isPaced = false;
  let timer = setTimeout(act, shortestMs);
  function act(): void {
    const pauseMs = Math.max(shortestMs, tick());
    isPaced = pauseMs > shortestMs;
    timer = setTimeout(act, pauseMs);
  }
  return {
    hasten: () => {
      if (!isPaced) return;
      isPaced = false;
      clearTimeout(timer);
      timer = setTimeout(act, shortestMs);
    },
    stop: () => clearTimeout(timer),
  };
}
