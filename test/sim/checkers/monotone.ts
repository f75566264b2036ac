/** Invariant 5: epochs, versions, promises and leader generations never fall, anywhere, across restarts. */
import type { VolumeConfig } from '../../../core/config.ts';
import { Violation } from '../violation.ts';
import type { ReplicaView } from './view.ts';

export class Monotone {
  readonly #promises = new Map<string, number>();
  #generation = 0;

  configChanged(before: VolumeConfig, after: VolumeConfig): void {
    if (after.epoch < before.epoch) throw new Violation('monotone', `epoch ${after.epoch} after ${before.epoch}`);
    if (after.version !== before.version + 1) throw new Violation('monotone', `version ${after.version} after ${before.version}`);
    if (after.sizeBytes < before.sizeBytes) throw new Violation('monotone', `a size of ${after.sizeBytes} after ${before.sizeBytes}`);
  }

  /** A replica has answered a Seal: a crash from here on must not leave less. */
  promiseTold(replica: string, epoch: number): void {
    this.#promises.set(replica, Math.max(this.#promises.get(replica) ?? 0, epoch));
  }

  /**
   * Against what was told: a save that a killed process had begun may be in the cache, where the next process would find it, and go with the power before there is
   * one. Nobody has heard of that.
   */
  check(replicas: Iterable<ReplicaView>): void {
    for (const { id, files } of replicas) {
      const { promisedEpoch } = files.meta;
      const before = this.#promises.get(id) ?? 0;
      if (promisedEpoch < before) throw new Violation('monotone', `${id} promised epoch ${before}, and its disk says ${promisedEpoch}`);
    }
  }

  /** A write by a leader of that generation took effect. */
  leaderWrote(generation: number): void {
    if (generation < this.#generation) throw new Violation('monotone', `generation ${generation} writes after ${this.#generation}`);
    this.#generation = generation;
  }
}
