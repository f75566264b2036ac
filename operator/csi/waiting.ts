/**
 * Waiting for the leader: a question about one object, asked again whenever something changed, until it has an answer or its time is over. Must never ask the API
 * server: what changed is seen by the views, which every operator has anyway.
 */
import type { Timers } from '../ports.ts';

/** Shorter than the sidecars' own time, so that they are told what is waited for. */
export const WAIT_MS_MAX = 25_000;
/** Views that do not change may still be behind. */
const LOOK_EVERY_MS = 1_000;
/** Each is one call of a sidecar, which has few under way. */
const WAITERS_MAX = 2_000;

export class Waiting {
  readonly #timers: Timers;
  readonly #waiters = new Set<() => void>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Something that may matter has changed. */
  changed(): void {
    for (const look of [...this.#waiters]) look();
  }

  /** What `ask` gives as soon as that is not null; null when the time is over. What `ask` throws is thrown; so is the reason of `signal`. */
  async until<Answer>(ask: () => Answer | null, signal: AbortSignal, forMs = WAIT_MS_MAX): Promise<Answer | null> {
    if (this.#waiters.size >= WAITERS_MAX) return ask();
    const over = AbortSignal.any([signal, AbortSignal.timeout(forMs)]);
    for (;;) {
      const answer = ask();
      if (answer !== null) return answer;
      signal.throwIfAborted();
      if (over.aborted) return null;
      await this.#change(over);
    }
  }

  async #change(over: AbortSignal): Promise<void> {
    const ending = new AbortController();
    const look = () => ending.abort();
    this.#waiters.add(look);
    try {
      await this.#timers.sleep(LOOK_EVERY_MS, AbortSignal.any([over, ending.signal]));
    } finally {
      this.#waiters.delete(look);
    }
  }
}
