/**
 * A pool: a directory with replicas that one process works on. Creates, deletes, lists and closes them, and says what it has.
 *
 *   ready --a replica's sync fails, or is found to have failed, or somebody says so--> quarantined (until the process starts again)
 *
 * Creations and deletions run one after the other. Must never let two replicas have one id, now or later.
 */
import { assert } from '../../core/assert.ts';
import { messageOf } from '../../core/errors.ts';
import type { ReplicaId, SnapshotUid, VolumeUid } from '../../core/ids.ts';
import type { PoolReport } from '../../core/machine.ts';
import type { CloneSource } from '../../core/task.ts';
import { type Done, IoError, type ReplicaStore } from '../ports.ts';
import { CREATING, createReplica, removeReplica, removeTree, replicaDirectory } from '../replica/store/create.ts';
import { DiskError, type DiskLock, type DiskSpace } from '../replica/store/disk.ts';
import { isDiskBroken, toIoError } from '../replica/store/errors.ts';
import { stateBytes } from '../replica/store/files.ts';
import { inOrder, type Step, type StoreError } from '../replica/store/inOrder.ts';
import { isReplicaSize, type NewReplica, REPLICA_BYTES_MAX } from '../replica/store/meta.ts';
import { openReplica } from '../replica/store/open.ts';
import { withSpaceLeft } from '../replica/store/space.ts';
import type { FileReplicaStore } from '../replica/store/store.ts';
import { formatBytes } from '../replica/store/units.ts';
import { type PoolPlace, replicasPath } from './layout.ts';
import { PoolSnapshots } from './snapshots.ts';
import type { Tombstones } from './tombstones.ts';

/** Each has three open files. */
export const REPLICAS_PER_POOL_MAX = 10_000;
/** Creations and deletions that wait; beyond it they are refused. */
export const OPERATIONS_WAITING_MAX = 1024;

/** A replica that lies in the pool and cannot be served. */
export type UnservedReplica = {
  /** Null when the meta that would tell cannot be read. */
  volume: VolumeUid | null;
  replica: ReplicaId;
  sizeBytes: number;
  reason: string;
};

export type PoolParts = PoolPlace & {
  id: string;
  bootId: string;
  tags: readonly string[];
  reflink: boolean;
  lock: DiskLock;
  tombstones: Tombstones<ReplicaId>;
  snapshotTombstones: Tombstones<SnapshotUid>;
};

/** A new replica: empty, or a copy of what this pool has kept of another. */
export type ReplicaToMake = NewReplica & { source?: CloneSource };

export type Created = (error: IoError | null, store: ReplicaStore | null) => void;

export class Pool {
  readonly #parts: PoolParts;
  readonly snapshots: PoolSnapshots;
  readonly #stores = new Map<ReplicaId, FileReplicaStore>();
  readonly #unserved = new Map<ReplicaId, UnservedReplica>();
  readonly #waiting: ((next: () => void) => void)[] = [];
  #isRunning = false;
  #isClosed = false;
  #quarantine: string | null = null;
  #space: DiskSpace = { capacityBytes: 0, usedBytes: 0 };

  /** What `openPool` found; nobody else makes one. */
  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.snapshots = new PoolSnapshots({
      place: parts,
      reflink: parts.reflink,
      tombstones: parts.snapshotTombstones,
      quarantined: () => this.#quarantine,
      quarantine: (reason) => this.quarantine(reason),
      enqueue: (operation) => this.#enqueue(operation, () => undefined),
    });
  }

  get name(): string {
    return this.#parts.name;
  }

  get path(): string {
    return this.#parts.path;
  }

  /** Made with the pool: the same name on another disk is another pool. */
  get id(): string {
    return this.#parts.id;
  }

  get tombstones(): Tombstones<ReplicaId> {
    return this.#parts.tombstones;
  }

  /** The replicas that can be served, by id. */
  get stores(): ReadonlyMap<ReplicaId, ReplicaStore> {
    return this.#stores;
  }

  /** Those that cannot, with the reason; also the ones that failed since they were opened. */
  get unserved(): UnservedReplica[] {
    const failed = [...this.#stores.values()].flatMap(({ meta }): UnservedReplica[] =>
      meta.failed === null ? [] : [{ volume: meta.volume, replica: meta.replica, sizeBytes: meta.sizeBytes, reason: meta.failed }],
    );
    return [...this.#unserved.values(), ...failed];
  }

  get(replica: ReplicaId): ReplicaStore | null {
    return this.#stores.get(replica) ?? null;
  }

  /** The disk is not to be trusted: nothing new comes here, and people and the leader are told. The first reason stays. */
  quarantine(reason: string): void {
    this.#quarantine ??= reason;
  }

  report(): PoolReport {
    const unreadable = this.#measure();
    const reason = this.#quarantine ?? unreadable ?? this.#parts.tombstones.problem;
    return {
      name: this.name,
      ...this.#space,
      allocatedBytes: this.#allocatedBytes(),
      tags: [...this.#parts.tags],
      reflink: this.#parts.reflink,
      state: reason === null ? 'ready' : 'quarantined',
      ...(reason === null ? {} : { reason }),
    };
  }

  /** Makes a replica, or finds the one that was made before. A crash before it calls back leaves all of it or nothing. */
  createReplica(replica: ReplicaToMake, done: Created): void {
    this.#enqueue((next) => {
      const ended: Created = (error, store) => {
        done(error, store);
        next();
      };
      try {
        const found = this.#findOrRefuse(replica);
        if (found) ended(null, found);
        else this.#create(replica, ended);
      } catch (error) {
        ended(toIoError(error, this.#attempted('creating', replica.replica)), null);
      }
    }, done);
  }

  /**
   * Takes a replica away for ever: its id comes to nothing from the moment its tombstone is durable. What is not there is deleted already.
   * Calls back when its space is free; a crash after the tombstone only delays that to the next start.
   */
  deleteReplica(replica: ReplicaId, done: Done): void {
    this.#enqueue((next) => {
      const { disk, path, tombstones } = this.#parts;
      const steps: Step[] = [
        // A crash after it: the replica may still be there; opening the pool ends it.
        (added) => tombstones.add(replica, added),
        (discarded) => this.#discard(replica, () => discarded(null)),
        (removed) => removeReplica(disk, replicasPath(path), replica, removed),
      ];
      inOrder(steps, (error) => {
        if (!error) this.#unserved.delete(replica);
        done(error && this.#explained(error, this.#attempted('deleting', replica)));
        next();
      });
    }, done);
  }

  /** All that this pool has of a snapshot, for ever. Calls back when its space is free; what is not there is deleted already. */
  deleteSnapshot(snapshot: SnapshotUid, done: Done): void {
    this.#enqueue((next) => {
      this.snapshots.remove(snapshot, (error) => {
        done(error && this.#explained(error, `deleting snapshot ${snapshot} in pool ${this.name}`));
        next();
      });
    }, done);
  }

  /** Closes every replica cleanly and lets go of the lock. The first error is told, the others are closed all the same. */
  close(done: Done): void {
    this.#enqueue((next) => {
      let open = this.#stores.size;
      let first: IoError | null = null;
      const closed: Done = (error) => {
        first ??= error;
        if (--open > 0) return;
        this.#parts.lock.release();
        done(first);
        next();
      };
      if (open === 0) {
        open = 1;
        closed(null);
      }
      for (const store of this.#stores.values()) store.close(closed);
    }, done);
    // From now on, not from when its turn comes: nothing may follow it.
    this.#isClosed = true;
  }

  /** Opens what lies in the pool. Calls back with the reason when it cannot be served; it is remembered in either case. */
  openReplica(replica: ReplicaId, done: (error: StoreError | null) => void): void {
    const { disk, path, bootId } = this.#parts;
    const directory = replicaDirectory(replicasPath(path), replica);
    const onFailed = (reason: string) => this.quarantine(`replica ${replica} has failed: ${reason}`);
    openReplica({ disk, directory, replica, bootId, onFailed, keeper: this.snapshots }, (error, store) => {
      if (store) this.#stores.set(replica, store);
      done(error);
    });
  }

  /** A replica that could not be opened. */
  addUnserved(unserved: UnservedReplica): void {
    this.#unserved.set(unserved.replica, unserved);
  }

  /** The replica, if it is there as asked. Throws IoError when it may not be made. */
  #findOrRefuse(replica: NewReplica): ReplicaStore | null {
    const refuse = (problem: string): IoError => new IoError('invalid', `${this.#attempted('creating', replica.replica)}: ${problem}`);
    const { tombstones } = this.#parts;
    if (!isReplicaSize(replica.sizeBytes)) {
      throw refuse(`a size of ${replica.sizeBytes} bytes is not a multiple of 4096 above 0 and up to ${formatBytes(REPLICA_BYTES_MAX)}`);
    }
    if (tombstones.has(replica.replica)) throw refuse('a replica with this id was deleted here, and an id is never used again');
    const unserved = this.#unserved.get(replica.replica);
    if (unserved) throw refuse(`it is there and cannot be served: ${unserved.reason}`);
    const store = this.#stores.get(replica.replica);
    if (!store) return this.#refuseNew(replica.sizeBytes);
    const { volume, sizeBytes } = store.meta;
    if (volume === replica.volume && sizeBytes === replica.sizeBytes) return store;
    throw refuse(`it is there, of volume ${volume} and ${sizeBytes} bytes`);
  }

  /** Throws IoError when nothing may be made here now, or nothing of this size. */
  #refuseNew(sizeBytes: number): null {
    const report = this.report();
    if (report.reason !== undefined) throw new IoError('io', `pool ${this.name} is quarantined: ${report.reason}`);
    if (this.#stores.size + this.#unserved.size >= REPLICAS_PER_POOL_MAX) {
      throw new IoError('noSpace', `pool ${this.name} has ${REPLICAS_PER_POOL_MAX} replicas, the most that one may have`);
    }
    const free = report.capacityBytes - report.usedBytes;
    const needed = stateBytes(sizeBytes);
    if (needed <= free) return null;
    const replica = `a replica of ${formatBytes(sizeBytes)} needs ${formatBytes(needed)} before anything is written to it`;
    throw new IoError('noSpace', `pool ${this.name} has ${formatBytes(free)} free of ${formatBytes(report.capacityBytes)}; ${replica}`);
  }

  #create({ source, ...replica }: ReplicaToMake, done: Created): void {
    const { disk, path } = this.#parts;
    const replicas = replicasPath(path);
    const content = source ? this.snapshots.contentOf(source, replica.sizeBytes) : null;
    createReplica(disk, replicas, replica, content, (error) => {
      if (error) return this.#giveUp(replica.replica, toIoError(error, this.#attempted('creating', replica.replica)), done);
      this.openReplica(replica.replica, (openError) => {
        const store = this.get(replica.replica);
        if (store) return done(null, store);
        const reason = messageOf(openError);
        this.addUnserved({ volume: replica.volume, replica: replica.replica, sizeBytes: replica.sizeBytes, reason });
        done(new IoError('io', `${this.#attempted('creating', replica.replica)}: ${reason}`, { cause: openError }), null);
      });
    });
  }

  /** Gives back what a failed creation took. If not even that works, the next start does it. */
  #giveUp(replica: ReplicaId, error: IoError, done: Created): void {
    const { disk, path } = this.#parts;
    const creating = `${replicaDirectory(replicasPath(path), replica)}${CREATING}`;
    const explained = withSpaceLeft(disk, path, error);
    // The leader would only try it here again.
    if (explained.code === 'io') this.quarantine(explained.message);
    inOrder([(next) => removeTree(disk, creating, next)], () => done(explained, null));
  }

  #discard(replica: ReplicaId, done: () => void): void {
    const store = this.#stores.get(replica);
    if (!store) return done();
    const { volume, sizeBytes } = store.meta;
    store.discard(() => {
      this.#stores.delete(replica);
      // Until its files are gone, too: it takes space, and a deletion that fails is asked for again.
      this.addUnserved({ volume, replica, sizeBytes, reason: 'it is being deleted' });
      done();
    });
  }

  #enqueue(operation: (next: () => void) => void, refused: (error: IoError, store: null) => void): void {
    if (this.#isClosed) return refused(new IoError('shutdown', `pool ${this.name} is closed`), null);
    if (this.#waiting.length >= OPERATIONS_WAITING_MAX) {
      return refused(new IoError('io', `pool ${this.name}: more than ${OPERATIONS_WAITING_MAX} creations and deletions wait`), null);
    }
    this.#waiting.push(operation);
    if (!this.#isRunning) this.#runNext();
  }

  #runNext(): void {
    const operation = this.#waiting.shift();
    if (!operation) return;
    assert(!this.#isRunning, 'one operation of a pool at a time');
    this.#isRunning = true;
    operation(() => {
      this.#isRunning = false;
      this.#runNext();
    });
  }

  /** Null, or why the file system does not tell. What it told last stays. */
  #measure(): string | null {
    try {
      this.#space = this.#parts.disk.space(this.path);
      return null;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      return error.message;
    }
  }

  /** What a disk says that cannot be trusted any more is a reason for quarantine, wherever it was heard. */
  #explained(error: StoreError, attempted: string): IoError {
    if (isDiskBroken(error)) this.quarantine(`${attempted}: ${error.message}`);
    return toIoError(error, attempted);
  }

  #allocatedBytes(): number {
    let bytes = 0;
    for (const { meta } of this.#stores.values()) bytes += meta.sizeBytes;
    for (const { sizeBytes } of this.#unserved.values()) bytes += sizeBytes;
    return bytes;
  }

  #attempted(doing: string, replica: ReplicaId): string {
    return `${doing} replica ${replica} in pool ${this.name}`;
  }
}
