/**
 * Every named maximum of the NBD server, in one table: key, default, reason. What one connection may hold in memory is at most
 * 2 x `bytesInFlightMax` (before and after completion) + `unsentBytesMax` + SEND_AT_BYTES + for each of `requestsInFlightMax` the chunk that a small write keeps alive.
 */

/** The largest read or write, told to clients as the maximum block size; also the longest range that a device is given in one call. */
export const REQUEST_BYTES_MAX = 32 * 1024 * 1024;
/** Any byte range is served; blocks are what the data path likes best. */
export const BLOCK_SIZE_MIN = 1;
export const BLOCK_SIZE_PREFERRED = 4096;
/** A name of the longest kind and its lists fit; a longer option is skipped unread. */
export const OPTION_DATA_BYTES_MAX = 8 * 1024;
/** A real client sends about ten. */
export const OPTIONS_MAX = 256;
/** Descriptors in one block status reply; a client asks on where it ends. */
export const STATUS_DESCRIPTORS_MAX = 1024;
/** Of an error chunk's text. */
export const ERROR_MESSAGE_BYTES_MAX = 512;
/** Slices of a write's payload shorter than this are `small`… */
export const SMALL_SLICE_BYTES = 4096;
/** …and after so many of them the rest of the payload is gathered by copying, or a byte-wise sender would cost a hundred bytes a byte. */
export const SMALL_SLICES_MAX = 16;
/** What such gathering allocates at a time: grows with what has arrived, not with what was announced. */
export const GATHER_BYTES = 64 * 1024;
/** Reply heads and short data are cut from slabs of this size: as much as the replies of one turn come to, of which only what is used takes memory. */
export const REPLY_SLAB_BYTES = 256 * 1024;
/** Data of a read up to this length is copied in between the heads: cheaper than a chunk of its own in the socket's queue. */
export const COPIED_DATA_BYTES_MAX = 4096;

/** So many bytes of replies are sent at once, not only when the turn of the event loop ends: a device that answers at once fills no memory. */
export const SEND_AT_BYTES = 1024 * 1024;

/** What a caller may set per server; the rest are the protocol's or the code's own. */
export type NbdLimits = {
  /** Requests of one connection that the device has. The kernel's queue is 128 deep; clients with more just wait in the socket. */
  readonly requestsInFlightMax: number;
  /** Bytes of their reads and writes. At least REQUEST_BYTES_MAX, or the largest request would never be admitted. */
  readonly bytesInFlightMax: number;
  /** Replies of one connection that the client has not taken off the socket; above it no request is read. */
  readonly unsentBytesMax: number;
  /** Clients open one to sixteen. */
  readonly connectionsMax: number;
  /** A client that connects and does not finish the handshake would hold one of them for ever. */
  readonly handshakeTimeoutMs: number;
  /** How long a closing server waits for a client to take its last replies. */
  readonly closeTimeoutMs: number;
};

export const DEFAULT_LIMITS: NbdLimits = {
  requestsInFlightMax: 256,
  bytesInFlightMax: 64 * 1024 * 1024,
  unsentBytesMax: 8 * 1024 * 1024,
  connectionsMax: 64,
  handshakeTimeoutMs: 30_000,
  closeTimeoutMs: 2_000,
};
