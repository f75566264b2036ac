/**
 * What a primary and a replica say to each other, as values. A session is one connection: the primary's first message is a Seal; nothing else is
 * heard before the replica has answered it with Sealed. Order is kept in both directions; what was sent and not answered when the session ends may or
 * may not have happened.
 *
 * Two numberings, both the primary's. An *operation* (write, zero, restamp) has a sequence, rises by one from operation to operation within an epoch,
 * goes to every session, and is acknowledged cumulatively (Applied). A *request* has an id, goes to one session, and is answered by that id.
 * A replica works everything off in the order in which it came; only flushes are answered out of order.
 */
import type { VolumeConfig } from '../config.ts';
import type { ExtentSet } from '../extent.ts';
import type { InstanceId, ReplicaId, SnapshotUid, VolumeUid } from '../ids.ts';

/** Given as `since`: only the intent log. */
export const LOG_ONLY = Number.MAX_SAFE_INTEGER;
/** 128 bits of SHA-256 of a block; all zero for a block of zeroes. */
export const DIGEST_BYTES = 16;

export type Seal = {
  type: 'seal';
  volume: VolumeUid;
  replica: ReplicaId;
  epoch: number;
  instance: InstanceId;
  /** As the primary knows it; its version is the lowest that the replica may have seen. */
  config: VolumeConfig;
};

export type Operation =
  | {
      type: 'write';
      sequence: number;
      settled: number;
      version: number;
      offsetBytes: number;
      lengthBytes: number;
      chunks: readonly Buffer[];
    }
  | { type: 'zero'; sequence: number; settled: number; version: number; offsetBytes: number; lengthBytes: number; free: boolean }
  /** Stamps extents with `version`: what was in flight when a replica left must be found by it when it returns. At most RESTAMP_EXTENTS_MAX. */
  | { type: 'restamp'; sequence: number; settled: number; version: number; extents: readonly number[] };

export type Request =
  | { type: 'read'; id: number; offsetBytes: number; lengthBytes: number }
  | { type: 'flush'; id: number }
  /** `stampOnly`: the stamp is all that is asked for, and the answer has no digests. */
  | { type: 'digest'; id: number; extent: number; stampOnly: boolean }
  /** Blocks of one extent, made as on the authority, and the stamp that goes with them (the later of it and the replica's own). */
  | { type: 'level'; id: number; extent: number; stamp: number; runs: readonly LevelRun[] }
  | { type: 'changed'; id: number; since: number }
  | { type: 'allocation'; id: number; offsetBytes: number; lengthBytes: number }
  /** The replica's own size, which grows durably to at least this and never shrinks. */
  | { type: 'resize'; id: number; sizeBytes: number }
  /**
   * How far catching up is: see ResyncProgress. What was copied so far is made durable first. Sent only while nothing is in doubt: so extents below `below`
   * may leave the intent log as if `mayClean` were told, unless they are levelled again behind this message.
   */
  | ({ type: 'progress'; id: number } & ResyncProgress)
  /** One digest over those of `extents` extents from `extent` on: equal ones cost next to nothing on the wire. At most SUMMARY_EXTENTS_MAX. */
  | { type: 'summary'; id: number; extent: number; extents: number }
  /** Keeps the replica as it is at this point of the order, durably, as what that attempt made. */
  | { type: 'snapshot'; id: number; snapshot: SnapshotUid; attempt: number };

/**
 * How far a replica has caught up, kept by itself so that the next session, or the next primary, goes on there. It catches up from `since` (the version at
 * which it left, 0 for one that never was in sync); every extent below `below` was compared or copied in a session that began under `version`.
 */
export type ResyncProgress = { since: number; version: number; below: number };

/** Consecutive blocks of an extent; `data` null: they become zeroes, freed where possible. */
export type LevelRun = { block: number; blocks: number; data: readonly Buffer[] | null };

export type ToReplica =
  | Seal
  | Operation
  | Request
  /**
   * Asks for a lease of `leaseMs`. `settled`: every operation up to it is acknowledged by all who count. `mayClean`: the primary has nothing
   * still to level, and has levelled or compared since this session began all that was in this replica's log then.
   */
  | { type: 'ping'; id: number; settled: number; leaseMs: number; mayClean: boolean }
  /** The primary answers nobody any more and never will: leases granted to it are void. */
  | { type: 'release' };

export type RefusalCode = 'fenced' | 'newerConfig' | 'failed' | 'unknownReplica' | 'protocol';

export type FromReplica =
  | { type: 'sealed'; suspect: boolean; sizeBytes: number; leaseRemainingMs: number; resync: ResyncProgress | null }
  | { type: 'refused'; code: RefusalCode; message: string; promisedEpoch: number; seenVersion: number }
  | { type: 'applied'; sequence: number }
  | { type: 'data'; id: number; chunks: readonly Buffer[]; lengthBytes: number }
  /** Answers flush, level, resize, progress and snapshot. */
  | { type: 'done'; id: number }
  /** DIGEST_BYTES a block, in order; null: the whole extent is zeroes, or only its stamp was asked for. */
  | { type: 'digests'; id: number; stamp: number; digests: Buffer | null }
  /** DIGEST_BYTES. */
  | { type: 'summaryDigest'; id: number; digest: Buffer }
  | { type: 'changedSet'; id: number; extents: ExtentSet }
  | { type: 'allocationMap'; id: number; runs: readonly { lengthBytes: number; hole: boolean }[] }
  /** The lease asked for by that ping is granted, from now. */
  | { type: 'pong'; id: number }
  /** Answers a snapshot that could not be kept, or a resize for which there is no room, in words; the session goes on. */
  | { type: 'unable'; id: number; message: string }
  /** The replica serves nobody any more: its last message. */
  | { type: 'failed'; message: string };

/** Named maxima of the wire. */
export const READ_BYTES_MAX = 32 * 1024 * 1024;
export const WRITE_BYTES_MAX = 32 * 1024 * 1024;
export const ZERO_BYTES_MAX = 1024 * 1024 * 1024;
export const SUMMARY_EXTENTS_MAX = 64;
export const RESTAMP_EXTENTS_MAX = 65_536;
export const FRAME_BODY_BYTES_MAX = WRITE_BYTES_MAX + 64 * 1024;
export const ALLOCATION_RUNS_MAX = 65_536;
