/**
 * Of which config versions a replica knows durably that they may be there. An operation of a later one waits until that is noted: so nothing is acknowledged under
 * a config of which those who acknowledge it know nothing, and a rebuilt store never calls in sync who has left by it (operator/recover). One note at a time; a crash
 * leaves a note of what was never applied, which does no harm.
 */
import type { IoError, ReplicaMeta, ReplicaStore } from '../ports.ts';
import type { Owner } from './owner.ts';

export type ToldVersionOptions = {
  store: Pick<ReplicaStore, 'meta'>;
  changeMeta: Owner['changeMeta'];
  /** Something waited for the note. */
  goOn: () => void;
  failed: (error: IoError) => void;
};

export class ToldVersion {
  readonly #options: ToldVersionOptions;
  #known = 0;
  #isNoting = false;

  constructor(options: ToldVersionOptions) {
    this.#options = options;
  }

  /** Whether what is of that version has to wait; `goOn` is called when it need not any more. */
  waits(version: number): boolean {
    if (version <= this.#known) return false;
    if (this.#isNoting) return true;
    const { config, toldVersion = 0 } = this.#options.store.meta;
    this.#known = Math.max(config?.version ?? 0, toldVersion);
    return version > this.#known && !this.#note(version);
  }

  /** Whether it was noted at once. */
  #note(version: number): boolean {
    this.#isNoting = true;
    let isSynchronous = true;
    let isNoted = false;
    const noted = (meta: ReplicaMeta): ReplicaMeta => ({ ...meta, toldVersion: Math.max(version, meta.toldVersion ?? 0) });
    this.#options.changeMeta(noted, (error) => {
      this.#isNoting = false;
      if (error) return this.#options.failed(error);
      isNoted = true;
      this.#known = Math.max(version, this.#known);
      if (!isSynchronous) this.#options.goOn();
    });
    isSynchronous = false;
    return isNoted;
  }
}
