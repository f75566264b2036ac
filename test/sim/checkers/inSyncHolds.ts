/** Invariants 2 and 4: every in-sync replica of the register's set holds what clients may read, and durably what was flushed. */
import type { VolumeConfig } from '../../../core/config.ts';
import type { Platter } from '../platter.ts';
import { Violation } from '../violation.ts';
import type { Linearizable } from './linearizable.ts';

/** A replica as the checkers see it. */
export type ReplicaView = { id: string; platter: Platter; isSuspect: boolean; stamp: (extent: number) => number };

export function checkInSyncHolds(config: VolumeConfig, replicas: ReadonlyMap<string, ReplicaView>, clients: Linearizable): void {
  for (const id of config.shards[0]?.inSync ?? []) {
    const replica = replicas.get(id);
    if (!replica) throw new Violation('inSyncHolds', `${id} is in sync and does not exist`);
    for (const register of clients.blocks.values()) {
      const held = replica.platter.value(register.block);
      if (!replica.isSuspect && !register.mayHold(held)) {
        throw new Violation('inSyncHolds', `block ${register.block} of ${id} is ${held}, while possible are ${[...register.possible]}`);
      }
      const durable = replica.platter.durableValue(register.block);
      if (!register.mayBeDurable(durable)) {
        throw new Violation('flushed', `block ${register.block} of ${id} is durably ${durable}, flushed were ${[...register.fallback]}`);
      }
    }
  }
}
