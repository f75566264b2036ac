/**
 * A ReplicaStore over a platter: completions come late, in order, and never after the process has gone. Must promise no more than the port does:
 * stamps live in memory until `clean`, a failed flush is never tried again, a change outside of the intent log is a programmer error.
 */

import { type Done, IoError, type ReplicaMeta, type ReplicaStore, type SnapshotRequest } from '../../agent/ports.ts';
import { assert } from '../../core/assert.ts';
import {
  BLOCK_BYTES,
  EXTENT_BYTES,
  type ExtentSet,
  ExtentSet as Extents,
  extentLength,
  firstExtent,
  lastExtent,
} from '../../core/extent.ts';
import type { StoreTiming } from './files.ts';
import { decodePiece, encodePiece, PIECE_BYTES } from './layout.ts';
import type { Note, Platter } from './platter.ts';
import { delayMs } from './seeds.ts';
import { Violation } from './violation.ts';

const noSpace = (): IoError => new IoError('noSpace', 'no space left on the disk');

export class SimulatedStore implements ReplicaStore {
  readonly platter: Platter;
  readonly #timing: StoreTiming;
  /** In memory only, until a clean. */
  readonly #notes: Note[];
  #failure: IoError | null = null;
  #touchedWhileCleaning: Set<number> | null = null;
  #savesMeta = false;

  constructor(platter: Platter, timing: StoreTiming) {
    this.platter = platter;
    this.#timing = timing;
    this.#notes = platter.notes.map((note, extent) => ({ ...note, mayHaveData: note.mayHaveData || platter.intents.has(extent) }));
  }

  get meta(): ReplicaMeta {
    return this.platter.meta;
  }

  saveMeta(meta: ReplicaMeta, done: Done): void {
    assert(!this.#savesMeta, 'one meta is saved at a time');
    this.#savesMeta = true;
    this.#begin(
      'meta',
      () => {
        const { sizeBytes } = this.platter.meta;
        this.platter.meta = meta;
        if (meta.sizeBytes > sizeBytes) this.platter.grow();
      },
      () => {
        this.#savesMeta = false;
        while (this.#notes.length < this.platter.extents) this.#notes.push({ stamp: 0, mayHaveData: false });
        done(null);
      },
    );
  }

  read(offsetBytes: number, lengthBytes: number): Buffer {
    const data = Buffer.alloc(lengthBytes);
    const last = lastExtent(offsetBytes, lengthBytes);
    for (let extent = firstExtent(offsetBytes); extent <= last; extent++) {
      for (const piece of this.platter.written(extent)) {
        const at = piece * PIECE_BYTES - offsetBytes;
        const value = this.platter.value(piece);
        if (value !== 0 && at >= 0 && at < lengthBytes) encodePiece(value, data, at);
      }
    }
    return data;
  }

  write(offsetBytes: number, chunks: readonly Buffer[], lengthBytes: number): void {
    const data = Buffer.concat(chunks);
    assert(data.length === lengthBytes, `${data.length} bytes given for ${lengthBytes}`);
    const lastExtentWritten = lastExtent(offsetBytes, lengthBytes);
    for (let extent = firstExtent(offsetBytes); extent <= lastExtentWritten; extent++) this.#touch(extent);
    // One that fails half way has written, too.
    const fits = this.#timing.isFull() ? this.#timing.random.below(lengthBytes / BLOCK_BYTES) * BLOCK_BYTES : lengthBytes;
    for (let at = 0; at < fits; at += PIECE_BYTES) {
      const value = decodePiece(data, at);
      if (value === null) throw new Violation('contract', `half of block ${(offsetBytes + at) / BLOCK_BYTES} is of several writes`);
      this.platter.set((offsetBytes + at) / PIECE_BYTES, value);
    }
    this.#forEach(offsetBytes, lengthBytes, (note) => {
      note.mayHaveData = true;
    });
    if (fits < lengthBytes) throw noSpace();
  }

  zero(offsetBytes: number, lengthBytes: number, _free: boolean): void {
    const end = (offsetBytes + lengthBytes) / PIECE_BYTES;
    this.#forEach(offsetBytes, lengthBytes, () => undefined);
    this.#forEach(offsetBytes, lengthBytes, (note, extent) => {
      for (const piece of this.platter.written(extent)) if (piece >= offsetBytes / PIECE_BYTES && piece < end) this.platter.set(piece, 0);
      const start = extent * EXTENT_BYTES;
      const isWhole = start >= offsetBytes && start + extentLength(extent, this.meta.sizeBytes) <= offsetBytes + lengthBytes;
      if (isWhole) note.mayHaveData = false;
    });
  }

  flush(done: Done): void {
    if (this.#failure) return done(this.#failure);
    const { serial } = this.platter;
    const fails = this.#timing.flushFails();
    this.#begin(
      'flush',
      () => undefined,
      () => {
        if (fails) return this.#fail(done);
        this.platter.makeDurable(serial);
        done(null);
      },
    );
  }

  get intents(): ExtentSet {
    return this.platter.intents;
  }

  addIntents(extents: readonly number[], done: Done): void {
    if (this.#failure) return done(this.#failure);
    const missing = extents.filter((extent) => !this.intents.has(extent));
    if (missing.length === 0) return done(null);
    if (this.#timing.isFull() && this.#timing.random.chance(0.5)) return done(noSpace());
    this.#begin(
      'intents',
      () => this.platter.addIntents(missing),
      () => done(null),
    );
  }

  clean(extents: readonly number[], mayLeave: (extent: number) => boolean, done: Done): void {
    assert(!this.#touchedWhileCleaning, 'one clean at a time');
    if (this.#failure) return done(this.#failure);
    const leaving = extents.filter((extent) => this.intents.has(extent) && mayLeave(extent));
    const { serial } = this.platter;
    const notes = this.#notes.map((note) => ({ ...note }));
    const touched = new Set<number>();
    this.#touchedWhileCleaning = touched;
    this.#begin(
      'clean',
      () => {
        this.platter.keepNotes(notes);
      },
      () => {
        this.#touchedWhileCleaning = null;
        this.platter.makeDurable(serial);
        this.platter.removeIntents(leaving.filter((extent) => !touched.has(extent) && mayLeave(extent)));
        done(null);
      },
    );
  }

  stamp(extent: number): number {
    return this.#note(extent).stamp;
  }

  setStamp(extent: number, version: number): void {
    this.#touch(extent);
    this.#note(extent).stamp = version;
  }

  changedSince(version: number): ExtentSet {
    const changed = new Extents(this.platter.extents);
    this.#notes.forEach((note, extent) => {
      if (note.stamp >= Math.max(1, version)) changed.add(extent);
    });
    changed.addAll(this.intents);
    return changed;
  }

  mayHaveData(extent: number): boolean {
    return this.#note(extent).mayHaveData;
  }

  extend(_sizeBytes: number, done: Done): void {
    if (this.#failure) return done(this.#failure);
    this.#begin(
      'extend',
      () => undefined,
      () => done(null),
    );
  }

  snapshot({ snapshot, attempt }: SnapshotRequest, done: Done): void {
    if (this.#failure) return done(this.#failure);
    this.#begin(
      'snapshot',
      () => this.platter.keep(`${snapshot}.${attempt}`),
      () => done(null),
    );
  }

  close(done: Done): void {
    const { serial } = this.platter;
    const notes = this.#notes.map((note) => ({ ...note }));
    this.#begin(
      'close',
      () => undefined,
      () => {
        this.platter.makeDurable(serial);
        this.platter.keepNotes(notes);
        this.platter.meta = { ...this.meta, openBootId: null };
        done(null);
      },
    );
  }

  #note(extent: number): Note {
    const note = this.#notes[extent];
    assert(note, `extent ${extent} of ${this.#notes.length}`);
    return note;
  }

  #touch(extent: number): void {
    if (!this.intents.has(extent)) throw new Violation('contract', `extent ${extent} is changed without being in the intent log`);
    this.#touchedWhileCleaning?.add(extent);
  }

  #forEach(offsetBytes: number, lengthBytes: number, act: (note: Note, extent: number) => void): void {
    const last = lastExtent(offsetBytes, lengthBytes);
    for (let extent = firstExtent(offsetBytes); extent <= last; extent++) {
      this.#touch(extent);
      act(this.#note(extent), extent);
    }
  }

  /** A crash before the end leaves `effect` done or not; `ended` is only for a process that is still there. */
  #begin(label: string, effect: () => void, ended: () => void): void {
    const { random, completesAtOnce, later, usualMs } = this.#timing;
    const end = () => {
      this.platter.inProgress.delete(effect);
      effect();
      ended();
    };
    if (random.chance(completesAtOnce)) return end();
    this.platter.inProgress.add(effect);
    later(delayMs(random, usualMs, usualMs * 50), label, end);
  }

  /** As the real one: durable in the meta before anybody is told. */
  #fail(done: Done): void {
    this.#failure = new IoError('io', 'fdatasync failed');
    this.platter.meta = { ...this.meta, failed: 'fdatasync failed' };
    done(this.#failure);
  }
}
