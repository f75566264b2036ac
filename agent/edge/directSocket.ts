/**
 * Reading a socket into memory of our own: the bytes of a long body straight to where they stay, all others into a slab that is used again when nothing in it
 * is kept. Node's streams take fresh memory of 64 KiB for each read instead, which costs four times as much as the copying (measured: 520 and 95 µs a MiB).
 *
 * Must never give the kernel memory that somebody still holds. Not for TLS, whose bytes come decrypted from memory of its own.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { BlockPool } from '../../core/wire/blockPool.ts';
import { spoil, spoilsFreedMemory } from '../../core/wire/spoil.ts';

export interface ByteSink {
  /** Where the next bytes belong, if that is known. */
  room(): Buffer | null;
  /** So many bytes are in what `room` gave last. */
  filled(bytes: number): void;
  /** Any other bytes. */
  received(chunk: Buffer): Kept;
}

/** What a sink still has of the chunks that it was given: slices of this one, nothing of this one, nothing of any before it either. */
export type Kept = 'chunk' | 'earlier' | 'nothing';

const SLAB_BYTES = 256 * 1024;
/** With less room than this a new slab is begun: a read of a few bytes costs as much as one of many. */
const READ_BYTES_MIN = 32 * 1024;
/** Of the first slab: most connections never carry much, and there are many. */
const FIRST_SLAB_BYTES = 16 * 1024;

export class Receiver {
  /** For `net.connect`. */
  readonly onread: OnReadOpts;
  readonly #blocks: BlockPool | null;
  /** Set before the first byte can come. */
  sink: ByteSink | null = null;
  #slab: Buffer = Buffer.allocUnsafeSlow(FIRST_SLAB_BYTES);
  #usedBytes = 0;
  #isRoom = false;
  /** The first slab was filled by one read: this connection carries more. */
  #isCramped = false;

  /** `blocks`: slabs are of this pool, and whoever has slices of one holds it there. Without: slabs that are used up are the collector's. */
  constructor(blocks: BlockPool | null = null) {
    this.#blocks = blocks;
    this.onread = { buffer: () => this.#next(), callback: (bytes) => this.#read(bytes) };
  }

  /** Asked for behind each read: what it answers is where the next one goes. */
  #next(): Buffer {
    const room = this.sink?.room() ?? null;
    this.#isRoom = room !== null;
    if (room) return room;
    if (this.#isCramped || this.#slab.length - this.#usedBytes < Math.min(READ_BYTES_MIN, this.#slab.length)) {
      this.#blocks?.give([this.#slab]);
      this.#slab = this.#blocks?.take(SLAB_BYTES) ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#usedBytes = 0;
      this.#isCramped = false;
    }
    return this.#usedBytes === 0 ? this.#slab : this.#slab.subarray(this.#usedBytes);
  }

  #read(bytes: number): boolean {
    if (this.#isRoom) this.sink?.filled(bytes);
    else {
      const end = this.#usedBytes + bytes;
      const kept = this.sink?.received(this.#slab.subarray(this.#usedBytes, end)) ?? 'nothing';
      if (kept === 'chunk') this.#usedBytes = end;
      else if (kept === 'nothing') this.#usedBytes = 0;
      if (spoilsFreedMemory()) spoil(this.#slab.subarray(this.#usedBytes, end));
      this.#isCramped = this.#slab.length === FIRST_SLAB_BYTES && bytes === FIRST_SLAB_BYTES;
    }
    return true;
  }
}

type WithHandle = { _handle: object | null };

/**
 * A server's new connection, to be read through `receiver`: a server makes its sockets itself and takes no `onread` for them, so this is another socket on
 * the same handle. The listener must have been made with `pauseOnConnect`. It counts as the listener's until it is closed.
 */
export function readDirectly(accepted: Socket, receiver: Receiver, allowHalfOpen: boolean): Socket {
  const holder = accepted as unknown as WithHandle;
  const handle = holder._handle;
  if (!handle) return accepted;
  holder._handle = null;
  const options = { handle, allowHalfOpen, onread: receiver.onread };
  const socket = new Socket(options as unknown as SocketConstructorOpts);
  socket.once('close', () => accepted.destroy());
  return socket;
}
