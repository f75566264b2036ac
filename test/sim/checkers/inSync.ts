/**
 * Invariant 4: the in-sync set in etcd never contains a replica that misses an acknowledged write; a suspect, one that was flushed (`acknowledged`).
 * Nor does a primary make the set smaller than minInSync, which is what says how many copies there are.
 */
import type { VolumeConfig } from '../../../core/config.ts';
import { shardBytes } from '../../../core/extent.ts';
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

/** What was once offered to a client is on every in-sync replica, whoever offers next. */
export function checkLargeEnough(scene: Scene, offeredBytes: number): void {
  const { shards } = scene.config;
  shards.forEach(({ inSync }, index) => {
    const needed = shardBytes(offeredBytes, shards.length, index);
    for (const id of inSync) {
      const sizeBytes = scene.replicas.get(id)?.files.meta.sizeBytes ?? 0;
      if (sizeBytes < needed) throw new Violation('inSync', `${id} has ${sizeBytes} bytes, while ${needed} of its shard were offered`);
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
