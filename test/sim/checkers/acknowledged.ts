/**
 * Invariant 2: an acknowledged write is on every in-sync replica at the moment when its client hears of it; an acknowledged and flushed one survives
 * the power loss of all of them, at any moment after.
 */
import { Violation } from '../violation.ts';
import { inSyncOf, registersOf, type Scene } from './view.ts';

/** Of the registers that a write has just been acknowledged for. */
export function checkAcknowledged(scene: Scene, pieces: readonly number[]): void {
  scene.config.shards.forEach((shard, index) => {
    const written = registersOf(scene, index).filter(({ register }) => pieces.includes(register.piece));
    for (const { id, files, isSuspect } of inSyncOf(shard, scene)) {
      const missing = isSuspect ? undefined : written.find(({ register, piece }) => !register.mayHold(files.value(piece)));
      if (!missing) continue;
      const { register, piece } = missing;
      throw new Violation(
        'acknowledged',
        `piece ${register.piece} of ${id} is ${files.value(piece)}, acknowledged was ${[...register.possible]}`,
      );
    }
  });
}

export function checkFlushed(scene: Scene): void {
  scene.config.shards.forEach((shard, index) => {
    const registers = registersOf(scene, index);
    for (const { id, files } of inSyncOf(shard, scene)) {
      for (const { register, piece } of registers) {
        const durable = files.durableValue(piece);
        if (register.mayBeDurable(durable)) continue;
        throw new Violation(
          'acknowledged',
          `piece ${register.piece} of ${id} is durably ${durable}, flushed were ${[...register.fallback]}`,
        );
      }
    }
  });
}
