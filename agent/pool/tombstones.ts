/**
 * Ids of replicas that were deleted from a pool, so that a create task which comes late never brings an empty replica to life under an id
 * whose data is gone. A file that cannot be read is kept beside under another name, and nothing is created while it lies there: which ids
 * it held nobody knows.
 */
import { isHexId, type ReplicaId } from '../../core/ids.ts';
import type { Disk } from '../replica/store/disk.ts';
import type { StepDone } from '../replica/store/inOrder.ts';
import { plainSync, readRecord, replaceRecord } from '../replica/store/record.ts';

/** The oldest are forgotten: no task lives as long as so many deletions take. */
export const TOMBSTONES_MAX = 4096;
export const TOMBSTONES_FILE = 'tombstones';
export const DAMAGED_TOMBSTONES_FILE = 'tombstones.damaged';

type TombstoneRecord = { format: 1; deleted: ReplicaId[] };

function parseTombstones(value: unknown): ReplicaId[] | null {
  if (typeof value !== 'object' || value === null) return null;
  const { format, deleted } = value as Partial<TombstoneRecord>;
  if (format !== 1 || !Array.isArray(deleted) || deleted.length > TOMBSTONES_MAX) return null;
  return deleted.every((id) => typeof id === 'string' && isHexId(id)) ? deleted : null;
}

export class Tombstones {
  readonly #disk: Disk;
  readonly #pool: string;
  /** Oldest first. */
  readonly #deleted: Set<ReplicaId>;

  /** Reads the file, or puts it aside; the pool's directory has to be synced before anybody relies on it. Throws DiskError. */
  constructor(disk: Disk, pool: string) {
    this.#disk = disk;
    this.#pool = pool;
    const path = `${pool}/${TOMBSTONES_FILE}`;
    const record = disk.exists(path) ? readRecord(disk, path) : null;
    const deleted = record?.problem === null ? parseTombstones(record.value) : null;
    if (record && !deleted) disk.rename(path, `${pool}/${DAMAGED_TOMBSTONES_FILE}`);
    this.#deleted = new Set(deleted ?? []);
  }

  /** Why nothing may be created here, if so. A person who knows that no create task is left over removes the file. */
  get problem(): string | null {
    const path = `${this.#pool}/${DAMAGED_TOMBSTONES_FILE}`;
    if (!this.#disk.exists(path)) return null;
    return `${path} is damaged, so which replicas were deleted here is not known; remove it once no create task for this node is left`;
  }

  has(replica: ReplicaId): boolean {
    return this.#deleted.has(replica);
  }

  /** Durable when it calls back. A crash before leaves the file as it was or with the new id. One at a time. */
  add(replica: ReplicaId, done: StepDone): void {
    if (this.#deleted.has(replica)) return done(null);
    const deleted = [...this.#deleted, replica].slice(-TOMBSTONES_MAX);
    const value: TombstoneRecord = { format: 1, deleted };
    const names = { directory: this.#pool, name: TOMBSTONES_FILE, temporaryName: `${TOMBSTONES_FILE}.next` };
    replaceRecord({ disk: this.#disk, ...names, value, sync: plainSync }, (error) => {
      if (!error) {
        const [oldest] = this.#deleted;
        this.#deleted.add(replica);
        if (this.#deleted.size > TOMBSTONES_MAX && oldest !== undefined) this.#deleted.delete(oldest);
      }
      done(error);
    });
  }
}
