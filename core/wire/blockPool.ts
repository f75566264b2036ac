/**
 * Memory for payloads, used again when all who had it have given it back: fresh memory costs a page fault every 4 KiB, more than copying it, and the
 * collector a pause. What is never given back is the collector's, as any other buffer. Must never be given what somebody may still read or send.
 *
 * Whose memory it is, and who gives it back, at the latest possible moment; who is not sure, does not:
 *
 * | what | had by | given back when |
 * |---|---|---|
 * | a long payload of a client (nbd/decode.ts) | its request | the write is settled, and applied in all the sessions in which it ever was sent (Replication.isFree); never one that failed, ran out of time or lost its client, and never a part of one over several shards |
 * | a client socket's slab (edge/directSocket.ts) | its receiver, the chunk that is being decoded, each slice in a payload | the receiver has begun another, the chunk is decoded; slices as long payloads |
 * | a long body that a replica hears (bodyCollector.ts) | its message | the write or level is applied (Session#apply); all else never |
 * | a long answer that a primary hears | its message | a client's read has left its socket without an error (nbd/session.ts); what a levelling read, when all that it was sent to have answered, and none was lost (leveller.ts); all else never |
 * | a client's long read, where its data is to be had at once (nbd/transactions.ts) | its reply | it has left its socket without an error (nbd/session.ts) |
 * | what a replica reads (dataFile.ts) | that one answer, or digest | the answer has left its socket without an error (edge/outbox.ts); the digest is made |
 *
 * Not of a pool, but used again likewise: a replication socket's slab, from its beginning when its session holds nothing that it heard (edge/directSocket.ts,
 * Session#holds), what a socket's outbox copies, when the kernel has all of it (edge/outbox.ts), and an NBD client's replies, likewise (nbd/replies.ts).
 *
 * To give back twice is a programmer's error. While freed memory is spoilt (spoil.ts), so is any giving back of what one did not have, and whatever was
 * given back is gone: every slice of it has length 0 from then on, and memory that the kernel still sends holds SPOILT_BYTE.
 */
import { assert } from '../assert.ts';
import { spoil, spoilsFreedMemory } from './spoil.ts';

/** Payloads from here on are put together in a block of their own; shorter ones are slices of what the network's buffer holds. */
export const LONG_BYTES = 64 * 1024;
/** The longest block; a longer payload is several. They are taken as bytes arrive, not as they are announced. */
export const BLOCK_BYTES_MAX = 1024 * 1024;
/** Kept for the next ones, of all lengths together. */
const FREE_BYTES_MAX = 32 * 1024 * 1024;

const TWICE = 'memory was given back more often than it was had';

export class BlockPool {
  readonly #free = new Map<number, Buffer[]>();
  #freeBytes = 0;
  /** How many have each block; 0: it is free. */
  readonly #holders = new WeakMap<ArrayBufferLike, number>();
  /** While freed memory is spoilt: which piece each of them has. */
  readonly #pieces = new WeakMap<ArrayBufferLike, string[]>();

  /** At most BLOCK_BYTES_MAX and at most as long as asked for; content undefined. */
  take(lengthBytes: number): Buffer {
    let blockBytes = LONG_BYTES;
    while (blockBytes < lengthBytes && blockBytes < BLOCK_BYTES_MAX) blockBytes *= 2;
    const block = this.#free.get(blockBytes)?.pop();
    if (block) this.#freeBytes -= blockBytes;
    const whole = block ?? Buffer.allocUnsafeSlow(blockBytes);
    this.#holders.set(whole.buffer, 1);
    const taken = whole.length <= lengthBytes ? whole : whole.subarray(0, lengthBytes);
    if (spoilsFreedMemory()) {
      spoil(whole);
      this.#pieces.set(whole.buffer, [pieceOf(taken)]);
    }
    return taken;
  }

  /** One more has each of these, and gives back the same: only then is its memory used again. Those that are not of this pool are left alone. */
  hold(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) {
      const holders = this.#holders.get(chunk.buffer);
      if (holders === undefined) continue;
      assert(holders > 0, 'memory that was given back is not to be had');
      this.#holders.set(chunk.buffer, holders + 1);
      this.#pieces.get(chunk.buffer)?.push(pieceOf(chunk));
    }
  }

  /** Whoever had these, as they were taken or held, reads and sends them no more. Those that are not of this pool are left to the collector. */
  give(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) this.#give(chunk);
  }

  /** As `give`, for what may have been cut into pieces since by the one who alone has it: all of them together, and no others, are free now. */
  giveCut(pieces: readonly Buffer[]): void {
    const given = new Set<ArrayBufferLike>();
    for (const { buffer } of pieces) {
      const holders = this.#holders.get(buffer);
      if (holders === undefined || given.has(buffer)) continue;
      assert(holders === 1, holders === 0 ? TWICE : 'memory that others have was given back as if one alone had it');
      given.add(buffer);
      this.#release(buffer);
    }
  }

  #give(chunk: Buffer): void {
    const { buffer } = chunk;
    const holders = this.#holders.get(buffer);
    if (holders === undefined) return;
    assert(holders > 0, TWICE);
    this.#forget(chunk);
    if (holders > 1) this.#holders.set(buffer, holders - 1);
    else this.#release(buffer);
  }

  #forget(chunk: Buffer): void {
    const pieces = this.#pieces.get(chunk.buffer);
    if (!pieces) return;
    const index = pieces.indexOf(pieceOf(chunk));
    assert(index >= 0, 'memory was given back by somebody who did not have it');
    pieces.splice(index, 1);
  }

  #release(buffer: ArrayBufferLike): void {
    this.#holders.set(buffer, 0);
    if (this.#freeBytes + buffer.byteLength > FREE_BYTES_MAX) return;
    this.#freeBytes += buffer.byteLength;
    const block = Buffer.from(spoilsFreedMemory() ? spoilt(buffer) : buffer);
    const free = this.#free.get(block.length);
    if (free) free.push(block);
    else this.#free.set(block.length, [block]);
  }
}

const pieceOf = ({ byteOffset, length }: Buffer): string => `${byteOffset}+${length}`;

/** The same memory under another name: whoever has the old one has nothing. */
function spoilt(buffer: ArrayBufferLike): ArrayBufferLike {
  spoil(new Uint8Array(buffer));
  return buffer instanceof ArrayBuffer ? buffer.transfer() : buffer;
}

/** One for each thread that loads this: blocks are of no thread but the one that took them. */
export const threadBlocks = new BlockPool();
