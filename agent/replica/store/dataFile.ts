/**
 * A replica's `data`: the volume's bytes, at their own offsets, sparse. Synchronous and in the page cache, but for `flush`.
 * Must never return fewer bytes than were asked for. Ranges are checked by `checkRange`, before anything is noted of them.
 */
import { assert } from '../../../core/assert.ts';
import { BLOCK_BYTES_MAX, LONG_BYTES, threadBlocks } from '../../../core/wire/blockPool.ts';
import { type Done, IoError } from '../../ports.ts';
import type { Disk, DiskFile } from './disk.ts';
import { readFully, writeFully } from './diskFile.ts';
import { toIoError } from './errors.ts';
import { SharedSync } from './sharedSync.ts';
import { withSpaceLeft } from './space.ts';

/** Zeroes are written out of one buffer of this size. */
const ZERO_BYTES = 256 * 1024;
const ZEROES = Buffer.alloc(ZERO_BYTES);

export class DataFile {
  readonly #disk: Disk;
  readonly #file: DiskFile;
  #sizeBytes: number;
  /** How long the file was made, durably: more than the replica's size between an extension and `grow`. */
  #madeBytes: number;
  readonly #sync: (file: DiskFile, done: Done) => void;
  readonly #shared: SharedSync;

  constructor(disk: Disk, file: DiskFile, sizeBytes: number, sync: (file: DiskFile, done: Done) => void) {
    this.#disk = disk;
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#madeBytes = sizeBytes;
    this.#sync = sync;
    this.#shared = new SharedSync((done) => sync(file, done));
  }

  get isIdle(): boolean {
    return this.#shared.isIdle;
  }

  checkRange(what: string, offsetBytes: number, lengthBytes: number): void {
    if (offsetBytes >= 0 && lengthBytes > 0 && offsetBytes + lengthBytes <= this.#sizeBytes) return;
    throw new IoError('invalid', `${what} of ${lengthBytes} bytes at ${offsetBytes} is outside of the replica's ${this.#sizeBytes} bytes`);
  }

  /** A long one is in a block of this thread's pool: whoever is done with it may give it back. */
  read(offsetBytes: number, lengthBytes: number): Buffer {
    const isLong = lengthBytes >= LONG_BYTES && lengthBytes <= BLOCK_BYTES_MAX;
    const target = isLong ? threadBlocks.take(lengthBytes) : Buffer.allocUnsafe(lengthBytes);
    try {
      readFully(this.#file, target, offsetBytes);
    } catch (error) {
      throw this.#explain(error, 'read');
    }
    return target;
  }

  /** A crash leaves any of the range's sectors as they were or as written now, until a flush that begins later has called back. */
  write(offsetBytes: number, chunks: readonly Buffer[], lengthBytes: number): void {
    assert(totalBytes(chunks) === lengthBytes, 'a write is as long as its chunks');
    this.#shared.markDirty();
    try {
      writeFully(this.#file, chunks, lengthBytes, offsetBytes);
    } catch (error) {
      throw this.#explain(error, 'write');
    }
  }

  zero(offsetBytes: number, lengthBytes: number, free: boolean): void {
    this.#shared.markDirty();
    try {
      if (free && this.#file.punchHole(offsetBytes, lengthBytes)) return;
      this.#writeZeroes(offsetBytes, lengthBytes);
    } catch (error) {
      throw this.#explain(error, 'zero');
    }
  }

  flush(done: Done): void {
    this.#shared.sync(done);
  }

  get path(): string {
    return this.#file.path;
  }

  /** The file becomes so long, sparse, durably. What lies behind what it was made for, whoever put it there, is cut off first: what is new is zeroes. */
  extend(sizeBytes: number, done: Done): void {
    try {
      // A crash in between leaves it as long as any meta says that is or will soon be durable.
      this.#file.truncate(this.#madeBytes);
      this.#file.truncate(sizeBytes);
    } catch (error) {
      return done(this.#explain(error, 'growing'));
    }
    this.#sync(this.#file, (error) => {
      if (!error) this.#madeBytes = sizeBytes;
      done(error);
    });
  }

  /** What lies up to there is the replica's from now on; the file has been extended. */
  grow(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
  }

  close(): void {
    this.#file.close();
  }

  #writeZeroes(offsetBytes: number, lengthBytes: number): void {
    const end = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < end; at += ZERO_BYTES) {
      const bytes = Math.min(ZERO_BYTES, end - at);
      writeFully(this.#file, [bytes === ZERO_BYTES ? ZEROES : ZEROES.subarray(0, bytes)], bytes, at);
    }
  }

  #explain(error: unknown, attempted: string): IoError {
    return withSpaceLeft(this.#disk, this.#file.path, toIoError(error, attempted));
  }
}

function totalBytes(chunks: readonly Buffer[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  return bytes;
}
