/**
 * The numbers of the NBD protocol (fixed newstyle): magics, codes, flags, and where each field lies. All integers on the wire are big-endian.
 * Must never hold logic or anything of our own choosing (that is limits.ts).
 */

/** 64-bit magics as their two halves, so that no big integer is made for each message. */
export const GREETING_MAGIC = { high: 0x4e42444d, low: 0x41474943 } as const;
export const OPTION_MAGIC = { high: 0x49484156, low: 0x454f5054 } as const;
export const OPTION_REPLY_MAGIC = { high: 0x0003e889, low: 0x045565a9 } as const;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

export const GREETING = { magicHigh: 0, magicLow: 4, optionMagicHigh: 8, optionMagicLow: 12, flags: 16, bytes: 18 } as const;
export const CLIENT_FLAGS = { flags: 0, bytes: 4 } as const;
export const OPTION = { magicHigh: 0, magicLow: 4, option: 8, length: 12, bytes: 16 } as const;
export const OPTION_REPLY = { magicHigh: 0, magicLow: 4, option: 8, type: 12, length: 16, bytes: 20 } as const;
/** The answer to EXPORT_NAME; the padding is left out when both sides said NO_ZEROES. */
export const EXPORT_REPLY = { sizeHigh: 0, sizeLow: 4, flags: 8, bytes: 10, paddingBytes: 124 } as const;
export const REQUEST = {
  magic: 0,
  flags: 4,
  type: 6,
  cookieHigh: 8,
  cookieLow: 12,
  offsetHigh: 16,
  offsetLow: 20,
  length: 24,
  bytes: 28,
} as const;
export const SIMPLE_REPLY = { magic: 0, error: 4, cookieHigh: 8, cookieLow: 12, bytes: 16 } as const;
/** Of a structured reply's chunk; `length` counts what follows these fields. */
export const CHUNK = { magic: 0, flags: 4, type: 6, cookieHigh: 8, cookieLow: 12, length: 16, bytes: 20 } as const;
/** What follows CHUNK, by its type. */
export const DATA_CHUNK = { offsetHigh: 0, offsetLow: 4, bytes: 8 } as const;
export const ERROR_CHUNK = { error: 0, messageLength: 4, bytes: 6 } as const;
export const STATUS_CHUNK = { context: 0, bytes: 4 } as const;
export const STATUS_DESCRIPTOR = { length: 0, flags: 4, bytes: 8 } as const;

/** Handshake flags (server) and client flags have the same bits. */
export const HANDSHAKE_FLAG = { fixedNewstyle: 1 << 0, noZeroes: 1 << 1 } as const;

export const TRANSMISSION_FLAG = {
  hasFlags: 1 << 0,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDontFragment: 1 << 7,
  canMultiConnection: 1 << 8,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
} as const;

export const OPTION_TYPE = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

const ERROR_BIT = 2 ** 31;
export const OPTION_REPLY_TYPE = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errorUnsupported: ERROR_BIT + 1,
  errorPolicy: ERROR_BIT + 2,
  errorInvalid: ERROR_BIT + 3,
  errorUnknown: ERROR_BIT + 6,
  errorTooBig: ERROR_BIT + 9,
} as const;

export const INFO_TYPE = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, cache: 5, writeZeroes: 6, blockStatus: 7 } as const;

export const COMMAND_FLAG = {
  forceUnitAccess: 1 << 0,
  noHole: 1 << 1,
  dontFragment: 1 << 2,
  requestOne: 1 << 3,
  fastZero: 1 << 4,
} as const;

export const CHUNK_FLAG = { done: 1 << 0 } as const;
export const CHUNK_TYPE = { none: 0, offsetData: 1, blockStatus: 5, error: 2 ** 15 + 1 } as const;

/** Of the context base:allocation. */
export const STATE_FLAG = { hole: 1 << 0, zero: 1 << 1 } as const;

export const NBD_ERROR = {
  none: 0,
  io: 5,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
} as const;
export type NbdError = (typeof NBD_ERROR)[keyof typeof NBD_ERROR];

/** The longest string that the protocol allows: names, messages, queries. */
export const STRING_BYTES_MAX = 4096;
