/**
 * Messages to a client as bytes. Pure: writes where it is told, holds nothing. Transmission replies are written in place into the caller's slab
 * (each function returns where it ended), handshake messages, which are rare, are buffers of their own.
 */
import type { AllocationRun } from '../ports.ts';
import {
  CHUNK,
  CHUNK_FLAG,
  CHUNK_TYPE,
  DATA_CHUNK,
  ERROR_CHUNK,
  EXPORT_REPLY,
  GREETING,
  GREETING_MAGIC,
  HANDSHAKE_FLAG,
  OPTION_MAGIC,
  OPTION_REPLY,
  OPTION_REPLY_MAGIC,
  SIMPLE_REPLY,
  SIMPLE_REPLY_MAGIC,
  STATE_FLAG,
  STATUS_CHUNK,
  STATUS_DESCRIPTOR,
  STRUCTURED_REPLY_MAGIC,
} from './layout.ts';
import { ERROR_MESSAGE_BYTES_MAX } from './limits.ts';

/** Which request a reply answers. */
export type Cookie = { readonly cookieHigh: number; readonly cookieLow: number };

export function encodeGreeting(): Buffer {
  const bytes = Buffer.alloc(GREETING.bytes);
  bytes.writeUInt32BE(GREETING_MAGIC.high, GREETING.magicHigh);
  bytes.writeUInt32BE(GREETING_MAGIC.low, GREETING.magicLow);
  bytes.writeUInt32BE(OPTION_MAGIC.high, GREETING.optionMagicHigh);
  bytes.writeUInt32BE(OPTION_MAGIC.low, GREETING.optionMagicLow);
  bytes.writeUInt16BE(HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes, GREETING.flags);
  return bytes;
}

export function encodeOptionReply(option: number, type: number, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(OPTION_REPLY.bytes + data.length);
  bytes.writeUInt32BE(OPTION_REPLY_MAGIC.high, OPTION_REPLY.magicHigh);
  bytes.writeUInt32BE(OPTION_REPLY_MAGIC.low, OPTION_REPLY.magicLow);
  bytes.writeUInt32BE(option, OPTION_REPLY.option);
  bytes.writeUInt32BE(type, OPTION_REPLY.type);
  bytes.writeUInt32BE(data.length, OPTION_REPLY.length);
  bytes.set(data, OPTION_REPLY.bytes);
  return bytes;
}

export function encodeExportReply(sizeBytes: number, transmissionFlags: number, padded: boolean): Buffer {
  const bytes = Buffer.alloc(EXPORT_REPLY.bytes + (padded ? EXPORT_REPLY.paddingBytes : 0));
  writeU64(bytes, sizeBytes, EXPORT_REPLY.sizeHigh);
  bytes.writeUInt16BE(transmissionFlags, EXPORT_REPLY.flags);
  return bytes;
}

export function writeU64(target: Buffer, value: number, at: number): void {
  target.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  target.writeUInt32BE(value % 2 ** 32, at + 4);
}

export function encodeSimpleReply(target: Buffer, at: number, cookie: Cookie, error: number): number {
  target.writeUInt32BE(SIMPLE_REPLY_MAGIC, at + SIMPLE_REPLY.magic);
  target.writeUInt32BE(error, at + SIMPLE_REPLY.error);
  target.writeUInt32BE(cookie.cookieHigh, at + SIMPLE_REPLY.cookieHigh);
  target.writeUInt32BE(cookie.cookieLow, at + SIMPLE_REPLY.cookieLow);
  return at + SIMPLE_REPLY.bytes;
}

/** Every reply of ours is one chunk, which is therefore the last. */
function encodeChunk(target: Buffer, at: number, cookie: Cookie, type: number, lengthBytes: number): number {
  target.writeUInt32BE(STRUCTURED_REPLY_MAGIC, at + CHUNK.magic);
  target.writeUInt16BE(CHUNK_FLAG.done, at + CHUNK.flags);
  target.writeUInt16BE(type, at + CHUNK.type);
  target.writeUInt32BE(cookie.cookieHigh, at + CHUNK.cookieHigh);
  target.writeUInt32BE(cookie.cookieLow, at + CHUNK.cookieLow);
  target.writeUInt32BE(lengthBytes, at + CHUNK.length);
  return at + CHUNK.bytes;
}

/** The head of a read's reply; `lengthBytes` of data must follow. */
export function encodeDataChunk(target: Buffer, at: number, cookie: Cookie, offsetBytes: number, lengthBytes: number): number {
  const body = encodeChunk(target, at, cookie, CHUNK_TYPE.offsetData, DATA_CHUNK.bytes + lengthBytes);
  writeU64(target, offsetBytes, body + DATA_CHUNK.offsetHigh);
  return body + DATA_CHUNK.bytes;
}

/** The sentence is cut to ERROR_MESSAGE_BYTES_MAX, between characters. */
export function encodeErrorChunk(target: Buffer, at: number, cookie: Cookie, error: number, sentence: string): number {
  const body = at + CHUNK.bytes;
  const messageAt = body + ERROR_CHUNK.bytes;
  const messageBytes = target.write(sentence, messageAt, ERROR_MESSAGE_BYTES_MAX, 'utf8');
  encodeChunk(target, at, cookie, CHUNK_TYPE.error, ERROR_CHUNK.bytes + messageBytes);
  target.writeUInt32BE(error, body + ERROR_CHUNK.error);
  target.writeUInt16BE(messageBytes, body + ERROR_CHUNK.messageLength);
  return messageAt + messageBytes;
}

export function encodeStatusChunk(target: Buffer, at: number, cookie: Cookie, context: number, runs: readonly AllocationRun[]): number {
  const lengthBytes = STATUS_CHUNK.bytes + runs.length * STATUS_DESCRIPTOR.bytes;
  const body = encodeChunk(target, at, cookie, CHUNK_TYPE.blockStatus, lengthBytes);
  target.writeUInt32BE(context, body + STATUS_CHUNK.context);
  let descriptor = body + STATUS_CHUNK.bytes;
  for (const run of runs) {
    target.writeUInt32BE(run.lengthBytes, descriptor + STATUS_DESCRIPTOR.length);
    target.writeUInt32BE(run.hole ? STATE_FLAG.hole | STATE_FLAG.zero : 0, descriptor + STATUS_DESCRIPTOR.flags);
    descriptor += STATUS_DESCRIPTOR.bytes;
  }
  return descriptor;
}
