/**
 * Every sync of a replica goes through here, because a sync that failed is never tried again: the kernel has marked the pages clean, so a
 * second one would say yes over data that is gone.
 *
 *   sound --a sync fails--> failing --kept (or not)--> failed
 *
 * Nobody is told of the failure before it is durable in the replica's meta, as far as the disk lets it be. Must never let a sync start after
 * one has failed, nor call one a success that ends after.
 */
import { type Done, IoError } from '../../ports.ts';
import type { DiskDone, DiskFile } from './disk.ts';

export class SyncGuard {
  readonly #keepFailure: (reason: string, done: () => void) => void;
  #failure: IoError | null = null;
  #isKept = false;
  /** Those whose syncs ended since. At most one for each file of the replica, and those that were refused meanwhile. */
  #waiting: Done[] = [];

  /** `keepFailure` makes it durable as best it can, and calls back whether it could or not. */
  constructor(keepFailure: (reason: string, done: () => void) => void) {
    this.#keepFailure = keepFailure;
  }

  /** Why everything is refused, from the moment when the first sync failed. */
  get failure(): IoError | null {
    return this.#failure;
  }

  readonly syncFile = (file: DiskFile, done: Done): void => this.run(`fdatasync of ${file.path}`, (ended) => file.syncData(ended), done);

  run(what: string, start: (ended: DiskDone) => void, done: Done): void {
    if (this.#failure) return this.refuse(done);
    start((error) => {
      if (error && !this.#failure) this.#fail(new IoError('io', `${what} failed: ${error.message}`, { cause: error }));
      if (this.#failure) this.refuse(done);
      else done(null);
    });
  }

  /** Tells the failure that there is, once it is kept. */
  refuse(done: Done): void {
    if (this.#isKept) done(this.#failure);
    else this.#waiting.push(done);
  }

  #fail(failure: IoError): void {
    this.#failure = failure;
    this.#keepFailure(failure.message, () => {
      this.#isKept = true;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const done of waiting) done(failure);
    });
  }
}
