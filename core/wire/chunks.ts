/**
 * Bodies as lists of chunks: their length, their checksum, and reading the structured ones. Must never join a payload; only tables and texts, which are
 * short, are copied together where a cut goes through them.
 */
// A pure function of its arguments, though it comes from a module that elsewhere does I/O.
import { crc32 } from 'node:zlib';

export function bytesOf(chunks: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  return bytes;
}

export function checksumOf(chunks: readonly Uint8Array[]): number {
  let checksum = 0;
  for (const chunk of chunks) checksum = crc32(chunk, checksum);
  return checksum;
}

/** All of it in one piece: the one chunk itself where there is only one. */
export const joined = (chunks: readonly Buffer[]): Buffer => (chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));

/** Takes a body apart from its front. The caller has checked the lengths: more than there is, is never asked for. */
export class ChunkReader {
  readonly #chunks: readonly Buffer[];
  #index = 0;
  #position = 0;

  constructor(chunks: readonly Buffer[]) {
    this.#chunks = chunks;
  }

  /** Slices of the chunks, nothing copied. */
  slices(lengthBytes: number): Buffer[] {
    const slices: Buffer[] = [];
    for (let missingBytes = lengthBytes; missingBytes > 0; ) {
      const chunk = this.#chunks[this.#index];
      if (!chunk) break;
      const slice = chunk.subarray(this.#position, this.#position + missingBytes);
      slices.push(slice);
      missingBytes -= slice.length;
      this.#position += slice.length;
      if (this.#position === chunk.length) this.#nextChunk();
    }
    return slices;
  }

  #nextChunk(): void {
    this.#index++;
    this.#position = 0;
  }
}
