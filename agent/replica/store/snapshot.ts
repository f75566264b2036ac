/**
 * A snapshot of one replica: `<snapshot>.<attempt>.<replica>/` with `data` (whose blocks it shares with the replica's), `stamps` and `meta`. It is there,
 * whole and durable, or it is not: it is made under a temporary name. Nothing in it ever changes.
 *
 * That it is there says nothing of the volume's snapshot: that exists when it is recorded, with the attempt that made it. Must never take the blocks of one
 * attempt for another's.
 */
import type { VolumeConfig } from '../../../core/config.ts';
import {
  isHexId,
  isSnapshotUid,
  isVolumeUid,
  type ReplicaId,
  replicaId,
  type SnapshotUid,
  snapshotUid,
  type VolumeUid,
} from '../../../core/ids.ts';
import { parseVolumeConfig } from '../../../core/parseConfig.ts';
import type { Done, IoError, ReplicaMeta, SnapshotRequest } from '../../ports.ts';
import { CREATING, DELETING, makeFile, removeTree, syncFile } from './create.ts';
import { type Disk, DiskError } from './disk.ts';
import { writeFully } from './diskFile.ts';
import { DATA_FILE, META_FILE, STAMPS_FILE } from './files.ts';
import { inOrder, now, type Step, type StepDone } from './inOrder.ts';
import { isReplicaSize } from './meta.ts';
import { writePagedFile } from './pagedFile.ts';
import { type Decoded, encodeRecord, readRecord } from './record.ts';

/** What is to be kept of an open replica. */
export type SnapshotSource = { meta: ReplicaMeta; dataPath: string; stamps: Uint8Array };

/** Where an open replica's snapshots go: its pool. Calls back with why the snapshot is not there; the replica is as sound as before. */
export interface SnapshotKeeper {
  keep(source: SnapshotSource, request: SnapshotRequest, done: Done): void;
}

/** One attempt's, of one replica. */
export type KeptId = SnapshotRequest & { replica: ReplicaId };

export type KeptMeta = {
  format: 1;
  snapshot: SnapshotUid;
  attempt: number;
  replica: ReplicaId;
  volume: VolumeUid;
  volumeName: string;
  /** Of the replica; its data file may be longer. */
  sizeBytes: number;
  /** The last that the replica had seen: so that a lost record can be made anew. */
  config?: VolumeConfig;
};

export const keptName = ({ snapshot, attempt, replica }: KeptId): string => `${snapshot}.${attempt}.${replica}`;

/** Null: the name of something else. */
export function parseKeptName(name: string): KeptId | null {
  const [snapshot = '', attemptText = '', replica = '', ...rest] = name.split('.');
  const attempt = Number(attemptText);
  const isOurs = isSnapshotUid(snapshot) && isHexId(replica) && rest.length === 0;
  if (!isOurs || !Number.isSafeInteger(attempt) || attempt < 0 || String(attempt) !== attemptText) return null;
  return { snapshot: snapshotUid(snapshot), attempt, replica: replicaId(replica) };
}

/** The meta of what is kept under this name, or why there is none. Throws DiskError. */
export function readKeptMeta(disk: Disk, snapshots: string, id: KeptId): Decoded<KeptMeta> {
  const record = readRecord(disk, `${snapshots}/${keptName(id)}/${META_FILE}`);
  if (record.problem !== null) return record;
  const meta = Object(record.value) as Partial<KeptMeta>;
  if (meta.format !== 1) return { problem: `format ${String(meta.format)} is not known, only 1` };
  const { snapshot, attempt, replica, volume, volumeName, sizeBytes } = meta;
  if (snapshot !== id.snapshot || attempt !== id.attempt || replica !== id.replica) return { problem: 'it belongs to another snapshot' };
  if (typeof volume !== 'string' || !isVolumeUid(volume)) return { problem: 'volume must be a volume uid' };
  if (typeof volumeName !== 'string') return { problem: 'volumeName must be a text' };
  if (typeof sizeBytes !== 'number' || !isReplicaSize(sizeBytes)) return { problem: 'sizeBytes must be the size of a replica' };
  const { value: config } = parseVolumeConfig(meta.config);
  return {
    value: { format: 1, snapshot, attempt, replica, volume, volumeName, sizeBytes, ...(config ? { config } : {}) },
    problem: null,
  };
}

/** What the pool has against it, looked at again right before it is there. */
type Refusal = () => IoError | null;

/** Makes `<snapshots>/<name>`. What is there already under this name was made by the same attempt, and stays. */
export function keepSnapshot(
  options: { disk: Disk; snapshots: string; source: SnapshotSource; request: SnapshotRequest; refusal: Refusal },
  done: StepDone,
): void {
  const { disk, snapshots, source, request, refusal } = options;
  const { replica, volume, volumeName, sizeBytes, config } = source.meta;
  const name = keptName({ ...request, replica });
  const directory = `${snapshots}/${name}`;
  const creating = `${directory}${CREATING}`;
  const meta = encodeRecord({
    ...{ format: 1 as const, ...request, replica, volume, volumeName, sizeBytes },
    ...(config ? { config } : {}),
  } satisfies KeptMeta);
  const steps: Step[] = [
    (next) => removeTree(disk, creating, next),
    // A crash from here on leaves a directory under its temporary name, which the next opening of the pool removes.
    now(() => disk.makeDirectory(creating)),
    (next) => disk.reflink(source.dataPath, `${creating}/${DATA_FILE}`, next),
    // The blocks are on the disk, but that this file has them may not be.
    (next) => syncFile(disk, `${creating}/${DATA_FILE}`, next),
    makeFile(disk, `${creating}/${STAMPS_FILE}`, (file) => writePagedFile(file, { name: 'stamps', replica }, source.stamps)),
    makeFile(disk, `${creating}/${META_FILE}`, (file) => writeFully(file, [meta], meta.length, 0)),
    (next) => disk.syncDirectory(creating, next),
    // A crash after it: the directory under either name, complete.
    now(() => {
      const problem = refusal();
      if (problem !== null) throw problem;
      disk.rename(creating, directory);
    }),
    // A crash after it: it is there.
    (next) => disk.syncDirectory(snapshots, next),
  ];
  const problem = refusal();
  if (problem !== null) return done(problem);
  if (disk.exists(directory)) return disk.syncDirectory(snapshots, done);
  inOrder(steps, (error) => {
    // What is left of it takes space; if not even that can be removed, the next opening of the pool does it.
    if (error) inOrder([(next) => removeTree(disk, creating, next)], () => done(error));
    else done(null);
  });
}

/** Takes `<snapshots>/<name>` away, if it is there. */
export function removeKept(disk: Disk, snapshots: string, name: string, done: StepDone): void {
  const directory = `${snapshots}/${name}`;
  const deleting = `${directory}${DELETING}`;
  const steps: Step[] = [
    (next) => removeTree(disk, deleting, next),
    // A crash after it: the directory under either name, complete.
    now(() => {
      if (disk.exists(directory)) disk.rename(directory, deleting);
    }),
    // A crash after it: the snapshot is gone, its space not yet.
    (next) => disk.syncDirectory(snapshots, next),
    (next) => removeTree(disk, deleting, next),
  ];
  inOrder(steps, done);
}

/** Whether this error says that the file system cannot share blocks. */
export const cannotShare = (error: unknown): boolean => error instanceof DiskError && error.code === 'EOPNOTSUPP';
