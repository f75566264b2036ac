/** The one timer of the control loop. Must never call late ticks twice to catch up. */
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
