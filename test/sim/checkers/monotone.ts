/** Invariant 5: epochs, versions and promises never fall. */
import type { VolumeConfig } from '../../../core/config.ts';
import { Violation } from '../violation.ts';
import type { ReplicaView } from './inSyncHolds.ts';

export class Monotone {
  readonly #promises = new Map<string, number>();

  configChanged(before: VolumeConfig, after: VolumeConfig): void {
    if (after.epoch < before.epoch) throw new Violation('monotone', `epoch ${after.epoch} after ${before.epoch}`);
    if (after.version !== before.version + 1) throw new Violation('monotone', `version ${after.version} after ${before.version}`);
    const shard = after.shards[0];
    if (after.epoch > 0 && (shard?.inSync.length ?? 0) < Math.min(after.minInSync, before.shards[0]?.inSync.length ?? 0)) {
      throw new Violation('monotone', `the in-sync set falls below minInSync ${after.minInSync}: ${shard?.inSync}`);
    }
  }

  check(replicas: Iterable<ReplicaView>): void {
    for (const { id, platter } of replicas) {
      const { promisedEpoch } = platter.meta;
      const before = this.#promises.get(id) ?? 0;
      if (promisedEpoch < before) throw new Violation('monotone', `${id} promised epoch ${before}, and now ${promisedEpoch}`);
      this.#promises.set(id, promisedEpoch);
    }
  }
}
