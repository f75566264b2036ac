/**
 * What an agent reads of its own replica past the session: what the files hold at this moment, where chance has it in memory. Whether the replica may be read
 * from is not looked at here: that is the rule that the checkers judge. Must never be asked once the session has ended.
 */
import { IoError, type LocalReads, type ReplicaStore } from '../../agent/ports.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import { Violation } from './violation.ts';

export class CachedReads implements LocalReads {
  readonly #store: ReplicaStore;
  readonly #random: SeededRandom;
  readonly #share: number;
  #isClosed = false;

  /** `share`: of the reads, what is in memory. */
  constructor(store: ReplicaStore, random: SeededRandom, share: number) {
    this.#store = store;
    this.#random = random;
    this.#share = share;
  }

  read(offsetBytes: number, target: Buffer): boolean {
    if (this.#isClosed) throw new Violation('contract', 'a replica is read past a session that has ended');
    if (!this.#random.chance(this.#share)) return false;
    try {
      this.#store.read(offsetBytes, target.length).copy(target);
      return true;
    } catch (error) {
      if (error instanceof IoError) return false;
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
  }
}
