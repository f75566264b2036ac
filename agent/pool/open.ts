/**
 * Opens a pool: lock, layout, leftovers, then every replica in it. A replica that cannot be opened is listed with the reason and harms no
 * other; but where a later version has written one, this is the wrong program for the pool. Must never touch the directory without its lock.
 */
import { messageOf } from '../../core/errors.ts';
import type { ReplicaId, SnapshotUid } from '../../core/ids.ts';
import type { Random } from '../../core/random.ts';
import { replicaDirectory } from '../replica/store/create.ts';
import { type Disk, DiskError, type DiskLock } from '../replica/store/disk.ts';
import { LaterFormat } from '../replica/store/errors.ts';
import { DATA_FILE } from '../replica/store/files.ts';
import { inOrder, now, type Step, type StepDone, type StoreError } from '../replica/store/inOrder.ts';
import { readMeta } from '../replica/store/meta.ts';
import { PoolError } from './errors.ts';
import { LOCK_FILE, listReplicas, type PoolPlace, removeLeftovers, replicasPath, settleLayout } from './layout.ts';
import { Pool, type UnservedReplica } from './pool.ts';
import { REPLICA_TOMBSTONES, SNAPSHOT_TOMBSTONES, Tombstones } from './tombstones.ts';

/** Replicas that are opened side by side: each waits for the disk a few times. */
const OPENING_AT_ONCE = 16;

export type OpenPool = PoolPlace & {
  /** Of this boot of the machine. */
  bootId: string;
  /** For the id of a new pool. */
  random: Random;
  tags?: readonly string[];
};

export type PoolOpened = (error: PoolError | null, pool: Pool | null) => void;

export function openPool(options: OpenPool, done: PoolOpened): void {
  let lock: DiskLock | null = null;
  let pool: Pool | null = null;
  const steps: Step[] = [
    now(() => {
      lock = takeLock(options);
    }),
    (next) =>
      settleLayout(options, options.random, (error, id) => {
        if (error || !lock) return next(error);
        pool = assemble(options, lock, id);
        next(null);
      }),
    (next) => openReplicas(options, pool, next),
  ];
  inOrder(steps, (error) => {
    if (!error) return done(null, pool);
    lock?.release();
    done(error instanceof PoolError ? error : new PoolError(options.name, messageOf(error), { cause: error }), null);
  });
}

function takeLock({ name, path, disk }: OpenPool): DiskLock {
  if (!disk.exists(path)) throw new PoolError(name, `${path} does not exist`);
  const lock = disk.tryLock(`${path}/${LOCK_FILE}`);
  if ('release' in lock) return lock;
  throw new PoolError(name, `${path} is in use by ${lock.heldBy}; only one agent at a time may work on a pool`);
}

function assemble(options: OpenPool, lock: DiskLock, id: string): Pool {
  const { name, path, disk, bootId, tags = [] } = options;
  const tombstones = new Tombstones<ReplicaId>(disk, path, REPLICA_TOMBSTONES);
  const snapshotTombstones = new Tombstones<SnapshotUid>(disk, path, SNAPSHOT_TOMBSTONES);
  const reflink = probeReflink(options);
  const pool = new Pool({ name, path, disk, bootId, tags, id, lock, tombstones, snapshotTombstones, reflink: reflink.supported });
  if (reflink.problem !== null) pool.quarantine(reflink.problem);
  return pool;
}

/** A disk that cannot even take a file is not fit for replicas, unless it is only full. */
function probeReflink({ path, disk }: OpenPool): { supported: boolean; problem: string | null } {
  try {
    return { supported: disk.canReflink(path), problem: null };
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    const isFull = error.code === 'ENOSPC' || error.code === 'EDQUOT';
    return { supported: false, problem: isFull ? null : error.message };
  }
}

function openReplicas(options: OpenPool, pool: Pool | null, done: StepDone): void {
  if (!pool) return done(null);
  const cleaned: Step[] = [(next) => removeLeftovers(options, pool.tombstones, next), (next) => pool.snapshots.removeLeftovers(next)];
  inOrder(cleaned, (error) => {
    if (error) return done(error);
    const waiting = listReplicas(options);
    let opening = 0;
    let isLooping = false;
    let later: LaterFormat | null = null;
    const openNext = (): void => {
      // One that fails at once calls back from within the loop, which then goes on by itself.
      if (isLooping) return;
      isLooping = true;
      for (let replica = waiting.shift(); replica !== undefined; replica = opening < OPENING_AT_ONCE ? waiting.shift() : undefined) {
        openOne(replica);
      }
      isLooping = false;
      if (waiting.length === 0 && opening === 0) done(later && new PoolError(options.name, later.message));
    };
    const openOne = (replica: ReplicaId): void => {
      opening++;
      pool.openReplica(replica, (openError) => {
        if (openError instanceof LaterFormat) later = openError;
        else if (openError) noteUnserved(options, pool, replica, openError);
        opening--;
        openNext();
      });
    };
    openNext();
  });
}

function noteUnserved(options: OpenPool, pool: Pool, replica: ReplicaId, error: StoreError): void {
  const { disk, path } = options;
  const unserved: UnservedReplica = { volume: null, replica, sizeBytes: 0, reason: error.message };
  try {
    const directory = replicaDirectory(replicasPath(path), replica);
    const meta = readMeta(disk, directory, replica);
    if (meta.problem === null) {
      unserved.volume = meta.value.volume;
      unserved.sizeBytes = meta.value.sizeBytes;
      if (meta.value.failed !== null) pool.quarantine(`replica ${replica} has failed: ${meta.value.failed}`);
    } else unserved.sizeBytes = sizeOf(disk, `${directory}/${DATA_FILE}`);
  } catch (readError) {
    if (!(readError instanceof DiskError)) throw readError;
    unserved.reason = `${unserved.reason}; ${readError.message}`;
  }
  pool.addUnserved(unserved);
}

function sizeOf(disk: Disk, path: string): number {
  if (!disk.exists(path)) return 0;
  const file = disk.openFile(path);
  try {
    return file.sizeBytes();
  } finally {
    file.close();
  }
}
