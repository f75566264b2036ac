/**
 * The body of the frame that is coming in: slices of the chunks it arrives in, or a long one in blocks of its own, and their checksum, taken while the bytes
 * are still near. Must never hold much more memory than the body is long, also for a sender of crumbs: a slice keeps its whole chunk alive and costs a
 * hundred bytes of its own.
 */
// A pure function of its arguments, though it comes from a module that elsewhere does I/O.
import { crc32 } from 'node:zlib';
import { type BlockPool, LONG_BYTES } from './blockPool.ts';

/** Slices shorter than this are crumbs… */
export const CRUMB_BYTES = 2048;
/** …and after so many of them in one body the rest is copied into blocks of our own… */
export const CRUMBS_MAX = 16;
/** …of this length: taken as bytes arrive, not as they are announced. */
export const BLOCK_OF_CRUMBS_BYTES = 64 * 1024;

export class BodyCollector {
  readonly #blocks: BlockPool | null;
  /** Of this body: it goes into blocks of the pool. */
  #isLong = false;
  #long: Buffer | null = null;
  #longBytes = 0;
  #chunks: Buffer[] = [];
  #missingBytes = 0;
  #checksum = 0;
  #crumbs = 0;
  #block: Buffer | null = null;
  #blockBytes = 0;

  /** `blocks`: for long bodies, which then can be read straight to where they stay (`room`). */
  constructor(blocks: BlockPool | null = null) {
    this.#blocks = blocks;
  }

  get missingBytes(): number {
    return this.#missingBytes;
  }

  get isLong(): boolean {
    return this.#isLong;
  }

  get checksum(): number {
    return this.#checksum;
  }

  begin(bodyBytes: number): void {
    this.#missingBytes = bodyBytes;
    this.#checksum = 0;
    this.#crumbs = 0;
    this.#isLong = this.#blocks !== null && bodyBytes >= LONG_BYTES;
  }

  /** Where the next bytes of a long body belong; null: anywhere, they are given to `take`. */
  room(): Buffer | null {
    if (!this.#isLong || this.#blocks === null || this.#missingBytes === 0) return null;
    this.#long ??= this.#blocks.take(this.#missingBytes);
    return this.#long.subarray(this.#longBytes);
  }

  /** So many bytes were put into `room`. */
  filled(bytes: number): void {
    if (this.#long === null) return;
    const end = this.#longBytes + bytes;
    this.#checksum = crc32(this.#long.subarray(this.#longBytes, end), this.#checksum);
    this.#missingBytes -= bytes;
    this.#longBytes = end;
    if (end < this.#long.length) return;
    this.#chunks.push(this.#long);
    this.#long = null;
    this.#longBytes = 0;
  }

  /** Takes what belongs to the body from `position` on; returns where that ends. */
  take(chunk: Buffer, position: number): number {
    const room = this.room();
    if (room) {
      const copiedBytes = chunk.copy(room, 0, position);
      this.filled(copiedBytes);
      return position + copiedBytes;
    }
    const slice = chunk.subarray(position, position + this.#missingBytes);
    this.#checksum = crc32(slice, this.#checksum);
    this.#missingBytes -= slice.length;
    if (this.#crumbs < CRUMBS_MAX) {
      if (slice.length < CRUMB_BYTES) this.#crumbs++;
      this.#chunks.push(slice);
    } else this.#copy(slice);
    return position + slice.length;
  }

  /** The complete body, for whoever handles the message; the collector forgets it. */
  release(): Buffer[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#long = null;
    this.#longBytes = 0;
    this.#isLong = false;
    return chunks;
  }

  #copy(slice: Buffer): void {
    for (let from = 0; from < slice.length; ) {
      const block = this.#block ?? this.#newBlock(slice.length - from);
      const copiedBytes = slice.copy(block, this.#blockBytes, from);
      this.#blockBytes += copiedBytes;
      from += copiedBytes;
      if (this.#blockBytes < block.length) continue;
      this.#chunks.push(block);
      this.#block = null;
    }
  }

  /** No longer than what can still come (`atHand`, which is no longer missing, and what is), so the last one is full when the body is complete. */
  #newBlock(atHand: number): Buffer {
    this.#blockBytes = 0;
    this.#block = Buffer.allocUnsafeSlow(Math.min(BLOCK_OF_CRUMBS_BYTES, this.#missingBytes + atHand));
    return this.#block;
  }
}
