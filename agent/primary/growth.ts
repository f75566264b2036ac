/**
 * How large a volume is to its clients. Pure.
 *
 *   the leader raises the config's size -> every replica that is there grows, durably, and says so -> the new size is offered
 *
 * What is offered is the largest volume for which each replica that counts, in each shard, has said that it has the room; and each learner that is there,
 * for it is sent every operation too. It must never be more than a replica has that etcd may call in sync, or an acknowledged write could be lost with the
 * primary. A crash or a failover
 *
 * - after the config was raised: the next primary sees it, and asks all replicas when their sessions begin;
 * - after some have grown: room that nobody uses; the others are asked as before;
 * - after all have grown, before it was offered: the next primary offers it, from what they say in their first answers;
 * - after it was offered: all that count had it durably, and so every set that etcd can hold: it is the known one, or the proposed one, or one
 *   that a replica has joined since, which it does only with the room for all that the config asks for. The least of any such set is no less.
 *
 * A replica that has no room to grow (its disk is full) says so and goes on. If it counts it takes part as it is, also in a session that only begins: all that was
 * ever offered it has room for. A learner without the room is no member of any set, and is not kept.
 *
 * It never shrinks: a config that names less breaks the leader's rule and changes nothing here (see Knowledge); a replica that has less than it said
 * before has lost something and is dropped.
 */
import { volumeBytesOf } from '../../core/extent.ts';
import type { Replication } from './replication.ts';

/** Null while one that counts has never said how large it is. */
export function offerableBytes(replications: readonly Replication[], wantedBytes: number): number | null {
  const sizes = replications.map((replication) => leastOf(replication));
  if (sizes.includes(0)) return null;
  return Math.min(wantedBytes, volumeBytesOf(sizes));
}

/** What everybody has who counts or is there; 0 if that is not known. */
function leastOf(replication: Replication): number {
  if (replication.counted.length === 0) return 0;
  let least = replication.wantedBytes;
  for (const peer of replication.peers.values()) if (peer.isUp || replication.counts(peer)) least = Math.min(least, peer.sizeBytes);
  return least;
}
