/**
 * A file of checksummed pages with two slots each (`page.ts`), over an array of bytes in memory.
 *
 * Only the slot that does not hold the last durable state of a page is ever written: after a power loss in the middle of it the other one
 * still counts. So a page changes slots only once a sync has covered its last write, and no page is written while a sync of the file runs:
 * what that sync is to make durable could be torn by it.
 */
import { assert } from '../../../core/assert.ts';
import type { Done } from '../../ports.ts';
import type { DiskFile } from './disk.ts';
import { readFully, writeFully } from './diskFile.ts';
import { DamagedReplica } from './errors.ts';
import {
  choosePage,
  copyBody,
  encodePage,
  PAGE_BODY_BYTES,
  PAGE_BYTES,
  PAGE_PAIR_BYTES,
  type PagedFileIdentity,
  pageCount,
  type Slot,
} from './page.ts';

/** How many pages are read or formatted with one call. */
const PAGES_AT_ONCE = 128;

export const pagedFileBytes = (bodyBytes: number): number => pageCount(bodyBytes) * PAGE_PAIR_BYTES;

const NOTHING = new Uint8Array(0);
/** After `formatPages`: of every page the slot that counts, and its generation. */
const FORMATTED_SLOT: Slot = 1;
const FORMATTED_GENERATION = 2;

/** A new file whose body is all zero. Not durable before it is synced; both slots are, so that a slot of zeroes is never right. */
export const formatPagedFile = (file: DiskFile, identity: PagedFileIdentity, bodyBytes: number): void =>
  formatPages(file, identity, 0, pageCount(bodyBytes), NOTHING);

/** A new file with this body. */
export const writePagedFile = (file: DiskFile, identity: PagedFileIdentity, body: Uint8Array): void =>
  formatPages(file, identity, 0, pageCount(body.length), body);

/** Pages from `from` up to `pages`, over whatever is there. */
function formatPages(file: DiskFile, identity: PagedFileIdentity, from: number, pages: number, body: Uint8Array): void {
  const buffer = Buffer.alloc(Math.max(0, Math.min(pages - from, PAGES_AT_ONCE)) * PAGE_PAIR_BYTES);
  for (let first = from; first < pages; first += PAGES_AT_ONCE) {
    const count = Math.min(PAGES_AT_ONCE, pages - first);
    for (let index = 0; index < count; index++) {
      const page = first + index;
      const content = body.subarray(page * PAGE_BODY_BYTES, (page + 1) * PAGE_BODY_BYTES);
      for (const slot of [0, 1] as const) {
        const start = index * PAGE_PAIR_BYTES + slot * PAGE_BYTES;
        encodePage(buffer.subarray(start, start + PAGE_BYTES), identity, { page, slot, generation: slot + 1 }, content);
      }
    }
    writeFully(file, [buffer.subarray(0, count * PAGE_PAIR_BYTES)], count * PAGE_PAIR_BYTES, first * PAGE_PAIR_BYTES);
  }
}

export class PagedFile {
  readonly #file: DiskFile;
  readonly #identity: PagedFileIdentity;
  #body: Uint8Array;
  /** Of each page: the slot that holds what is durable, and the generation last written. */
  #durableSlots: Uint8Array;
  #generations: Float64Array;
  /** Pages that the file has durably; more than the body needs after `extend`. */
  #pagesThere: number;
  /** Pages that differ from the file; pages written since the last sync began. */
  readonly #dirty = new Set<number>();
  #written = new Set<number>();
  readonly #scratch = Buffer.alloc(PAGE_BYTES);
  #syncing = false;
  /** What a process before this one left in the cache may not be durable: until a first sync no slot is known to be. */
  #trusted = false;

  /** Reads and checks the whole file into `body`. Throws DamagedReplica, or DiskError when the disk does not answer. */
  constructor(file: DiskFile, identity: PagedFileIdentity, body: Uint8Array) {
    this.#file = file;
    this.#identity = identity;
    this.#body = body;
    const pages = pageCount(body.length);
    this.#durableSlots = new Uint8Array(pages);
    this.#generations = new Float64Array(pages);
    this.#pagesThere = pages;
    const sizeBytes = file.sizeBytes();
    // Longer is no damage: a crash may have come between the extension of the files and the meta that speaks of it.
    if (sizeBytes < pages * PAGE_PAIR_BYTES) {
      throw new DamagedReplica(identity.name, `it is ${sizeBytes} bytes long, not ${pages * PAGE_PAIR_BYTES}`);
    }
    for (let first = 0; first < pages; first += PAGES_AT_ONCE) this.#load(first, Math.min(PAGES_AT_ONCE, pages - first));
  }

  get file(): DiskFile {
    return this.#file;
  }

  /** Whether anything was written that no sync has covered. */
  get needsSync(): boolean {
    return !this.#trusted || this.#written.size > 0;
  }

  get isSyncing(): boolean {
    return this.#syncing;
  }

  get hasDirtyPages(): boolean {
    return this.#dirty.size > 0;
  }

  /** The body changed at this byte. */
  markDirty(bodyOffset: number): void {
    this.#dirty.add(Math.floor(bodyOffset / PAGE_BODY_BYTES));
  }

  /**
   * Writes every page that differs, each with one call. A crash before the next sync: every such page is as it was when last durable, or
   * as written now. Throws DiskError; the pages that were not written stay dirty.
   */
  writeDirty(): void {
    assert(this.#trusted && !this.#syncing, 'pages are written between syncs only');
    for (const page of this.#dirty) {
      this.#writePage(page);
      this.#dirty.delete(page);
    }
  }

  /** What `writeDirty` wrote becomes durable. `sync` syncs the file and ends the replica if that fails. */
  sync(sync: (file: DiskFile, done: Done) => void, done: Done): void {
    assert(!this.#syncing, 'one sync of a paged file at a time');
    this.#syncing = true;
    const covered = this.#written;
    this.#written = new Set();
    sync(this.#file, (error) => {
      this.#syncing = false;
      if (!error) this.#becomeDurable(covered);
      done(error);
    });
  }

  /**
   * Gives the file pages for a body of so many bytes, all zero, behind those that it has. A crash leaves any of them in any state: they are written anew by
   * the next extension, and count from `grow` on only. Also while a sync runs, which has nothing to do with them. Throws DiskError.
   */
  extend(bodyBytes: number, sync: (file: DiskFile, done: Done) => void, done: Done): void {
    const pages = pageCount(bodyBytes);
    if (pages <= this.#pagesThere) return done(null);
    formatPages(this.#file, this.#identity, this.#pagesThere, pages, NOTHING);
    sync(this.#file, (error) => {
      if (!error) this.#pagesThere = Math.max(this.#pagesThere, pages);
      done(error);
    });
  }

  /** The body is this one from now on: as it was, and zeroes behind. */
  grow(body: Uint8Array): void {
    const pages = pageCount(body.length);
    assert(pages <= this.#pagesThere, `a body of ${pages} pages in a file of ${this.#pagesThere}`);
    const slots = new Uint8Array(pages).fill(FORMATTED_SLOT);
    slots.set(this.#durableSlots);
    const generations = new Float64Array(pages).fill(FORMATTED_GENERATION);
    generations.set(this.#generations);
    this.#body = body;
    this.#durableSlots = slots;
    this.#generations = generations;
  }

  #becomeDurable(pages: ReadonlySet<number>): void {
    this.#trusted = true;
    for (const page of pages) this.#durableSlots[page] = 1 - (this.#durableSlots[page] ?? 0);
  }

  #writePage(page: number): void {
    const slot: Slot = this.#durableSlots[page] === 0 ? 1 : 0;
    const generation = (this.#generations[page] ?? 0) + 1;
    // Also when the write fails half way: the next one must not be taken for a part of it.
    this.#generations[page] = generation;
    const start = page * PAGE_BODY_BYTES;
    encodePage(this.#scratch, this.#identity, { page, slot, generation }, this.#body.subarray(start, start + PAGE_BODY_BYTES));
    // A write that fails half way leaves the slot in pieces: no sync may count it until it was written again.
    this.#written.delete(page);
    writeFully(this.#file, [this.#scratch], PAGE_BYTES, page * PAGE_PAIR_BYTES + slot * PAGE_BYTES);
    this.#written.add(page);
  }

  #load(first: number, count: number): void {
    const { name } = this.#identity;
    const buffer = Buffer.alloc(count * PAGE_PAIR_BYTES);
    readFully(this.#file, buffer, first * PAGE_PAIR_BYTES);
    for (let index = 0; index < count; index++) {
      const page = first + index;
      const pair = buffer.subarray(index * PAGE_PAIR_BYTES, (index + 1) * PAGE_PAIR_BYTES);
      const state = choosePage(pair, this.#identity, page);
      if (state.problem !== null) throw new DamagedReplica(name, state.problem);
      const start = page * PAGE_BODY_BYTES;
      if (!copyBody(pair, state.slot, this.#body.subarray(start, start + PAGE_BODY_BYTES))) {
        throw new DamagedReplica(name, `page ${page}: there is something behind the end of the volume`);
      }
      this.#durableSlots[page] = state.slot;
      this.#generations[page] = state.generation;
    }
  }
}
