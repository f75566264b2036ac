/** Pools on a simulated disk, for tests. */

import type { PoolError } from '../../agent/pool/errors.ts';
import { type OpenPool, openPool } from '../../agent/pool/open.ts';
import type { Pool } from '../../agent/pool/pool.ts';
import type { IoError, ReplicaStore } from '../../agent/ports.ts';
import type { ReplicaId } from '../../core/ids.ts';
import { newReplica, Outcome, outcome, POOL } from './replicaFiles.ts';
import { SeededRandom } from './seededRandom.ts';
import type { SimulatedDisk } from './simulatedDisk.ts';

export function tryOpenPool(disk: SimulatedDisk, options: Partial<OpenPool> = {}): { error: PoolError | null; pool: Pool | null } {
  const ended = new Outcome<[PoolError | null, Pool | null]>();
  openPool({ name: 'fast', path: POOL, disk, bootId: 'boot-1', random: new SeededRandom(1), ...options }, ended.done);
  disk.drain();
  const [error, pool] = ended.result;
  return { error, pool };
}

export function openedPool(disk: SimulatedDisk, options: Partial<OpenPool> = {}): Pool {
  const { error, pool } = tryOpenPool(disk, options);
  if (error) throw error;
  if (!pool) throw new Error('neither an error nor a pool');
  return pool;
}

export function createIn(
  disk: SimulatedDisk,
  pool: Pool,
  sizeBytes: number,
  replica?: ReplicaId,
): { error: IoError | null; store: ReplicaStore | null } {
  const ended = new Outcome<[IoError | null, ReplicaStore | null]>();
  pool.createReplica({ ...newReplica(sizeBytes), ...(replica ? { replica } : {}) }, ended.done);
  disk.drain();
  const [error, store] = ended.result;
  return { error, store };
}

export function deleteFrom(disk: SimulatedDisk, pool: Pool, replica: ReplicaId): IoError | null {
  const ended = outcome();
  pool.deleteReplica(replica, ended.done);
  disk.drain();
  return ended.result[0];
}
