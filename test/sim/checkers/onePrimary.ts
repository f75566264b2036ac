/** Invariant 1: at most one primary answers per epoch, and none after a later epoch has begun to serve. */
import { Violation } from '../violation.ts';

export class OnePrimary {
  #begun = 0;
  #answered = 0;
  readonly #instances = new Map<number, string>();

  get epochBegun(): number {
    return this.#begun;
  }

  /** The latest in which a client was told that something had succeeded. */
  get epochAnswered(): number {
    return this.#answered;
  }

  begin(epoch: number, instance: string): void {
    this.#begun = epoch;
    this.#claim(epoch, instance);
  }

  /**
   * A request of whatever kind is answered with success. `mayBeLate`: without leases everybody is asked before a reply leaves, and a process that stands
   * still right then sends it afterwards; what it says was true in between, and `linearizable` sees to that.
   */
  answered(epoch: number, instance: string, mayBeLate: boolean): void {
    if (epoch < this.#begun && !mayBeLate)
      throw new Violation('onePrimary', `epoch ${epoch} answers a client after ${this.#begun} began to serve`);
    this.#answered = Math.max(this.#answered, epoch);
    this.#claim(epoch, instance);
  }

  #claim(epoch: number, instance: string): void {
    const claimed = this.#instances.get(epoch) ?? instance;
    if (claimed !== instance) throw new Violation('onePrimary', `epoch ${epoch} is served by ${claimed} and by ${instance}`);
    this.#instances.set(epoch, instance);
  }
}
