/**
 * The body of the frame that is coming in: slices of the chunks it arrives in, and their checksum, taken while the bytes are still near. Must never hold
 * much more memory than the body is long, also for a sender of crumbs: a slice keeps its whole chunk alive and costs a hundred bytes of its own.
 */
// A pure function of its arguments, though it comes from a module that elsewhere does I/O.
import { crc32 } from 'node:zlib';

/** Slices shorter than this are crumbs… */
export const CRUMB_BYTES = 2048;
/** …and after so many of them in one body the rest is copied into blocks of our own… */
export const CRUMBS_MAX = 16;
/** …of this length: taken as bytes arrive, not as they are announced. */
export const BLOCK_OF_CRUMBS_BYTES = 64 * 1024;

export class BodyCollector {
  #chunks: Buffer[] = [];
  #missingBytes = 0;
  #checksum = 0;
  #crumbs = 0;
  #block: Buffer | null = null;
  #blockBytes = 0;

  get missingBytes(): number {
    return this.#missingBytes;
  }

  get checksum(): number {
    return this.#checksum;
  }

  begin(bodyBytes: number): void {
    this.#missingBytes = bodyBytes;
    this.#checksum = 0;
    this.#crumbs = 0;
  }

  /** Takes what belongs to the body from `position` on; returns where that ends. */
  take(chunk: Buffer, position: number): number {
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
