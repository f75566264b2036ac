/** Asks several replicas at once. It must never call back twice, nor leave one that was lost without being told. */
import type { Ask, Peer, Reply } from './peer.ts';

/** Calls back once, when each has answered or was lost: with the answers there are. At once if nobody is asked. */
export function askEach(
  peers: readonly Peer[],
  request: (peer: Peer) => Ask,
  nowMs: number,
  then: (replies: Map<Peer, Reply>) => void,
): void {
  const replies = new Map<Peer, Reply>();
  let missing = peers.length;
  const arrived = () => {
    missing--;
    if (missing === 0) then(replies);
  };
  if (missing === 0) return then(replies);
  for (const peer of peers) {
    const onReply = (reply: Reply) => {
      replies.set(peer, reply);
      arrived();
    };
    peer.ask(request(peer), nowMs, onReply, arrived);
  }
}
