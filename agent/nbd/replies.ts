/**
 * Replies waiting to be sent together: heads are written one behind the other into a slab, short data between them, long data goes there uncopied. What is taken
 * is not touched again before somebody says that all of it is sent: it may lie in a socket's queue as long as it likes. Must never decide what is replied.
 */
import { assert } from '../../core/assert.ts';
import { spoil } from '../../core/wire/spoil.ts';
import type { AllocationRun } from '../ports.ts';
import { type Cookie, encodeDataChunk, encodeErrorChunk, encodeSimpleReply, encodeStatusChunk } from './encode.ts';
import { CHUNK, DATA_CHUNK, ERROR_CHUNK, SIMPLE_REPLY, STATUS_CHUNK, STATUS_DESCRIPTOR } from './layout.ts';
import { COPIED_DATA_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX, REPLY_SLAB_BYTES } from './limits.ts';

export class ReplyQueue {
  #slab = Buffer.allocUnsafeSlow(REPLY_SLAB_BYTES);
  /** The slab's bytes from here to `#end` are not in `#chunks` yet. */
  #start = 0;
  #end = 0;
  #chunks: Buffer[] = [];
  #cutBytes = 0;

  get lengthBytes(): number {
    return this.#cutBytes + this.#end - this.#start;
  }

  simple(cookie: Cookie, error: number): void {
    this.#reserve(SIMPLE_REPLY.bytes);
    this.#end = encodeSimpleReply(this.#slab, this.#end, cookie, error);
  }

  simpleData(cookie: Cookie, data: readonly Buffer[]): void {
    this.simple(cookie, 0);
    for (const chunk of data) this.#append(chunk);
  }

  structuredData(cookie: Cookie, offsetBytes: number, lengthBytes: number, data: readonly Buffer[]): void {
    this.#reserve(CHUNK.bytes + DATA_CHUNK.bytes);
    this.#end = encodeDataChunk(this.#slab, this.#end, cookie, offsetBytes, lengthBytes);
    for (const chunk of data) this.#append(chunk);
  }

  /** Where a read's data may be put while nobody knows yet whether it will be: it is replied by `dataInRoom`, before anything else, or forgotten. */
  room(isStructured: boolean, lengthBytes: number): Buffer {
    const headBytes = isStructured ? CHUNK.bytes + DATA_CHUNK.bytes : SIMPLE_REPLY.bytes;
    this.#reserve(headBytes + lengthBytes);
    const start = this.#end + headBytes;
    return this.#slab.subarray(start, start + lengthBytes);
  }

  dataInRoom(isStructured: boolean, cookie: Cookie, offsetBytes: number, lengthBytes: number): void {
    const start = isStructured
      ? encodeDataChunk(this.#slab, this.#end, cookie, offsetBytes, lengthBytes)
      : encodeSimpleReply(this.#slab, this.#end, cookie, 0);
    this.#end = start + lengthBytes;
  }

  structuredError(cookie: Cookie, error: number, sentence: string): void {
    this.#reserve(CHUNK.bytes + ERROR_CHUNK.bytes + ERROR_MESSAGE_BYTES_MAX);
    this.#end = encodeErrorChunk(this.#slab, this.#end, cookie, error, sentence);
  }

  status(cookie: Cookie, context: number, runs: readonly AllocationRun[]): void {
    this.#reserve(CHUNK.bytes + STATUS_CHUNK.bytes + runs.length * STATUS_DESCRIPTOR.bytes);
    this.#end = encodeStatusChunk(this.#slab, this.#end, cookie, context, runs);
  }

  /** All that waits, in order, as few chunks as it has become. */
  take(): Buffer[] {
    this.#cut();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#cutBytes = 0;
    return chunks;
  }

  /** Nobody needs anything that was taken: the slab is used again, from its beginning. */
  sent(): void {
    assert(this.#chunks.length === 0 && this.#start === this.#end, 'what is sent was taken before');
    spoil(this.#slab.subarray(0, this.#end));
    this.#start = 0;
    this.#end = 0;
  }

  #append(data: Buffer): void {
    if (data.length > COPIED_DATA_BYTES_MAX) {
      this.#cut();
      this.#push(data);
      return;
    }
    this.#reserve(data.length);
    this.#slab.set(data, this.#end);
    this.#end += data.length;
  }

  #reserve(lengthBytes: number): void {
    assert(lengthBytes <= REPLY_SLAB_BYTES, 'a reply head must fit a slab');
    if (this.#end + lengthBytes <= REPLY_SLAB_BYTES) return;
    this.#cut();
    this.#slab = Buffer.allocUnsafeSlow(REPLY_SLAB_BYTES);
    this.#start = 0;
    this.#end = 0;
  }

  #cut(): void {
    if (this.#end > this.#start) this.#push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  #push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#cutBytes += chunk.length;
  }
}
