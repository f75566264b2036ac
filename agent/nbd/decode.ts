/**
 * Bytes of a client in, messages out, however the bytes were cut. Pure: no sockets, no replies. Pulled, not pushed: what is not asked for stays in
 * its chunk, so whoever must wait just stops asking. A payload is handed over as slices of the chunks that it came in, never joined; a long one in blocks of
 * a pool, which it is read straight into.
 */
import { assert } from '../../core/assert.ts';
import { type BlockPool, LONG_BYTES } from '../../core/wire/blockPool.ts';
import { CLIENT_FLAGS, OPTION, OPTION_MAGIC, REQUEST, REQUEST_MAGIC } from './layout.ts';
import { GATHER_BYTES, OPTION_DATA_BYTES_MAX, SMALL_SLICE_BYTES, SMALL_SLICES_MAX } from './limits.ts';
import type { Request } from './request.ts';
import type { ConnectionRule } from './rules.ts';

export type ClientFlags = { readonly kind: 'clientFlags'; readonly flags: number };
export type Option = { readonly kind: 'option'; readonly option: number; readonly data: Buffer };
/** Its data is more than we read; it is skipped. */
export type LongOption = { readonly kind: 'longOption'; readonly option: number };
/** All bytes of the payload that was announced by `expectPayload`; no chunks if it was not to be kept. */
export type Payload = { readonly kind: 'payload'; readonly chunks: Buffer[] };
/** No message can be found in this stream any more; nothing follows. */
export type Violation = { readonly kind: 'violation'; readonly rule: ConnectionRule };
export type Message = ClientFlags | Option | LongOption | Request | Payload | Violation;

/**
 *     clientFlags -> option <-> optionData        option -> nothing (violation)
 *                    option --startTransmission--> request <-> payload     request -> nothing (violation)
 */
type Expecting = 'clientFlags' | 'option' | 'optionData' | 'request' | 'payload' | 'nothing';

const NO_BYTES = Buffer.alloc(0);

export class NbdDecoder {
  readonly #blocks: BlockPool | null;
  /** Of the payload that arrives: it goes into blocks. */
  #isLong = false;
  #block: Buffer | null = null;
  #blockBytes = 0;
  #keptSlices = false;
  #expecting: Expecting = 'clientFlags';
  #chunk: Buffer = NO_BYTES;
  #position = 0;
  /** Where the header found by `#takeHeader` lies: in the chunk, or in `#partial` if a cut went through it. */
  #header: Buffer = NO_BYTES;
  #headerAt = 0;
  readonly #partial = Buffer.alloc(REQUEST.bytes);
  #partialBytes = 0;
  #skipBytes = 0;
  #option = 0;
  #optionData: Buffer = NO_BYTES;
  #optionBytes = 0;
  #payload: Buffer[] = [];
  #payloadMissingBytes = 0;
  #payloadKept = false;
  #smallSlices = 0;
  #gather: Buffer = NO_BYTES;
  #gatherBytes = 0;

  /** `blocks`: for long payloads, which then can be read straight to where they stay (`room`). */
  constructor(blocks: BlockPool | null = null) {
    this.#blocks = blocks;
  }

  /** Whether anything of the chunk that was pushed last is still in use: by whoever has a payload, or because it waits to be decoded. */
  get keeps(): boolean {
    return this.#keptSlices || this.#position < this.#chunk.length;
  }

  /** Where the next bytes are best read to, if a long payload is coming in and nothing before it waits; then `filled` says how many. */
  room(): Buffer | null {
    if (!this.#isLong || this.#blocks === null || this.#expecting !== 'payload' || this.#payloadMissingBytes === 0) return null;
    if (this.#position < this.#chunk.length) return null;
    return this.#roomInBlock(this.#blocks);
  }

  filled(bytes: number): void {
    if (this.#block === null) return;
    this.#blockBytes += bytes;
    this.#payloadMissingBytes -= bytes;
    if (this.#blockBytes < this.#block.length) return;
    this.#payload.push(this.#block);
    this.#block = null;
  }

  /** The next bytes; only when `next()` has returned null for the ones before. */
  push(chunk: Buffer): void {
    assert(this.#position === this.#chunk.length, 'a chunk was pushed before the one before it was decoded');
    // Held until all of it is decoded: it may have to wait.
    this.#letGo();
    this.#blocks?.hold([chunk]);
    this.#chunk = chunk;
    this.#position = 0;
    this.#keptSlices = false;
  }

  /** The handshake is over: what follows are requests. */
  startTransmission(): void {
    assert(this.#expecting === 'option', 'transmission starts between options');
    this.#expecting = 'request';
  }

  /** A payload follows the request just returned. Not kept: it is skipped, and only its end is reported. */
  expectPayload(lengthBytes: number, kept: boolean): void {
    assert(this.#expecting === 'request', 'a payload follows a request');
    this.#expecting = 'payload';
    this.#payload = [];
    this.#payloadMissingBytes = lengthBytes;
    this.#payloadKept = kept;
    this.#smallSlices = 0;
    this.#gather = NO_BYTES;
    this.#gatherBytes = 0;
    this.#isLong = kept && this.#blocks !== null && lengthBytes >= LONG_BYTES;
    this.#block = null;
  }

  /** The next message, or null when the rest of it has not arrived. */
  next(): Message | null {
    const message = this.#decode();
    if (message === null) this.#letGo();
    return message;
  }

  /** A chunk that is done with must not be kept alive by an idle connection. */
  #letGo(): void {
    if (this.#chunk.length > 0) this.#blocks?.give([this.#chunk]);
    this.#chunk = NO_BYTES;
    this.#header = NO_BYTES;
    this.#position = 0;
  }

  #decode(): Message | null {
    if (this.#skipBytes > 0) this.#skip();
    switch (this.#expecting) {
      case 'request':
        return this.#decodeRequest();
      case 'payload':
        return this.#decodePayload();
      case 'clientFlags':
        return this.#decodeClientFlags();
      case 'option':
        return this.#decodeOption();
      case 'optionData':
        return this.#decodeOptionData();
      case 'nothing':
        return null;
    }
  }

  #decodeRequest(): Message | null {
    if (!this.#takeHeader(REQUEST.bytes)) return null;
    const header = this.#header;
    const at = this.#headerAt;
    if (header.readUInt32BE(at + REQUEST.magic) !== REQUEST_MAGIC) return this.#violate('requestMagic');
    return {
      kind: 'request',
      flags: header.readUInt16BE(at + REQUEST.flags),
      type: header.readUInt16BE(at + REQUEST.type),
      cookieHigh: header.readUInt32BE(at + REQUEST.cookieHigh),
      cookieLow: header.readUInt32BE(at + REQUEST.cookieLow),
      offsetBytes: header.readUInt32BE(at + REQUEST.offsetHigh) * 2 ** 32 + header.readUInt32BE(at + REQUEST.offsetLow),
      lengthBytes: header.readUInt32BE(at + REQUEST.length),
    };
  }

  #decodePayload(): Message | null {
    const takenBytes = Math.min(this.#payloadMissingBytes, this.#chunk.length - this.#position);
    if (this.#isLong) this.#takeLong();
    else {
      if (this.#payloadKept && takenBytes > 0) this.#keep(this.#position, this.#position + takenBytes);
      this.#position += takenBytes;
      this.#payloadMissingBytes -= takenBytes;
    }
    if (this.#payloadMissingBytes > 0) return null;
    const chunks = this.#payload;
    this.#payload = [];
    this.#expecting = 'request';
    return { kind: 'payload', chunks };
  }

  #roomInBlock(blocks: BlockPool): Buffer {
    if (this.#block === null) {
      this.#block = blocks.take(this.#payloadMissingBytes);
      this.#blockBytes = 0;
    }
    return this.#block.subarray(this.#blockBytes);
  }

  /** What came in with the request, or before anybody asked for room. */
  #takeLong(): void {
    while (this.#blocks !== null && this.#payloadMissingBytes > 0 && this.#position < this.#chunk.length) {
      const copiedBytes = this.#chunk.copy(this.#roomInBlock(this.#blocks), 0, this.#position);
      this.#position += copiedBytes;
      this.filled(copiedBytes);
    }
  }

  #keep(start: number, end: number): void {
    this.#keptSlices = true;
    if (this.#smallSlices >= SMALL_SLICES_MAX) {
      this.#gatherCopy(start, end);
      return;
    }
    if (end - start < SMALL_SLICE_BYTES) this.#smallSlices++;
    const slice = this.#chunk.subarray(start, end);
    // Given back by whoever has the payload.
    this.#blocks?.hold([slice]);
    this.#payload.push(slice);
  }

  /** For a sender of crumbs: copies into blocks of our own, each taken only when the one before is full. */
  #gatherCopy(start: number, end: number): void {
    let from = start;
    while (from < end) {
      if (this.#gatherBytes === this.#gather.length) {
        this.#gather = Buffer.allocUnsafeSlow(Math.min(GATHER_BYTES, this.#payloadMissingBytes - (from - start)));
        this.#gatherBytes = 0;
        this.#payload.push(this.#gather);
      }
      const copiedBytes = this.#chunk.copy(this.#gather, this.#gatherBytes, from, end);
      this.#gatherBytes += copiedBytes;
      from += copiedBytes;
    }
  }

  #decodeClientFlags(): Message | null {
    if (!this.#takeHeader(CLIENT_FLAGS.bytes)) return null;
    this.#expecting = 'option';
    return { kind: 'clientFlags', flags: this.#header.readUInt32BE(this.#headerAt + CLIENT_FLAGS.flags) };
  }

  #decodeOption(): Message | null {
    if (!this.#takeHeader(OPTION.bytes)) return null;
    const header = this.#header;
    const at = this.#headerAt;
    const high = header.readUInt32BE(at + OPTION.magicHigh);
    const low = header.readUInt32BE(at + OPTION.magicLow);
    if (high !== OPTION_MAGIC.high || low !== OPTION_MAGIC.low) return this.#violate('optionMagic');
    const option = header.readUInt32BE(at + OPTION.option);
    const lengthBytes = header.readUInt32BE(at + OPTION.length);
    if (lengthBytes > OPTION_DATA_BYTES_MAX) {
      this.#skipBytes = lengthBytes;
      return { kind: 'longOption', option };
    }
    this.#option = option;
    this.#optionData = Buffer.alloc(lengthBytes);
    this.#optionBytes = 0;
    this.#expecting = 'optionData';
    return this.#decodeOptionData();
  }

  #decodeOptionData(): Message | null {
    const copiedBytes = this.#chunk.copy(this.#optionData, this.#optionBytes, this.#position);
    this.#optionBytes += copiedBytes;
    this.#position += copiedBytes;
    if (this.#optionBytes < this.#optionData.length) return null;
    this.#expecting = 'option';
    return { kind: 'option', option: this.#option, data: this.#optionData };
  }

  /** Makes the next `lengthBytes` readable in one piece at `#header`, `#headerAt`; false until they have all arrived. */
  #takeHeader(lengthBytes: number): boolean {
    if (this.#partialBytes === 0 && this.#chunk.length - this.#position >= lengthBytes) {
      this.#header = this.#chunk;
      this.#headerAt = this.#position;
      this.#position += lengthBytes;
      return true;
    }
    const copiedBytes = this.#chunk.copy(
      this.#partial,
      this.#partialBytes,
      this.#position,
      this.#position + lengthBytes - this.#partialBytes,
    );
    this.#position += copiedBytes;
    this.#partialBytes += copiedBytes;
    if (this.#partialBytes < lengthBytes) return false;
    this.#partialBytes = 0;
    this.#header = this.#partial;
    this.#headerAt = 0;
    return true;
  }

  #skip(): void {
    const skippedBytes = Math.min(this.#skipBytes, this.#chunk.length - this.#position);
    this.#skipBytes -= skippedBytes;
    this.#position += skippedBytes;
  }

  #violate(rule: ConnectionRule): Violation {
    this.#expecting = 'nothing';
    return { kind: 'violation', rule };
  }
}
