/**
 * One sync at a time for everybody who wants one. A caller's writes must be covered: one that comes while a sync runs waits for the next,
 * unless nothing was written since that one began. Must never start a sync that covers nothing.
 */
import { assert } from '../../../core/assert.ts';
import type { Done } from '../../ports.ts';

/** More than a primary may have in flight; beyond it the callers are wrong. */
export const SYNC_CALLERS_MAX = 65_536;

export class SharedSync {
  readonly #start: (done: Done) => void;
  #running: Done[] | null = null;
  #next: Done[] = [];
  /** Whether there is something to sync: the file as it was found may hold what an earlier process left in the cache. */
  #isDirty = true;

  constructor(start: (done: Done) => void) {
    this.#start = start;
  }

  get isIdle(): boolean {
    return this.#running === null;
  }

  markDirty(): void {
    this.#isDirty = true;
  }

  /** Calls back at once when there is nothing to sync. */
  sync(done: Done): void {
    assert(this.#next.length < SYNC_CALLERS_MAX, 'too many callers wait for one sync');
    if (this.#isDirty) {
      this.#next.push(done);
      if (!this.#running) this.#startNext();
    } else if (this.#running) this.#running.push(done);
    else done(null);
  }

  #startNext(): void {
    const callers = this.#next;
    this.#next = [];
    this.#running = callers;
    // Before it starts: what is written while it runs may have missed it.
    this.#isDirty = false;
    this.#start((error) => {
      this.#running = null;
      // Those who wait are served first, so that what the callbacks ask for shares the sync after.
      if (this.#next.length > 0) this.#startNext();
      for (const done of callers) done(error);
    });
  }
}
