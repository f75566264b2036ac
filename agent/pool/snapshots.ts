/**
 * What a pool keeps of snapshots: `snapshots/<snapshot>.<attempt>.<replica>/`, made by open replicas, read by replicas that begin as copies. Must never
 * hold one back for anything that takes long: a volume's writers wait while it is made. Must never take one away that a later attempt has not replaced,
 * unless it is told to.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { SnapshotUid, VolumeUid } from '../../core/ids.ts';
import type { CloneSource } from '../../core/task.ts';
import { type Done, IoError, type SnapshotRequest } from '../ports.ts';
import { CREATING, DELETING, type ReplicaContent, removeTree } from '../replica/store/create.ts';
import { DamagedReplica, isDiskBroken, toIoError } from '../replica/store/errors.ts';
import { DATA_FILE, STAMPS_FILE } from '../replica/store/files.ts';
import { inOrder, type Step, type StepDone } from '../replica/store/inOrder.ts';
import {
  cannotShare,
  type KeptId,
  keepSnapshot,
  keptName,
  parseKeptName,
  readKeptMeta,
  removeKept,
  type SnapshotKeeper,
  type SnapshotSource,
} from '../replica/store/snapshot.ts';
import { withSpaceLeft } from '../replica/store/space.ts';
import { copiedStamps } from '../replica/store/stampFile.ts';
import { formatBytes } from '../replica/store/units.ts';
import { type PoolPlace, snapshotsPath } from './layout.ts';
import type { Tombstones } from './tombstones.ts';

/** One attempt's snapshot of one replica, as it lies in the pool. */
export type KeptSnapshot = KeptId & {
  volume: VolumeUid | null;
  /** Of the replica when it was made; 0 when the meta that would tell cannot be read. */
  sizeBytes: number;
  problem: string | null;
  /** The last that its replica had seen then, if that is known. */
  config?: VolumeConfig;
};

export type PoolSnapshotsOptions = {
  place: PoolPlace;
  reflink: boolean;
  /** Of deleted snapshots. */
  tombstones: Tombstones<SnapshotUid>;
  /** Why nothing new comes to this pool; null: it is ready. */
  quarantined: () => string | null;
  /** A disk failed. */
  quarantine: (reason: string) => void;
  /** Does it behind the pool's creations and deletions. */
  enqueue: (operation: (next: () => void) => void) => void;
};

export class PoolSnapshots implements SnapshotKeeper {
  readonly #options: PoolSnapshotsOptions;
  readonly #path: string;

  constructor(options: PoolSnapshotsOptions) {
    this.#options = options;
    this.#path = snapshotsPath(options.place.path);
  }

  keep(source: SnapshotSource, request: SnapshotRequest, done: Done): void {
    const { place, quarantine } = this.#options;
    const id: KeptId = { ...request, replica: source.meta.replica };
    keepSnapshot({ disk: place.disk, snapshots: this.#path, source, request, refusal: () => this.#refusalOf(id) }, (error) => {
      if (!error) {
        this.#removeEarlier(id);
        return done(null);
      }
      if (cannotShare(error)) return done(new IoError('notSupported', unsupported(place.name)));
      const problem = withSpaceLeft(place.disk, place.path, toIoError(error, `snapshot ${request.snapshot} of replica ${id.replica}`));
      if (isDiskBroken(problem)) quarantine(problem.message);
      done(problem);
    });
  }

  list(): KeptSnapshot[] {
    const { disk } = this.#options.place;
    return this.#names().map((id) => {
      const meta = readKeptMeta(disk, this.#path, id);
      if (meta.problem !== null) return { ...id, volume: null, sizeBytes: 0, problem: meta.problem };
      const { volume, sizeBytes, config } = meta.value;
      return { ...id, volume, sizeBytes, problem: null, ...(config ? { config } : {}) };
    });
  }

  /** What a replica of so many bytes begins with that is a copy of it. Throws IoError when it cannot be one, DiskError. */
  contentOf(source: CloneSource, sizeBytes: number): ReplicaContent {
    const { disk, name } = this.#options.place;
    const meta = readKeptMeta(disk, this.#path, source);
    const what = `snapshot ${source.snapshot} of replica ${source.replica} in pool ${name}`;
    if (meta.problem !== null) throw new IoError('invalid', `${what}, attempt ${source.attempt}: ${meta.problem}`);
    const directory = `${this.#path}/${keptName(source)}`;
    const stamps = disk.openFile(`${directory}/${STAMPS_FILE}`);
    try {
      const { replica } = source;
      // Kept in the middle of growing, it may be larger than what was offered then: nothing was ever written there.
      const copied = copiedStamps(stamps, replica, meta.value.sizeBytes, sizeBytes);
      if (copied === null) throw new IoError('invalid', `${what} holds more than a copy of ${formatBytes(sizeBytes)} has room for`);
      return { dataPath: `${directory}/${DATA_FILE}`, stamps: copied };
    } catch (error) {
      if (!(error instanceof DamagedReplica)) throw error;
      throw new IoError('invalid', `${what} is damaged: ${error.message}`, { cause: error });
    } finally {
      stamps.close();
    }
  }

  /** Everything of it, of whatever attempt, for ever: none is made any more from the moment its tombstone is durable. One at a time. */
  remove(snapshot: SnapshotUid, done: StepDone): void {
    const { tombstones, place } = this.#options;
    const steps: Step[] = [
      // A crash after it: all of it may still be there; opening the pool ends it.
      (next) => tombstones.add(snapshot, next),
      (next) =>
        inOrder(
          this.#removals(
            place,
            this.#names().filter((id) => id.snapshot === snapshot),
          ),
          next,
        ),
    ];
    inOrder(steps, done);
  }

  /** Finishes what a crash interrupted: what was on its way in or out, what was deleted, what a later attempt has replaced. */
  removeLeftovers(done: StepDone): void {
    const { place, tombstones } = this.#options;
    const halves = place.disk
      .list(this.#path)
      .filter((name) => name.endsWith(CREATING) || name.endsWith(DELETING))
      .map(
        (name): Step =>
          (next) =>
            removeTree(place.disk, `${this.#path}/${name}`, next),
      );
    const all = this.#names();
    const gone = all.filter((id) => tombstones.has(id.snapshot) || all.some((other) => isReplacedBy(id, other)));
    inOrder([...halves, ...this.#removals(place, gone)], done);
  }

  #refusalOf(id: KeptId): IoError | null {
    if (!this.#options.reflink) return new IoError('notSupported', unsupported(this.#options.place.name));
    const problem = this.#problemOf(id);
    return problem === null ? null : new IoError('invalid', problem);
  }

  #problemOf(id: KeptId): string | null {
    const { place, tombstones, quarantined } = this.#options;
    const reason = quarantined();
    if (reason !== null) return `pool ${place.name} is quarantined: ${reason}`;
    if (tombstones.problem !== null) return tombstones.problem;
    if (tombstones.has(id.snapshot)) return `snapshot ${id.snapshot} was deleted in pool ${place.name}, and an id is never used again`;
    const later = this.#names().find((other) => isReplacedBy(id, other));
    return later ? `attempt ${later.attempt} of snapshot ${id.snapshot} is there already, which is later than ${id.attempt}` : null;
  }

  /** Only what never was recorded has a later attempt. If it fails, the next opening of the pool does it. */
  #removeEarlier(id: KeptId): void {
    const earlier = this.#names().filter((other) => isReplacedBy(other, id));
    if (earlier.length === 0) return;
    this.#options.enqueue((next) => inOrder(this.#removals(this.#options.place, earlier), next));
  }

  #removals({ disk }: PoolPlace, ids: readonly KeptId[]): Step[] {
    return ids.map(
      (id): Step =>
        (next) =>
          removeKept(disk, this.#path, keptName(id), next),
    );
  }

  /** Names that are not ours are nobody's. */
  #names(): KeptId[] {
    return this.#options.place.disk.list(this.#path).flatMap((name) => parseKeptName(name) ?? []);
  }
}

const unsupported = (pool: string): string => `snapshots: unsupported on pool ${pool} (its file system cannot share blocks)`;

const isReplacedBy = (one: KeptId, other: KeptId): boolean =>
  one.snapshot === other.snapshot && one.replica === other.replica && one.attempt < other.attempt;
