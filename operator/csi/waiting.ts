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

  /** Something that may matter has changed. Many wait at once, and this comes often: a look that finds nothing must make nothing. */
  changed(): void {
    for (const look of this.#waiters) look();
  }

  /** What `ask` gives as soon as that is not null; null when the time is over. What `ask` throws is thrown; so is the reason of `signal`. */
  async until<Answer>(ask: () => Answer | null, signal: AbortSignal, forMs = WAIT_MS_MAX): Promise<Answer | null> {
    const first = ask();
    if (first !== null || this.#waiters.size >= WAITERS_MAX) return first;
    const ended = new AbortController();
    const over = AbortSignal.any([signal, ended.signal, AbortSignal.timeout(forMs)]);
    let found: Found<Answer> | null = null;
    const look = (): void => {
      found = foundBy(ask);
      if (found === null) return;
      this.#waiters.delete(look);
      ended.abort();
    };
    this.#waiters.add(look);
    while (found === null && !over.aborted) {
      await this.#timers.sleep(LOOK_EVERY_MS, over);
      if (found === null) look();
    }
    this.#waiters.delete(look);
    return answerOf(found, signal);
  }
}

type Found<Answer> = { answer: Answer } | { error: unknown };

/** Null: `ask` has no answer yet. */
function foundBy<Answer>(ask: () => Answer | null): Found<Answer> | null {
  try {
    const answer = ask();
    return answer === null ? null : { answer };
  } catch (error) {
    return { error };
  }
}

function answerOf<Answer>(found: Found<Answer> | null, signal: AbortSignal): Answer | null {
  if (found === null) {
    signal.throwIfAborted();
    return null;
  }
  if ('error' in found) throw found.error;
  return found.answer;
}
