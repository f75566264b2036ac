/** The agent's pools as the control loop uses them: opened at start, all or none. Must never decide what is kept. */
import type { Random } from '../../core/random.ts';
import { openPool } from '../pool/open.ts';
import type { Pool } from '../pool/pool.ts';
import type { Disk } from '../replica/store/disk.ts';
import type { FoundReplica, PoolPort } from './replicas.ts';

export type PoolsToOpen = {
  paths: ReadonlyMap<string, string>;
  tagsOf: (pool: string) => string[];
  diskOf: (pool: string) => Disk;
  bootId: string;
  random: Random;
};

export type OpenPools = {
  ports: ReadonlyMap<string, PoolPort>;
  found: FoundReplica[];
  /** The replicas' files must be closed before. Lets go of the locks. */
  close(): Promise<void>;
};

/** Rejects with the sentence of the first pool that cannot be opened; a lock that is taken is one. */
export async function openPools({ paths, tagsOf, diskOf, bootId, random }: PoolsToOpen): Promise<OpenPools> {
  const ports = new Map<string, PoolPort>();
  const found: FoundReplica[] = [];
  const pools: Pool[] = [];
  for (const [name, path] of paths) {
    const pool = await new Promise<Pool>((resolve, reject) => {
      const options = { name, path, disk: diskOf(name), bootId, random, tags: tagsOf(name) };
      openPool(options, (error, opened) => (opened ? resolve(opened) : reject(error ?? new Error(`pool ${name} was not opened`))));
    });
    const port = portOf(pool);
    pools.push(pool);
    ports.set(name, port);
    found.push(...foundIn(pool, port));
  }
  const close = async () => {
    await Promise.all(pools.map((pool) => new Promise<void>((resolve) => pool.close(() => resolve()))));
  };
  return { ports, found, close };
}

function foundIn(pool: Pool, port: PoolPort): FoundReplica[] {
  const unserved = pool.unserved;
  const damaged = unserved.map(({ replica, volume, reason }): FoundReplica => ({ pool: port, replica, volume, damage: reason }));
  const sound = [...pool.stores.values()]
    .filter(({ meta }) => !unserved.some(({ replica }) => replica === meta.replica))
    .map((store): FoundReplica => ({ pool: port, replica: store.meta.replica, volume: store.meta.volume, store }));
  return [...sound, ...damaged];
}

function portOf(pool: Pool): PoolPort {
  return {
    name: pool.name,
    report: () => pool.report(),
    quarantine: (reason) => pool.quarantine(reason),
    create: (replica) =>
      new Promise((resolve) => {
        pool.createReplica(replica, (error, store) =>
          resolve(store ? { store } : { problem: error?.message ?? `pool ${pool.name} gave no reason` }),
        );
      }),
    remove: (replica) => new Promise((resolve) => pool.deleteReplica(replica, (error) => resolve(error?.message ?? null))),
  };
}
