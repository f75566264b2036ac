/**
 * A pool's directory, from the first time it is used on, and what a crash may have left in it.
 *
 *   lock                  held for as long as the process works on the pool; names the process
 *   pool.json             id and format: made last, so a pool that has one is complete
 *   tombstones            ids of deleted replicas
 *   replicas/<id>/        one replica
 *   snapshot-tombstones   ids of deleted snapshots
 *   replicas/<id>.creating, <id>.deleting   on its way in or out when the process ended: removed; the same in snapshots/
 *   snapshots/<snapshot>.<attempt>.<replica>/   what an attempt at a snapshot has kept of a replica; where a later attempt has, too: removed
 *
 * Must never start a new pool over one whose pool.json is gone, nor touch anything before the lock is held.
 */
import { isHexId, type ReplicaId, replicaId } from '../../core/ids.ts';
import type { Random } from '../../core/random.ts';
import { CREATING, DELETING, removeReplica, removeTree } from '../replica/store/create.ts';
import type { Disk } from '../replica/store/disk.ts';
import { laterFormatOf } from '../replica/store/errors.ts';
import { inOrder, now, type Step, type StepDone, type StoreError } from '../replica/store/inOrder.ts';
import { plainSync, readRecord, replaceRecord } from '../replica/store/record.ts';
import { PoolError } from './errors.ts';
import { damagedName, REPLICA_TOMBSTONES, SNAPSHOT_TOMBSTONES, type Tombstones } from './tombstones.ts';

export const LOCK_FILE = 'lock';
export const POOL_FILE = 'pool.json';
export const REPLICAS_DIRECTORY = 'replicas';
export const SNAPSHOTS_DIRECTORY = 'snapshots';
export const POOL_FORMAT = 1;
const POOL_ID_BYTES = 8;

export type PoolPlace = { name: string; path: string; disk: Disk };
type PoolRecord = { format: typeof POOL_FORMAT; id: string };

export const replicasPath = (path: string): string => `${path}/${REPLICAS_DIRECTORY}`;
export const snapshotsPath = (path: string): string => `${path}/${SNAPSHOTS_DIRECTORY}`;

/** The pool's id, of the record found or of one that is made and durable now. Throws PoolError or DiskError. */
export function settleLayout({ name, path, disk }: PoolPlace, random: Random, done: (error: StoreError | null, id: string) => void): void {
  const found = readPoolRecord(name, path, disk);
  const record: PoolRecord = found ?? { format: POOL_FORMAT, id: random.hex(POOL_ID_BYTES) };
  const steps: Step[] = [
    // A crash from here on: no pool.json and nothing in either directory, so the next start does the same again.
    now(() => disk.makeDirectory(replicasPath(path))),
    now(() => disk.makeDirectory(snapshotsPath(path))),
    // A crash after it: the pool is there, with its directories: one sync covers all names.
    (next) => (found ? next(null) : makePoolRecord(path, disk, record, next)),
    // A process that was killed may have left names that are only in the cache: what is found after these will still be there.
    (next) => disk.syncDirectory(path, next),
    (next) => disk.syncDirectory(replicasPath(path), next),
    (next) => disk.syncDirectory(snapshotsPath(path), next),
  ];
  inOrder(steps, (error) => done(error, record.id));
}

function makePoolRecord(path: string, disk: Disk, value: PoolRecord, done: StepDone): void {
  replaceRecord({ disk, directory: path, name: POOL_FILE, temporaryName: `${POOL_FILE}.next`, value, sync: plainSync }, done);
}

/** Null: the pool was never used. */
function readPoolRecord(name: string, path: string, disk: Disk): PoolRecord | null {
  const file = `${path}/${POOL_FILE}`;
  if (!disk.exists(file)) {
    const remains = remainsOfPool(path, disk);
    if (remains) throw new PoolError(name, `${file} is missing, but ${remains} is there; put it back, or empty the directory`);
    return null;
  }
  const record = readRecord(disk, file);
  if (record.problem !== null) throw new PoolError(name, `${file} cannot be trusted: ${record.problem}`);
  const later = laterFormatOf(file, record.value, POOL_FORMAT);
  if (later) throw new PoolError(name, later.message);
  const { format, id } = Object(record.value) as Partial<PoolRecord>;
  if (format !== POOL_FORMAT) throw new PoolError(name, `${file}: format ${String(format)} is not known, only ${POOL_FORMAT}`);
  if (typeof id !== 'string' || !isHexId(id)) throw new PoolError(name, `${file}: id must be 16 hex digits`);
  return { format, id };
}

function remainsOfPool(path: string, disk: Disk): string | null {
  const files = [REPLICA_TOMBSTONES, SNAPSHOT_TOMBSTONES].flatMap(({ file }) => [file, damagedName(file)]);
  for (const name of files) if (disk.exists(`${path}/${name}`)) return name;
  for (const name of [REPLICAS_DIRECTORY, SNAPSHOTS_DIRECTORY]) {
    const directory = `${path}/${name}`;
    const [first] = disk.exists(directory) ? disk.list(directory) : [];
    if (first !== undefined) return `${name}/${first}`;
  }
  return null;
}

/** Finishes what a crash interrupted: half-made replicas go, half-deleted ones too. */
export function removeLeftovers({ path, disk }: PoolPlace, tombstones: Tombstones<ReplicaId>, done: StepDone): void {
  const replicas = replicasPath(path);
  const steps: Step[] = [];
  for (const name of disk.list(replicas)) {
    if (name.endsWith(CREATING) || name.endsWith(DELETING)) steps.push((next) => removeTree(disk, `${replicas}/${name}`, next));
    else if (isHexId(name) && tombstones.has(replicaId(name))) steps.push((next) => removeReplica(disk, replicas, replicaId(name), next));
  }
  inOrder(steps, done);
}

/** The replicas that are there; names that are not ids are nobody's. */
export const listReplicas = ({ path, disk }: PoolPlace): ReplicaId[] => disk.list(replicasPath(path)).filter(isHexId).map(replicaId);
