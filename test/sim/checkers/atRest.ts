/** Invariant 6: when nothing happens any more, in-sync replicas are equal, their logs are empty and nobody is suspect. */
import type { VolumeConfig } from '../../../core/config.ts';
import { isEqual } from '../platter.ts';
import { Violation } from '../violation.ts';
import type { ReplicaView } from './inSyncHolds.ts';

/** Null: at rest. Else what is not yet. */
export function unrest(config: VolumeConfig, replicas: ReadonlyMap<string, ReplicaView>): string | null {
  for (const id of config.shards[0]?.inSync ?? []) {
    const replica = replicas.get(id);
    if (replica?.isSuspect) return `${id} is suspect`;
    if (replica && replica.platter.intents.size > 0) return `${id} has ${[...replica.platter.intents]} in its log`;
  }
  return null;
}

export function checkEqualAtRest(config: VolumeConfig, replicas: ReadonlyMap<string, ReplicaView>): void {
  const inSync = (config.shards[0]?.inSync ?? []).flatMap((id) => replicas.get(id) ?? []);
  const [first] = inSync;
  for (const other of inSync) {
    for (let extent = 0; extent < other.platter.extents; extent++) {
      if (first && !isEqual(first.platter, other.platter, extent)) {
        throw new Violation('equalAtRest', `extent ${extent} differs on ${first.id} and ${other.id}`);
      }
    }
  }
}
