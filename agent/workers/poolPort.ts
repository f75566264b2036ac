/** One of the agent's pools as its worker uses it: opened, its replicas found. Must never decide what is kept. */
import type { Random } from '../../core/random.ts';
import { inventoryOf } from '../pool/inventory.ts';
import { openPool, type PoolOpened } from '../pool/open.ts';
import type { Pool } from '../pool/pool.ts';
import { type Disk, DiskError } from '../replica/store/disk.ts';
import type { FoundReplica, PoolPort } from './replicas.ts';

export type PoolToOpen = { name: string; path: string; tags: string[]; disk: Disk; bootId: string; random: Random };

export type OpenedPool = {
  port: PoolPort;
  found: FoundReplica[];
  /** The replicas' files must be closed before. Lets go of the lock. */
  close(done: () => void): void;
};

/** `isDisk`: the disk under it does not let itself be used; else somebody has to change something. */
export type PoolProblem = { problem: string; isDisk: boolean };

export function openPoolPort(options: PoolToOpen, done: (opened: OpenedPool | PoolProblem) => void): void {
  const ended: PoolOpened = (error, pool) => {
    if (!pool) {
      done({ problem: error?.message ?? `pool ${options.name} was not opened`, isDisk: error?.cause instanceof DiskError });
      return;
    }
    done({ port: portOf(pool), found: foundIn(pool), close: (closed) => pool.close(() => closed()) });
  };
  openPool(options, ended);
}

function foundIn(pool: Pool): FoundReplica[] {
  const unserved = pool.unserved;
  const damaged = unserved.map(({ replica, volume, reason }): FoundReplica => ({ replica, volume, damage: reason }));
  const sound = [...pool.stores.values()]
    .filter(({ meta }) => !unserved.some(({ replica }) => replica === meta.replica))
    .map((store): FoundReplica => ({ replica: store.meta.replica, volume: store.meta.volume, store }));
  return [...sound, ...damaged];
}

function portOf(pool: Pool): PoolPort {
  return {
    name: pool.name,
    report: () => pool.report(),
    inventory: () => inventoryOf(pool),
    quarantine: (reason) => pool.quarantine(reason),
    create: (replica) =>
      new Promise((resolve) => {
        pool.createReplica(replica, (error, store) =>
          resolve(store ? { store } : { problem: error?.message ?? `pool ${pool.name} gave no reason` }),
        );
      }),
    removeSnapshot: (snapshot) => new Promise((resolve) => pool.deleteSnapshot(snapshot, (error) => resolve(error?.message ?? null))),
    remove: (replica) => new Promise((resolve) => pool.deleteReplica(replica, (error) => resolve(error?.message ?? null))),
  };
}
