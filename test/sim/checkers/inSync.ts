/**
 * Invariant 4: the in-sync set in etcd never contains a replica that misses an acknowledged write; a suspect, one that was flushed (`acknowledged`).
 * Nor does a primary make the set smaller than minInSync, which is what says how many copies there are.
 */
import type { VolumeConfig } from '../../../core/config.ts';
import { Violation } from '../violation.ts';
import { registersOf, type Scene } from './view.ts';

export function checkInSync(scene: Scene): void {
  scene.config.shards.forEach((shard, index) => {
    const registers = registersOf(scene, index);
    for (const id of shard.inSync) {
      const replica = scene.replicas.get(id);
      if (!replica) throw new Violation('inSync', `${id} is in sync and does not exist`);
      if (replica.isSuspect) continue;
      for (const { register, piece } of registers) {
        const held = replica.files.value(piece);
        if (register.mayHold(held)) continue;
        throw new Violation('inSync', `piece ${register.piece} of ${id} is ${held}, while possible are ${[...register.possible]}`);
      }
    }
  });
}

export function checkEnoughInSync(before: VolumeConfig, after: VolumeConfig): void {
  if (after.epoch === 0) return;
  after.shards.forEach(({ inSync }, index) => {
    const least = Math.min(after.minInSync, before.shards[index]?.inSync.length ?? 0);
    if (inSync.length < least)
      throw new Violation('inSync', `the set of shard ${index} falls below minInSync ${after.minInSync}: ${inSync}`);
  });
}
