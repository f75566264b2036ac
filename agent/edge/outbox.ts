/**
 * What is to be sent in one turn, put together: heads and short bodies are copied one behind the other, for a copy of some KiB costs less than one more buffer
 * in a system call; long ones go as they are. Must never touch bytes that the socket has not sent yet.
 */
import type { Socket } from 'node:net';
import { spoil, spoilsFreedMemory } from '../../core/wire/spoil.ts';

/** What is copied rather than sent from where it lies. */
const COPIED_BYTES_MAX = 16 * 1024;
const FIRST_SLAB_BYTES = 16 * 1024;
const SLAB_BYTES = 128 * 1024;

export class Outbox {
  readonly #socket: Socket;
  readonly #sent: ((chunks: readonly Buffer[]) => void) | null;
  #slab: Buffer = Buffer.allocUnsafeSlow(FIRST_SLAB_BYTES);
  /** The slab's bytes from here to `#end` are not in `#chunks` yet. */
  #start = 0;
  #end = 0;
  #chunks: Buffer[] = [];
  #cutBytes = 0;
  /** Of what is not copied. */
  #longBytes = 0;
  /** The slab's beginning was given to a socket that had not sent it at once; TLS never has. */
  #isUnsent = false;

  /** `sent`: told of long chunks that the network has taken, where they are nobody else's. */
  constructor(socket: Socket, sent: ((chunks: readonly Buffer[]) => void) | null = null) {
    this.#socket = socket;
    this.#sent = sent;
  }

  get lengthBytes(): number {
    return this.#cutBytes + this.#end - this.#start;
  }

  add(chunk: Buffer): void {
    const { length } = chunk;
    if (this.#isUnsent && this.lengthBytes === 0) this.#rewindIfSent();
    if (length > COPIED_BYTES_MAX) {
      this.#cut();
      this.#chunks.push(chunk);
      this.#cutBytes += length;
      this.#longBytes += length;
      return;
    }
    if (this.#end + length > this.#slab.length) this.#renew();
    this.#slab.set(chunk, this.#end);
    this.#end += length;
  }

  /** Gives all of it to the socket, in order. */
  send(): void {
    this.#cut();
    const chunks = this.#chunks;
    if (chunks.length === 0) return;
    this.#write(chunks);
    this.#longBytes = 0;
    this.#chunks = [];
    this.#cutBytes = 0;
    this.#isUnsent = true;
    this.#rewindIfSent();
  }

  /** The kernel has all of it, by the socket's own account: the slab is free. Only while nothing waits in it. */
  #rewindIfSent(): void {
    if (this.#socket.writableLength > 0) return;
    this.#isUnsent = false;
    if (spoilsFreedMemory()) spoil(this.#slab.subarray(0, this.#end));
    this.#start = 0;
    this.#end = 0;
  }

  #write(chunks: readonly Buffer[]): void {
    const socket = this.#socket;
    const last = chunks.at(-1);
    const sent = this.#longBytes > 0 ? this.#sent : null;
    const areMany = chunks.length > 1;
    if (areMany) socket.cork();
    for (const chunk of chunks) {
      if (chunk === last && sent) socket.write(chunk, (error) => !error && sent(chunks));
      else socket.write(chunk);
    }
    if (areMany) socket.uncork();
  }

  #renew(): void {
    this.#cut();
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#start = 0;
    this.#end = 0;
  }

  #cut(): void {
    if (this.#end === this.#start) return;
    this.#chunks.push(this.#slab.subarray(this.#start, this.#end));
    this.#cutBytes += this.#end - this.#start;
    this.#start = this.#end;
  }
}
