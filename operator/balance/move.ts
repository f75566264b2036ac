/**
 * A replica that shall lie elsewhere, as the balance wants it (balance.ts) and a step of operator/volume carries it out: `pool` on `to` becomes a further member of
 * the shard, and once more replicas than asked for are in sync, the one of leaver.ts goes. Types only.
 *
 * Nothing remembers a move: the config with one member more is all that there is of it, so whoever leads next goes on with it. What leaves is therefore always
 * found anew by `leaverOf`, and a move is only planned where that is the replica on `from`.
 */
import type { NodeName, ReplicaId, VolumeUid } from '../../core/ids.ts';

/** pressure: the file system of the pool that it leaves is nearly full. spread: that pool is much fuller than others. */
export type MoveReason = 'pressure' | 'spread';

export type Move = {
  uid: VolumeUid;
  shard: number;
  /** That shall leave. */
  replica: ReplicaId;
  from: NodeName;
  to: NodeName;
  /** On `to`. */
  pool: string;
  /** Promised to the replica: what is copied at most. */
  sizeBytes: number;
  why: MoveReason;
  /** In words, for people: what is wrong where it lies now. */
  trouble: string;
};
