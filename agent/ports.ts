/**
 * The narrow interfaces between the agent's rooms. What is behind one may be the real thing or the simulator's; nothing here does anything.
 *
 * Completions are callbacks, not promises: the data path runs synchronously from one event to the next, and the simulator decides what the next event is.
 */

/** Why an I/O did not happen. Retryable means: the same request may succeed later without anybody's doing. */
export type IoErrorCode = 'io' | 'noSpace' | 'invalid' | 'shutdown' | 'notSupported';

export class IoError extends Error {
  override readonly name = 'IoError';
  readonly code: IoErrorCode;
  constructor(code: IoErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export type Done = (error: IoError | null) => void;

/** A run of a volume, as told to a client that asks what is allocated. A hole reads as zeroes. */
export type AllocationRun = { lengthBytes: number; hole: boolean };

/**
 * A volume as one client connection sees it. Requests complete in any order, each exactly once, unless the client is closed first.
 * Buffers given to `write` belong to the device until it has completed; those returned by `read` belong to the caller.
 */
export interface BlockClient {
  read(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, chunks: Buffer[]) => void): void;
  write(offsetBytes: number, chunks: Buffer[], lengthBytes: number, forceUnitAccess: boolean, done: Done): void;
  /** Zeroes a range. `free`: give the space back where possible; without it the range stays allocated if it was. */
  zero(offsetBytes: number, lengthBytes: number, options: { free: boolean; forceUnitAccess: boolean }, done: Done): void;
  /** Completes when every write that had completed before this call is durable on every in-sync replica. */
  flush(done: Done): void;
  /** What is allocated from `offsetBytes` on: runs that cover at least the first bytes of the range and at most all of it. */
  allocation(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, runs: AllocationRun[]) => void): void;
  /** The connection ended. What has no place in the volume's order yet is forgotten; nothing is called back any more. */
  close(): void;
}

/** A volume that can be served. */
export interface BlockDevice {
  readonly name: string;
  /** Grows, never shrinks. A client sees the size of the moment when it connected. */
  readonly sizeBytes: number;
  connect(): BlockClient;
}
