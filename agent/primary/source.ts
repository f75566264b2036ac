/**
 * From whom an extent is copied. Pure.
 *
 * What is in doubt, only the authority may give: its content is the truth there. Anything else any in-sync replica may give that is open, trusted and
 * does not need the extent itself, for there it holds what the authority holds, behind all that was sent:
 *
 * - Two counted replicas, both loaded, can differ only in what was in one of their logs when they were loaded, or was sent since. What was in a log
 *   then is in the need of each of them but the authority, until levelled. (In a third one's log, not loaded yet, may be a write that neither of them has.)
 *   What was sent since, both have applied before they answer, and the extent's lock lets nothing more through.
 * - Its stamps are as good. What any absent replica misses, every in-sync one has stamped or has in its log; and what was in its log, with its
 *   stamp perhaps lost in a crash, was stamped again by everybody before its load was over, so before it is asked here.
 * - Which extents a learner needs, is asked of the authority alone, and need not be asked of others: it is where the learner differs from the
 *   authority, and so from any other outside of that one's own need. What is in another's log in doubt is in the gate, which a learner needs too.
 *
 * All of it must hold still when the learner has answered: a replica that is loaded late, for the first time in an epoch, puts its log into everybody's need.
 */
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

export function mayGive(replication: Replication, peer: Peer, extent: number): boolean {
  const { authority, gate } = replication;
  if (peer.state !== 'open' || authority?.state !== 'open') return false;
  if (peer === authority) return true;
  return !gate.has(extent) && replication.isInSync(peer) && peer.isTrusted && !peer.need.has(extent);
}

/** The one with the least to do; the local one, then the authority, where it makes no difference. */
export function leastBusySource(replication: Replication, extent: number): Peer | null {
  const { authority } = replication;
  const rank = (peer: Peer) => peer.outstanding * 4 + (replication.isLocal(peer) ? 0 : 2) + (peer === authority ? 0 : 1);
  let least: Peer | null = null;
  for (const peer of replication.peers.values()) {
    if (mayGive(replication, peer, extent) && (least === null || rank(peer) < rank(least))) least = peer;
  }
  return least;
}
