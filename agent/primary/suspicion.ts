/**
 * What follows from a replica's having lost power: until it is levelled, unflushed writes may be gone from it, and it is no source for anybody.
 *
 *   suspect --all of the set are, and the epoch was written as lossAt before anybody was served--> suspect, but trusted: what it holds is the truth now
 *   suspect --levelled, or caught up as a learner--> not suspect
 *
 * A primary that has served must never go on over such a loss, in whichever shard: its clients would not know.
 *
 * Several shards, one `lossAt`. It says: whatever was not flushed before this epoch may be gone, anywhere in the volume. Nothing was acknowledged in
 * this epoch before it is ready, and so nobody has seen anything of it: as long as that is so, a shard that turns out to be all suspects after the
 * epoch was written is covered by what stands there already; another version would say the same again. That holds for a second loss of the same shard,
 * too. What must not happen is that the primary becomes ready between the loss and the writing: it is told as long as it was not ready, and ends it after.
 */
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

const inSyncPeers = (replication: Replication): (Peer | undefined)[] =>
  replication.shard.inSync.map((replica) => replication.peers.get(replica));

/** All of the set answered, all had lost power, and no loss was told of any of them. */
export function isAllSuspect(replication: Replication): boolean {
  const peers = inSyncPeers(replication);
  return peers.length > 0 && peers.every((peer) => peer?.state === 'open' && peer.suspect === true && !peer.isLossTold);
}

/** The loss is written, nobody was served yet: from here on what these hold counts. One that loses power again is a suspect again. */
export function tellLoss(replication: Replication): void {
  if (replication.known.lossAt !== replication.known.epoch || !isAllSuspect(replication)) return;
  for (const peer of inSyncPeers(replication)) if (peer) peer.isLossTold = true;
}

/** Nothing is in doubt any more: whoever had lost power is as good as the others. */
export function clearSuspicion(replication: Replication): void {
  if (replication.gate.size > 0) return;
  for (const peer of replication.counted) if (peer.state === 'open' && peer.suspect) peer.suspect = false;
}
