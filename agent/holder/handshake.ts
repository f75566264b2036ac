/** A client's side of NBD's handshake (fixed newstyle, GO), as far as the kernel's nbd needs it. Pure. Must never trust a length that the server gives. */
import {
  CLIENT_FLAGS,
  GREETING,
  GREETING_MAGIC,
  HANDSHAKE_FLAG,
  INFO_TYPE,
  OPTION,
  OPTION_MAGIC,
  OPTION_REPLY,
  OPTION_REPLY_MAGIC,
  OPTION_REPLY_TYPE,
  OPTION_TYPE,
} from '../nbd/layout.ts';

const REPLY_BYTES_MAX = 8 * 1024;
const REPLIES_MAX = 16;
/** Of the type: a refusal, with a sentence. */
const ERROR_BIT = 2 ** 31;
const EXPORT = { type: 0, flags: 10, bytes: 12 } as const;

/** `more`: not all has come. `flags`: the export's. `trouble`: it is not to be had of this server. */
export type Answer = { is: 'more' } | { is: 'ready'; flags: number } | { is: 'trouble'; reason: string };

const trouble = (reason: string): Answer => ({ is: 'trouble', reason });

/** Sent at once: nothing in the greeting could change it. */
export function encodeHello(exported: string): Buffer {
  const name = Buffer.from(exported);
  const head = Buffer.alloc(CLIENT_FLAGS.bytes + OPTION.bytes + 4);
  head.writeUInt32BE(HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes, CLIENT_FLAGS.flags);
  const at = CLIENT_FLAGS.bytes;
  head.writeUInt32BE(OPTION_MAGIC.high, at + OPTION.magicHigh);
  head.writeUInt32BE(OPTION_MAGIC.low, at + OPTION.magicLow);
  head.writeUInt32BE(OPTION_TYPE.go, at + OPTION.option);
  head.writeUInt32BE(4 + name.length + 2, at + OPTION.length);
  head.writeUInt32BE(name.length, at + OPTION.bytes);
  return Buffer.concat([head, name, Buffer.alloc(2)]);
}

/** Of all that the server has sent so far. It says nothing behind this before it is asked. */
export function answerOf(received: Buffer): Answer {
  if (received.length < GREETING.bytes) return { is: 'more' };
  const isGreeting =
    received.readUInt32BE(GREETING.magicHigh) === GREETING_MAGIC.high &&
    received.readUInt32BE(GREETING.magicLow) === GREETING_MAGIC.low &&
    received.readUInt32BE(GREETING.optionMagicHigh) === OPTION_MAGIC.high &&
    received.readUInt32BE(GREETING.optionMagicLow) === OPTION_MAGIC.low &&
    (received.readUInt16BE(GREETING.flags) & HANDSHAKE_FLAG.fixedNewstyle) !== 0;
  return isGreeting ? repliesOf(received.subarray(GREETING.bytes)) : trouble('this is no NBD server of the newstyle');
}

/** `data`: what stands behind its head. */
type Reply = { type: number; data: Buffer; bytes: number };

/** Null: not all of it has come. */
function replyAt(received: Buffer): Reply | null | 'none' {
  if (received.length < OPTION_REPLY.bytes) return null;
  const isReply =
    received.readUInt32BE(OPTION_REPLY.magicHigh) === OPTION_REPLY_MAGIC.high &&
    received.readUInt32BE(OPTION_REPLY.magicLow) === OPTION_REPLY_MAGIC.low &&
    received.readUInt32BE(OPTION_REPLY.option) === OPTION_TYPE.go;
  const length = received.readUInt32BE(OPTION_REPLY.length);
  if (!isReply || length > REPLY_BYTES_MAX) return 'none';
  const bytes = OPTION_REPLY.bytes + length;
  if (received.length < bytes) return null;
  return { type: received.readUInt32BE(OPTION_REPLY.type), data: received.subarray(OPTION_REPLY.bytes, bytes), bytes };
}

function repliesOf(received: Buffer): Answer {
  let flags: number | null = null;
  let rest = received;
  for (let count = 0; count < REPLIES_MAX; count++) {
    const reply = replyAt(rest);
    if (reply === null) return { is: 'more' };
    if (reply === 'none') return trouble('it answers with what is no answer');
    rest = rest.subarray(reply.bytes);
    if (reply.type >= ERROR_BIT) return trouble(reply.data.toString() || `it refuses (${reply.type - ERROR_BIT})`);
    if (reply.type === OPTION_REPLY_TYPE.info) flags ??= flagsIn(reply.data);
    if (reply.type === OPTION_REPLY_TYPE.ack) return readyOf(flags, rest.length);
  }
  return trouble(`it gives more than ${REPLIES_MAX} answers`);
}

const flagsIn = (data: Buffer): number | null =>
  data.length === EXPORT.bytes && data.readUInt16BE(EXPORT.type) === INFO_TYPE.export ? data.readUInt16BE(EXPORT.flags) : null;

function readyOf(flags: number | null, bytesBehind: number): Answer {
  if (flags === null) return trouble('it does not say what the export is');
  return bytesBehind === 0 ? { is: 'ready', flags } : trouble('it says what nobody asked');
}
