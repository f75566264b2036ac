/**
 * The stamps in `stamps`: for each extent the config version under which it was last written, and whether it may hold anything but zeroes.
 * In memory at once; durable by `write` and `sync`, before an extent leaves the intent log. Until then the log covers for it.
 *
 *   at  bytes           of each extent, little-endian
 *   0   6  version      0: never written
 *   6   1  flags        1: may have data
 *   7   1  zero
 */
import { assert } from '../../../core/assert.ts';
import { ExtentSet, extentCount } from '../../../core/extent.ts';
import type { ReplicaId } from '../../../core/ids.ts';
import type { Done } from '../../ports.ts';
import type { DiskFile } from './disk.ts';
import { DamagedReplica } from './errors.ts';
import type { PagedFileIdentity } from './page.ts';
import { PagedFile } from './pagedFile.ts';

export const STAMP_BYTES = 8;
/** A config version has room in six bytes. */
export const VERSION_MAX = 2 ** 48 - 1;

const MAY_HAVE_DATA = 1;
/** Of every config: none is older. */
const FIRST_VERSION = 1;
const HIGH_BYTES_AT = 4;
const FLAGS_AT = 6;
const TWO_TO_32 = 2 ** 32;

export const stampBytes = (extents: number): number => extents * STAMP_BYTES;

export class StampFile {
  readonly #pages: PagedFile;
  #extents: number;
  #view: DataView;
  readonly #sync: (file: DiskFile, done: Done) => void;

  /** Reads and checks the file. `sync` has to succeed once before anything is written. */
  constructor(file: DiskFile, identity: PagedFileIdentity, extents: number, sync: (file: DiskFile, done: Done) => void) {
    const body = new Uint8Array(stampBytes(extents));
    this.#pages = new PagedFile(file, identity, body);
    this.#extents = extents;
    this.#view = new DataView(body.buffer);
    this.#sync = sync;
    for (let extent = 0; extent < extents; extent++) {
      const flags = this.#view.getUint16(extent * STAMP_BYTES + FLAGS_AT, true);
      if (flags > MAY_HAVE_DATA) throw new DamagedReplica(identity.name, `extent ${extent}: the flags ${flags} are not known`);
    }
  }

  version(extent: number): number {
    const at = extent * STAMP_BYTES;
    return this.#view.getUint32(at, true) + this.#view.getUint16(at + HIGH_BYTES_AT, true) * TWO_TO_32;
  }

  setVersion(extent: number, version: number): void {
    if (!Number.isSafeInteger(version) || version < 0 || version > VERSION_MAX) assert(false, `version ${version} is out of range`);
    const at = extent * STAMP_BYTES;
    this.#view.setUint32(at, version % TWO_TO_32, true);
    this.#view.setUint16(at + HIGH_BYTES_AT, Math.floor(version / TWO_TO_32), true);
    this.#pages.markDirty(at);
  }

  mayHaveData(extent: number): boolean {
    return this.#view.getUint8(extent * STAMP_BYTES + FLAGS_AT) === MAY_HAVE_DATA;
  }

  setMayHaveData(extent: number, mayHaveData: boolean): void {
    if (this.mayHaveData(extent) === mayHaveData) return;
    const at = extent * STAMP_BYTES;
    this.#view.setUint8(at + FLAGS_AT, mayHaveData ? MAY_HAVE_DATA : 0);
    this.#pages.markDirty(at);
  }

  /** All of it as it is in memory: a copy. */
  body(): Uint8Array {
    return new Uint8Array(this.#view.buffer).slice();
  }

  /** Makes the file long enough for so many extents, durably. One at a time. */
  extend(extents: number, done: Done): void {
    this.#pages.extend(stampBytes(extents), this.#sync, done);
  }

  /** From now on there are so many, the new ones never written; the file has been extended. */
  grow(extents: number): void {
    const body = new Uint8Array(stampBytes(extents));
    body.set(new Uint8Array(this.#view.buffer));
    this.#pages.grow(body);
    this.#extents = extents;
    this.#view = new DataView(body.buffer);
  }

  /** Extents stamped at or after `version`; with 0 all that were ever stamped. */
  since(version: number): ExtentSet {
    const found = new ExtentSet(this.#extents);
    const from = Math.max(1, version);
    for (let extent = 0; extent < this.#extents; extent++) if (this.version(extent) >= from) found.add(extent);
    return found;
  }

  get needsSync(): boolean {
    return this.#pages.needsSync;
  }

  get isIdle(): boolean {
    return !this.#pages.isSyncing;
  }

  /**
   * All that changed goes to the cache. A crash before the sync leaves old and new stamps side by side: those that changed belong to extents
   * that are still in the log, which count as changed whatever their stamp says. Throws DiskError.
   */
  write(): void {
    this.#pages.writeDirty();
  }

  sync(done: Done): void {
    this.#pages.sync(this.#sync, done);
  }

  close(): void {
    this.#pages.file.close();
  }
}

/**
 * The stamps, as a file's body, of a replica that begins as a copy of the one whose stamps the file holds: whatever was ever written there is new here, so a
 * replica that joins is given it. Null: a copy of that size would lack something. Throws DamagedReplica, DiskError.
 */
export function copiedStamps(file: DiskFile, replica: ReplicaId, sizeBytes: number, sizeBytesOfCopy: number): Uint8Array | null {
  const extents = extentCount(sizeBytes);
  const stamps = new StampFile(file, { name: 'stamps', replica }, extents, () => assert(false, 'nothing is written there'));
  const extentsOfCopy = extentCount(sizeBytesOfCopy);
  const body = new Uint8Array(stampBytes(extentsOfCopy));
  const view = new DataView(body.buffer);
  for (let extent = 0; extent < extents; extent++) {
    const mayHaveData = stamps.mayHaveData(extent);
    if (!mayHaveData && stamps.version(extent) === 0) continue;
    if (extent >= extentsOfCopy) return null;
    view.setUint32(extent * STAMP_BYTES, FIRST_VERSION, true);
    if (mayHaveData) view.setUint8(extent * STAMP_BYTES + FLAGS_AT, MAY_HAVE_DATA);
  }
  return body;
}
