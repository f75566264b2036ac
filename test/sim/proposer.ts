/** A primary's way to the register: asks until a later version than the known one is seen, as the agent's own does. */
import type { ConfigPort } from '../../agent/replication/link.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { ConfigRegister, Watcher } from './register.ts';
import { between } from './seeds.ts';
import { Violation } from './violation.ts';

export class SimulatedProposer implements ConfigPort {
  readonly #register: ConfigRegister;
  readonly #watcher: Watcher;
  readonly #random: SeededRandom;
  readonly #latest: () => VolumeConfig;
  readonly #tellAgain: () => void;
  readonly #later: (delayMs: number, label: string, act: () => void) => void;
  #proposal: { known: VolumeConfig; next: VolumeConfig } | null = null;

  constructor(options: {
    register: ConfigRegister;
    watcher: Watcher;
    random: SeededRandom;
    latest: () => VolumeConfig;
    tellAgain: () => void;
    later: (delayMs: number, label: string, act: () => void) => void;
  }) {
    this.#register = options.register;
    this.#watcher = options.watcher;
    this.#random = options.random;
    this.#latest = options.latest;
    this.#tellAgain = options.tellAgain;
    this.#later = options.later;
  }

  propose(known: VolumeConfig, next: VolumeConfig): void {
    if (this.#proposal && this.#latest().version <= this.#proposal.known.version) {
      throw new Violation('contract', 'two compare-and-sets of one primary are out');
    }
    if (next.version !== known.version + 1) throw new Violation('contract', `version ${next.version} is proposed on ${known.version}`);
    this.#proposal = { known, next };
    if (this.#latest().version > known.version) return this.#later(0, 'tell again', this.#tellAgain);
    this.#ask();
  }

  recheck(): void {
    this.#register.read(this.#watcher);
  }

  close(): void {
    this.#proposal = null;
  }

  #ask(): void {
    const proposal = this.#proposal;
    if (!proposal || this.#latest().version > proposal.known.version) return;
    this.#register.compareAndSet(this.#watcher, proposal.known, proposal.next);
    this.#later(between(this.#random, 50, 500), 'ask again', () => {
      if (this.#proposal === proposal) this.#ask();
    });
  }
}
