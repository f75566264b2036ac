/** What a pool holds, read for whoever rebuilds a lost store. Must never change anything, nor make up what cannot be read. */
import type { InventoryReplica, PoolInventory } from '../../core/inventory.ts';
import type { ReplicaMeta } from '../ports.ts';
import type { Pool, UnservedReplica } from './pool.ts';

export const soundReplica = (pool: string, meta: ReplicaMeta): InventoryReplica => ({
  pool,
  replica: meta.replica,
  volume: meta.volume,
  problem: meta.failed,
  promisedEpoch: meta.promisedEpoch,
  knownVersion: Math.max(meta.config?.version ?? 0, meta.toldVersion ?? 0),
  config: meta.config,
});

const unsoundReplica = (pool: string, { replica, volume, reason }: UnservedReplica): InventoryReplica => ({
  ...{ pool, replica, volume, problem: reason },
  ...{ promisedEpoch: 0, knownVersion: 0, config: null },
});

/** Throws DiskError when not even the directory of snapshots can be read. */
export function inventoryOf(pool: Pool): PoolInventory {
  const { name, stores } = pool;
  const unopened = pool.unserved.filter(({ replica }) => !stores.has(replica));
  return {
    replicas: [
      ...[...stores.values()].map(({ meta }) => soundReplica(name, meta)),
      ...unopened.map((replica) => unsoundReplica(name, replica)),
    ],
    snapshots: pool.snapshots.list().map(({ snapshot, attempt, replica, volume, problem, config }) => ({
      ...{ pool: name, snapshot, attempt, replica, volume, problem },
      config: config ?? null,
    })),
  };
}
