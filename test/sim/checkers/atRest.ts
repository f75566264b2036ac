/** Invariant 6: when nothing happens any more, in-sync replicas are equal block for block, their logs are empty and nobody is suspect. */
import { isEqual } from '../files.ts';
import { Violation } from '../violation.ts';
import { inSyncOf, type Scene } from './view.ts';

/** Null: at rest. Else what is not yet. */
export function unrest(scene: Scene): string | null {
  for (const { id, files, isSuspect } of scene.config.shards.flatMap((shard) => inSyncOf(shard, scene))) {
    if (isSuspect) return `${id} is suspect`;
    if (files.logged.length > 0) return `${id} has ${files.logged} in its log`;
  }
  return null;
}

export function checkEqualAtRest(scene: Scene): void {
  for (const shard of scene.config.shards) {
    const [first, ...others] = inSyncOf(shard, scene);
    for (const other of others) {
      for (let extent = 0; extent < other.files.extents; extent++) {
        if (first && !isEqual(first.files, other.files, extent)) {
          throw new Violation('atRest', `extent ${extent} differs on ${first.id} and ${other.id}`);
        }
      }
    }
  }
}
