/**
 * Makes and removes a replica's directory. A replica is there, with all its files, or it is not: it is made under a temporary name, and taken
 * away by a rename. What a crash leaves under another name is removed when the pool is opened.
 */
import { extentCount } from '../../../core/extent.ts';
import type { ReplicaId } from '../../../core/ids.ts';
import type { Disk, DiskFile } from './disk.ts';
import { writeFully } from './diskFile.ts';
import { DATA_FILE, INTENTS_FILE, META_FILE, STAMPS_FILE } from './files.ts';
import { inOrder, now, type Step, type StepDone } from './inOrder.ts';
import { intentBytes } from './intentLog.ts';
import { NEXT_META_FILE, type NewReplica, newMeta } from './meta.ts';
import type { PagedFileName } from './page.ts';
import { formatPagedFile, writePagedFile } from './pagedFile.ts';
import { encodeRecord } from './record.ts';
import { stampBytes } from './stampFile.ts';

export const CREATING = '.creating';
export const DELETING = '.deleting';

export const replicaDirectory = (replicas: string, replica: ReplicaId): string => `${replicas}/${replica}`;

/** A new file with this content, durable when it calls back. */
export const makeFile =
  (disk: Disk, path: string, fill: (file: DiskFile) => void): Step =>
  (next) => {
    const file = disk.createFile(path);
    inOrder([now(() => fill(file)), (synced) => file.syncAll(synced)], (error) => {
      file.close();
      next(error);
    });
  };

/** An existing file becomes durable, with all about it. */
export function syncFile(disk: Disk, path: string, done: StepDone, change: (file: DiskFile) => void = () => undefined): void {
  const file = disk.openFile(path);
  inOrder([now(() => change(file)), (synced) => file.syncAll(synced)], (error) => {
    file.close();
    done(error);
  });
}

/** What a new replica begins with; null: with zeroes. */
export type ReplicaContent = {
  /** A file whose blocks it shares; not longer than the replica where it counts, and zeroes beyond. */
  dataPath: string;
  /** The body of its stamps. */
  stamps: Uint8Array;
};

/** Makes `<replicas>/<id>`. Whatever was left there under its temporary name goes first. */
export function createReplica(disk: Disk, replicas: string, replica: NewReplica, content: ReplicaContent | null, done: StepDone): void {
  const directory = replicaDirectory(replicas, replica.replica);
  const creating = `${directory}${CREATING}`;
  const extents = extentCount(replica.sizeBytes);
  const paged = (name: PagedFileName, bodyBytes: number): Step =>
    makeFile(disk, `${creating}/${name}`, (file) => formatPagedFile(file, { name, replica: replica.replica }, bodyBytes));
  const meta = encodeRecord(newMeta(replica));
  const data = `${creating}/${DATA_FILE}`;
  const steps: Step[] = [
    (next) => removeTree(disk, creating, next),
    // A crash from here on leaves a directory under its temporary name with some of the files.
    now(() => disk.makeDirectory(creating)),
    ...(content
      ? [
          (next: StepDone) => disk.reflink(content.dataPath, data, next),
          (next: StepDone) => syncFile(disk, data, next, (file) => file.truncate(replica.sizeBytes)),
        ]
      : [makeFile(disk, data, (file) => file.truncate(replica.sizeBytes))]),
    paged(INTENTS_FILE, intentBytes(extents)),
    content
      ? makeFile(disk, `${creating}/${STAMPS_FILE}`, (file) =>
          writePagedFile(file, { name: 'stamps', replica: replica.replica }, content.stamps),
        )
      : paged(STAMPS_FILE, stampBytes(extents)),
    makeFile(disk, `${creating}/${META_FILE}`, (file) => writeFully(file, [meta], meta.length, 0)),
    makeFile(disk, `${creating}/${NEXT_META_FILE}`, (file) => writeFully(file, [meta], meta.length, 0)),
    // The names must be durable before the directory's own is: a replica that is there is whole.
    (next) => disk.syncDirectory(creating, next),
    // A crash after it: the directory under either name, complete.
    now(() => disk.rename(creating, directory)),
    // A crash after it: the replica is there.
    (next) => disk.syncDirectory(replicas, next),
  ];
  inOrder(steps, done);
}

/** Takes `<replicas>/<id>` away, if it is there, and frees its space. Its files must be closed. */
export function removeReplica(disk: Disk, replicas: string, replica: ReplicaId, done: StepDone): void {
  const directory = replicaDirectory(replicas, replica);
  const deleting = `${directory}${DELETING}`;
  const steps: Step[] = [
    (next) => removeTree(disk, `${directory}${CREATING}`, next),
    // A crash after it: the directory under either name, complete; under its own, its tombstone ends it when the pool is opened.
    now(() => {
      if (disk.exists(directory)) disk.rename(directory, deleting);
    }),
    // A crash after it: the replica is gone, its space not yet. Only now may files go: one that lacks some would look damaged.
    (next) => disk.syncDirectory(replicas, next),
    (next) => removeTree(disk, deleting, next),
  ];
  inOrder(steps, done);
}

/** A directory with files only; none at all is fine. A crash leaves some of it, under the same name. */
export function removeTree(disk: Disk, directory: string, done: StepDone): void {
  if (!disk.exists(directory)) return done(null);
  const removals = disk.list(directory).map(
    (name): Step =>
      (next) =>
        disk.removeFile(`${directory}/${name}`, next),
  );
  inOrder([...removals, now(() => disk.removeDirectory(directory))], done);
}
