/**
 * The narrow interfaces between the agent's rooms. What is behind one may be the real thing or the simulator's; nothing here does anything.
 *
 * Completions are callbacks, not promises: the data path runs synchronously from one event to the next, and the simulator decides what the next event is.
 */
import type { Member, VolumeConfig } from '../core/config.ts';
import type { ExtentSet } from '../core/extent.ts';
import type { InstanceId, ReplicaId, SnapshotUid, VolumeUid } from '../core/ids.ts';
import type { ResyncProgress } from '../core/wire/messages.ts';

/** Why an I/O did not happen. `shutdown`: nobody is answered here any more; what became of it only the next one to serve may say, and no client is told an error. */
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
/** `isFree`: nobody reads or sends the write's buffers any more, so their memory may be used again. */
export type WriteDone = (error: IoError | null, isFree?: boolean) => void;

/** A run of a volume, as told to a client that asks what is allocated. A hole reads as zeroes. */
export type AllocationRun = { lengthBytes: number; hole: boolean };

/**
 * A volume as one client connection sees it. Requests complete in any order, each exactly once, unless the client is closed first.
 * Buffers given to `write` are the device's until it says that they are free, which may be never: a slow learner may hold them long after the write has
 * completed. Those returned by `read` belong to the caller.
 */
export interface BlockClient {
  /**
   * Fills `target` with what is there at this moment, if that can be had and told without anybody being waited for. False: nothing has happened, `target`
   * may hold anything; it is to be asked for by `read`, which also says what is wrong.
   */
  readNow(offsetBytes: number, target: Buffer): boolean;
  read(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, chunks: Buffer[]) => void): void;
  write(offsetBytes: number, chunks: Buffer[], lengthBytes: number, forceUnitAccess: boolean, done: WriteDone): void;
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
  /** Comes again: another volume may have it after this one is deleted. */
  readonly name: string;
  readonly uid: string;
  /** Grows, never shrinks. A client sees the size of the moment when it connected. */
  readonly sizeBytes: number;
  connect(): BlockClient;
}

/**
 * What a replica of this very agent holds, past its session: for as long as the session is open, and the caller knows that the replica may be read from and
 * that nothing on its way to it touches the range. What it has acknowledged is there.
 */
export interface LocalReads {
  /** Fills `target`, all of it, with what is there now. False: that would mean waiting for a disk, or cannot be done. */
  read(offsetBytes: number, target: Buffer): boolean;
  /** The session has ended: nothing is read any more. */
  close(): void;
}

/** Null: the replica is none of this agent's. */
export type OpenReads = (member: Member) => LocalReads | null;

/** What a replica knows of itself for ever: small, rewritten whole, durable before it counts. */
export type ReplicaMeta = {
  format: 1;
  volume: VolumeUid;
  volumeName: string;
  replica: ReplicaId;
  sizeBytes: number;
  /** The highest epoch promised, and to which instance. 0 and null: to nobody yet. */
  promisedEpoch: number;
  promisedInstance: InstanceId | null;
  /** The machine's boot under which it was last opened; null after it was closed cleanly. */
  openBootId: string | null;
  /** It lost power while open and was not levelled since: unflushed writes may be gone. */
  suspect: boolean;
  /** It failed for good (a failed fdatasync, damaged files), in words. It answers no Seal any more. */
  failed: string | null;
  /** The longest lease that it ever granted: a process that restarts waits so long before a new primary may serve. */
  longestLeaseMs: number;
  /** How far it has caught up, while it is a learner; null: nothing is known of that. */
  resync: ResyncProgress | null;
  /** The last config that it saw, so that the store can be rebuilt from the disks. */
  config: VolumeConfig | null;
  /**
   * The latest config version that an operation it took was of, where no config so late was seen: durable before the operation is applied, so that a rebuilt
   * store is never taken for the latest while somebody knows better. Left out: none.
   */
  toldVersion?: number;
};

/** What is to be kept, and by which attempt: each attempt has a number of its own, above those before it. */
export type SnapshotRequest = { snapshot: SnapshotUid; attempt: number };

/**
 * One replica's files, opened by the only process that holds the pool's lock. `read`, `write` and `zero` go to the page cache and are
 * synchronous; what must be durable says so by a callback. Any method may throw or call back IoError; a failed flush is never tried again.
 */
export interface ReplicaStore {
  readonly meta: ReplicaMeta;
  /** Calls back when the new meta is durable; `meta` is the new one from then on. One at a time. A larger size needs `extend` before. */
  saveMeta(meta: ReplicaMeta, done: Done): void;

  read(offsetBytes: number, lengthBytes: number): Buffer;
  write(offsetBytes: number, chunks: readonly Buffer[], lengthBytes: number): void;
  /** Zeroes; `free` punches a hole where the file system can. */
  zero(offsetBytes: number, lengthBytes: number, free: boolean): void;
  /** Everything written so far becomes durable (fdatasync). Calls made while one runs share the next. */
  flush(done: Done): void;

  /** The durable intent log. Never changed by the caller. */
  readonly intents: ExtentSet;
  /** Calls back when all of them are durable in the log. Calls made while one runs share the next (group commit). */
  addIntents(extents: readonly number[], done: Done): void;
  /** Makes data and stamps durable, then takes the extents for which `mayLeave` still says yes out of the log. One at a time. */
  clean(extents: readonly number[], mayLeave: (extent: number) => boolean, done: Done): void;

  /** The config version under which the extent was last written; 0: never. In memory at once, durable by `clean` before the extent leaves the log. */
  stamp(extent: number): number;
  setStamp(extent: number, version: number): void;
  /** Extents whose stamp is at least `version`, and those in the log. 0: every extent ever written. */
  changedSince(version: number): ExtentSet;
  /** Whether the extent may hold anything but zeroes. */
  mayHaveData(extent: number): boolean;

  /**
   * Makes the files long enough for a replica of so many bytes, durably. It is as large as its meta says: that is saved next, and a crash in between leaves
   * the size of before in files that are longer than they need be.
   */
  extend(sizeBytes: number, done: Done): void;

  /**
   * Keeps data and stamps as they are now, durably, beside the replica: nothing may be written until it calls back, and all was flushed before. An error says
   * why that snapshot is not there; the replica itself is as sound as it was.
   */
  snapshot(request: SnapshotRequest, done: Done): void;

  /** Flushes all and marks the replica cleanly closed. */
  close(done: Done): void;
}
