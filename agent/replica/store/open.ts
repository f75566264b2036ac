/**
 * Opens a replica's files: all of it is checked before any of it is believed. Must never repair what it does not understand: a damaged
 * replica says so, and its peers have the data.
 */
import { extentCount } from '../../../core/extent.ts';
import type { ReplicaId } from '../../../core/ids.ts';
import type { ReplicaMeta } from '../../ports.ts';
import { DataFile } from './dataFile.ts';
import type { Disk, DiskFile } from './disk.ts';
import { DamagedReplica } from './errors.ts';
import { DATA_FILE, INTENTS_FILE, META_FILE, STAMPS_FILE } from './files.ts';
import { inOrder, now, type Step, type StoreError } from './inOrder.ts';
import { IntentLog } from './intentLog.ts';
import { MetaFile, readMeta } from './meta.ts';
import type { SnapshotKeeper } from './snapshot.ts';
import { StampFile } from './stampFile.ts';
import { FileReplicaStore } from './store.ts';
import { SyncGuard } from './syncGuard.ts';

export type OpenReplica = {
  disk: Disk;
  directory: string;
  replica: ReplicaId;
  /** Of this boot of the machine: one that was open under another lost the power. */
  bootId: string;
  /** A sync has failed: told when it is durable, before anybody else hears of it. */
  onFailed: (reason: string) => void;
  /** Where its snapshots go. */
  keeper: SnapshotKeeper;
};

export type Opened = (error: StoreError | null, store: FileReplicaStore | null) => void;

export function openReplica(options: OpenReplica, done: Opened): void {
  const { disk, directory, replica, bootId } = options;
  const files: DiskFile[] = [];
  let opened: FileReplicaStore | null = null;
  const steps: Step[] = [
    // The names may have been found in the cache of a process that was killed before it synced them.
    (next) => disk.syncDirectory(directory, next),
    now(() => {
      const meta = checkedMeta(disk, directory, replica);
      opened = assemble(options, meta, files);
    }),
    (next) => opened?.begin(bootId, next),
  ];
  inOrder(steps, (error) => {
    if (error) for (const file of files) file.close();
    done(error, error ? null : opened);
  });
}

function checkedMeta(disk: Disk, directory: string, replica: ReplicaId): ReplicaMeta {
  const meta = readMeta(disk, directory, replica);
  if (meta.problem !== null) throw new DamagedReplica(META_FILE, meta.problem);
  if (meta.value.failed !== null) throw new DamagedReplica(META_FILE, `the replica has failed: ${meta.value.failed}`);
  return meta.value;
}

/** Opens and reads the other files; those that were opened are in `files`, also when it throws. */
function assemble({ disk, directory, replica, onFailed, keeper }: OpenReplica, meta: ReplicaMeta, files: DiskFile[]): FileReplicaStore {
  const open = (name: string): DiskFile => {
    const path = `${directory}/${name}`;
    if (!disk.exists(path)) throw new DamagedReplica(name, 'it is missing');
    const file = disk.openFile(path);
    files.push(file);
    return file;
  };
  const guard: SyncGuard = new SyncGuard((reason, kept) =>
    metaFile.keepFailure(reason, () => {
      onFailed(reason);
      kept();
    }),
  );
  const metaFile = new MetaFile(disk, directory, meta, (what, start, ended) => guard.run(what, start, ended));
  const data = open(DATA_FILE);
  const sizeBytes = data.sizeBytes();
  // Longer is no damage: a crash may have come between the extension of the files and the meta that speaks of it.
  if (sizeBytes < meta.sizeBytes) throw new DamagedReplica(DATA_FILE, `it is ${sizeBytes} bytes long, not ${meta.sizeBytes}`);
  const extents = extentCount(meta.sizeBytes);
  return new FileReplicaStore({
    guard,
    keeper,
    meta: metaFile,
    data: new DataFile(disk, data, meta.sizeBytes, guard.syncFile),
    log: new IntentLog(open(INTENTS_FILE), { name: 'intents', replica }, extents, guard.syncFile),
    stamps: new StampFile(open(STAMPS_FILE), { name: 'stamps', replica }, extents, guard.syncFile),
  });
}
