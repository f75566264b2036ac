/** Learners are told how far they are. Must never tell one what is not settled, or what it copied in doubt. */
import type { ProgressPace } from './catchUp.ts';
import type { Replication } from './replication.ts';

/**
 * Tells each learner how far it is, where that is due. Only while every counted replica is loaded and nothing is in doubt: what a learner copied in doubt
 * it would keep as done, and take out of its log; so it would a copy of what was in flight before its session, until that is settled. What comes into doubt later is in the gate or, levelled, stamped under this session's version or a later one.
 */
export function tellProgress(replication: Replication, nowMs: number, pace: ProgressPace): void {
  for (const peer of replication.peers.values()) {
    const { catchUp, need } = peer;
    if (peer.state !== 'open' || catchUp === null || replication.counts(peer)) continue;
    catchUp.sample(need.size, nowMs);
    if (replication.gate.size > 0 || !replication.isLoaded() || !replication.knowsAllInDoubt(peer)) continue;
    const first = need.next(0);
    const progress = catchUp.toTell(first < 0 ? need.extents : first, nowMs, pace);
    if (progress) {
      peer.ask(
        { type: 'progress', ...progress },
        nowMs,
        () => catchUp.told(),
        () => undefined,
      );
    }
  }
}
