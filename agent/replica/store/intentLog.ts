/**
 * The intent log in `intents`: which extents are in doubt, one bit each. Must never say that an extent is in the log before that is durable,
 * nor lose one that is before it was told to.
 *
 *   idle --add--> committing --synced--> idle, or committing what came meanwhile
 *
 * Group commit: whoever adds while a commit runs shares the next one, or the running one if it names all of theirs.
 */
import { assert } from '../../../core/assert.ts';
import { ExtentSet } from '../../../core/extent.ts';
import { type Done, IoError } from '../../ports.ts';
import { DiskError, type DiskFile } from './disk.ts';
import { toIoError } from './errors.ts';
import type { PagedFileIdentity } from './page.ts';
import { PagedFile } from './pagedFile.ts';

/** Callers that may wait for one commit; beyond it they are refused. */
export const COMMIT_CALLERS_MAX = 65_536;

type Batch = {
  /** All that its callers named, also what is durable already: it may not leave before they were told that it is there. */
  extents: Set<number>;
  callers: Done[];
};

const newBatch = (): Batch => ({ extents: new Set(), callers: [] });

export const intentBytes = (extents: number): number => Math.ceil(extents / 8);

export class IntentLog {
  readonly #pages: PagedFile;
  readonly #sync: (file: DiskFile, done: Done) => void;
  /** What the file's pages hold, or will with the next write: the durable log and the batch that is being committed. */
  #written: ExtentSet;
  /** The durable log; another set after `grow`. */
  extents: ExtentSet;
  #committing: Batch | null = null;
  #next = newBatch();

  /** Reads and checks the file. `sync` has to succeed once (`makeDurable`) before anybody relies on what was found. */
  constructor(file: DiskFile, identity: PagedFileIdentity, extents: number, sync: (file: DiskFile, done: Done) => void) {
    const body = new Uint8Array(intentBytes(extents));
    this.#pages = new PagedFile(file, identity, body);
    this.#sync = sync;
    this.#written = new ExtentSet(extents, body);
    this.extents = this.#written.copy();
  }

  get isIdle(): boolean {
    return this.#committing === null;
  }

  /** Calls back when all of them are durable in the log: at once, from within the call, when they are already. */
  add(extents: readonly number[], done: Done): void {
    const missing = extents.filter((extent) => !this.extents.has(extent));
    if (missing.length === 0) return done(null);
    const running = this.#committing;
    const batch = running && missing.every((extent) => running.extents.has(extent)) ? running : this.#next;
    if (batch.callers.length >= COMMIT_CALLERS_MAX) {
      return done(new IoError('io', `more than ${COMMIT_CALLERS_MAX} callers wait for the intent log`));
    }
    for (const extent of extents) {
      assert(extent >= 0 && extent < this.extents.extents, `extent ${extent} of ${this.extents.extents}`);
      batch.extents.add(extent);
    }
    batch.callers.push(done);
    if (!running) this.#commitNext();
  }

  /**
   * Takes extents out, but for those that somebody is about to be told are in. Not synced: a crash that loses this brings them back as in
   * doubt, which costs comparing them once more and nothing else. Until a running commit has ended nothing is written, for it would touch
   * the very slots which that is making durable; its end or the next commit writes it.
   */
  remove(extents: readonly number[]): void {
    for (const extent of extents) {
      if (this.#next.extents.has(extent) || this.#committing?.extents.has(extent)) continue;
      this.extents.delete(extent);
      this.#unwrite(extent);
    }
    if (!this.#committing) this.#pages.writeDirty();
  }

  /** What was found in the file or written since becomes durable. Only between commits. */
  makeDurable(done: Done): void {
    assert(!this.#committing, 'the intent log is synced between commits');
    this.#pages.sync(this.#sync, done);
  }

  /** Makes the file long enough for so many extents, durably. One at a time. */
  extend(extents: number, done: Done): void {
    this.#pages.extend(intentBytes(extents), this.#sync, done);
  }

  /** From now on there are so many; the file has been extended. */
  grow(extents: number): void {
    const body = new Uint8Array(intentBytes(extents));
    body.set(this.#written.bytes);
    this.#pages.grow(body);
    this.#written = new ExtentSet(extents, body);
    const durable = new Uint8Array(body.length);
    durable.set(this.extents.bytes);
    this.extents = new ExtentSet(extents, durable);
  }

  close(): void {
    this.#pages.file.close();
  }

  #commitNext(): void {
    const batch = this.#next;
    this.#next = newBatch();
    this.#committing = batch;
    for (const extent of batch.extents) {
      if (this.#written.has(extent)) continue;
      this.#written.add(extent);
      this.#pages.markDirty(extent >> 3);
    }
    try {
      this.#pages.writeDirty();
    } catch (error) {
      return this.#abandon(batch, error);
    }
    // A crash from here on: each page is as it was when last durable, or has the batch too. Nobody has been told yet.
    this.#pages.sync(this.#sync, (error) => {
      if (!error) for (const extent of batch.extents) this.extents.add(extent);
      this.#end(batch, error);
    });
  }

  /** Some pages may hold the batch, more than anybody was told: they are written again with whatever comes next. */
  #abandon(batch: Batch, cause: unknown): void {
    const error = toIoError(cause, 'intent log');
    for (const extent of batch.extents) if (!this.extents.has(extent)) this.#unwrite(extent);
    this.#end(batch, error);
  }

  #unwrite(extent: number): void {
    this.#written.delete(extent);
    this.#pages.markDirty(extent >> 3);
  }

  #end(batch: Batch, error: IoError | null): void {
    this.#committing = null;
    // Those who wait are served first, so that what the callbacks add shares the commit after.
    if (this.#next.callers.length > 0) this.#commitNext();
    else this.#writeRemoved(error);
    for (const done of batch.callers) done(error);
  }

  /** What was removed while the commit ran. */
  #writeRemoved(commitError: IoError | null): void {
    if (commitError || !this.#pages.hasDirtyPages) return;
    try {
      this.#pages.writeDirty();
    } catch (error) {
      // The pages stay dirty, and an extent too many in the log is harmless: the next commit meets the same disk and tells its callers.
      if (!(error instanceof DiskError)) throw error;
    }
  }
}
