/**
 * Memory for long payloads, used again when whoever had the message gives it back: fresh memory costs a page fault every 4 KiB, more than copying it, and the
 * collector a pause. What is never given back is the collector's, as any other buffer. Must never be given what somebody may still read or send.
 */

/** Payloads from here on are put together in a block of their own; shorter ones are slices of what the network's buffer holds. */
export const LONG_BYTES = 64 * 1024;
/** The longest block; a longer payload is several. They are taken as bytes arrive, not as they are announced. */
export const BLOCK_BYTES_MAX = 1024 * 1024;
/** Kept for the next ones, of all lengths together. */
const FREE_BYTES_MAX = 32 * 1024 * 1024;

export class BlockPool {
  readonly #free = new Map<number, Buffer[]>();
  #freeBytes = 0;
  /** Those that somebody has, and how many have them; of one that nobody has any more nothing is remembered. */
  readonly #out = new WeakMap<ArrayBufferLike, number>();

  /** At most BLOCK_BYTES_MAX and at most as long as asked for; content undefined. */
  take(lengthBytes: number): Buffer {
    let blockBytes = LONG_BYTES;
    while (blockBytes < lengthBytes && blockBytes < BLOCK_BYTES_MAX) blockBytes *= 2;
    const block = this.#free.get(blockBytes)?.pop();
    if (block) this.#freeBytes -= blockBytes;
    const taken = block ?? Buffer.allocUnsafeSlow(blockBytes);
    this.#out.set(taken.buffer, 1);
    return taken.length <= lengthBytes ? taken : taken.subarray(0, lengthBytes);
  }

  /** One more has these: each has to give them back before their memory is used again. Those that are not of this pool are left alone. */
  hold(chunks: readonly Buffer[]): void {
    for (const { buffer } of chunks) {
      const holders = this.#out.get(buffer);
      if (holders) this.#out.set(buffer, holders + 1);
    }
  }

  /** Whoever had these reads and sends them no more. Those that are not of this pool are left to the collector. */
  give(chunks: readonly Buffer[]): void {
    for (const { buffer } of chunks) {
      const holders = this.#out.get(buffer);
      if (!holders) continue;
      if (holders > 1) this.#out.set(buffer, holders - 1);
      else this.#release(buffer);
    }
  }

  #release(buffer: ArrayBufferLike): void {
    this.#out.delete(buffer);
    if (this.#freeBytes + buffer.byteLength > FREE_BYTES_MAX) return;
    this.#freeBytes += buffer.byteLength;
    const block = Buffer.from(buffer);
    const free = this.#free.get(block.length);
    if (free) free.push(block);
    else this.#free.set(block.length, [block]);
  }
}

/** One for each thread that loads this: blocks are of no thread but the one that took them. */
export const threadBlocks = new BlockPool();
