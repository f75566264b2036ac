/** A clock that stands until a test moves it. */
import type { Clock } from '../../core/clock.ts';

export class ManualClock implements Clock {
  nowMs: number;

  constructor(nowMs = 1_000_000) {
    this.nowMs = nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.nowMs;
  }

  advance(ms: number): void {
    this.nowMs += ms;
  }
}
