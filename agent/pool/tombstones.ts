/**
 * Ids of replicas, and in a file of their own those of snapshots, that were deleted from a pool: what is late never brings to life under an id what is
 * gone, neither an empty replica nor a snapshot that nobody knows of. A file that cannot be read is kept beside under another name, and nothing is created
 * while it lies there: which ids it held nobody knows.
 */
import { isHexId, isSnapshotUid } from '../../core/ids.ts';
import type { Disk } from '../replica/store/disk.ts';
import type { StepDone } from '../replica/store/inOrder.ts';
import { plainSync, readRecord, replaceRecord } from '../replica/store/record.ts';

/** The oldest are forgotten: no task lives as long as so many deletions take. */
export const TOMBSTONES_MAX = 4096;

/** Whose ids a file holds: in words, and of which form. */
export type TombstoneKind = { file: string; what: string; task: string; isId: (text: string) => boolean };
export const REPLICA_TOMBSTONES: TombstoneKind = { file: 'tombstones', what: 'replicas', task: 'create', isId: isHexId };
export const SNAPSHOT_TOMBSTONES: TombstoneKind = {
  file: 'snapshot-tombstones',
  what: 'snapshots',
  task: 'snapshot',
  isId: isSnapshotUid,
};

export const damagedName = (file: string): string => `${file}.damaged`;

type TombstoneRecord = { format: 1; deleted: string[] };

function parseTombstones(value: unknown, isId: (text: string) => boolean): string[] | null {
  if (typeof value !== 'object' || value === null) return null;
  const { format, deleted } = value as Partial<TombstoneRecord>;
  if (format !== 1 || !Array.isArray(deleted) || deleted.length > TOMBSTONES_MAX) return null;
  return deleted.every((id) => typeof id === 'string' && isId(id)) ? deleted : null;
}

export class Tombstones<Id extends string> {
  readonly #disk: Disk;
  readonly #pool: string;
  readonly #kind: TombstoneKind;
  /** Oldest first. */
  readonly #deleted: Set<string>;

  /** Reads the file, or puts it aside; the pool's directory has to be synced before anybody relies on it. Throws DiskError. */
  constructor(disk: Disk, pool: string, kind: TombstoneKind) {
    this.#disk = disk;
    this.#pool = pool;
    this.#kind = kind;
    const path = `${pool}/${kind.file}`;
    const record = disk.exists(path) ? readRecord(disk, path) : null;
    const deleted = record?.problem === null ? parseTombstones(record.value, kind.isId) : null;
    if (record && !deleted) disk.rename(path, damagedName(path));
    this.#deleted = new Set(deleted ?? []);
  }

  /** Why nothing may be created here, if so. A person who knows that no such task is left over removes the file. */
  get problem(): string | null {
    const { file, what, task } = this.#kind;
    const path = `${this.#pool}/${damagedName(file)}`;
    if (!this.#disk.exists(path)) return null;
    return `${path} is damaged, so which ${what} were deleted here is not known; remove it once no ${task} task for this node is left`;
  }

  has(id: Id): boolean {
    return this.#deleted.has(id);
  }

  /** Durable when it calls back. A crash before leaves the file as it was or with the new id. One at a time. */
  add(id: Id, done: StepDone): void {
    if (this.#deleted.has(id)) return done(null);
    const { file: name } = this.#kind;
    const deleted = [...this.#deleted, id].slice(-TOMBSTONES_MAX);
    const value: TombstoneRecord = { format: 1, deleted };
    replaceRecord({ disk: this.#disk, directory: this.#pool, name, temporaryName: `${name}.next`, value, sync: plainSync }, (error) => {
      if (!error) {
        const [oldest] = this.#deleted;
        this.#deleted.add(id);
        if (this.#deleted.size > TOMBSTONES_MAX && oldest !== undefined) this.#deleted.delete(oldest);
      }
      done(error);
    });
  }
}
