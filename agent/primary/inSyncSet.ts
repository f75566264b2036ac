/**
 * Keeps the in-sync sets as they should be: drops who does not answer, takes in who caught up (see Joining). One compare-and-set at a time for
 * the whole volume; what several shards want goes together, so that a node that died leaves all of them at once. Counting stays each shard's own:
 * in one that the proposal leaves as it is, nobody counts more than before.
 *
 * A replica that joins counts from before it is proposed until the outcome is known.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { Joining } from './joining.ts';
import type { Knowledge } from './knowledge.ts';
import { type Membership, nextConfig, type PeerView } from './membership.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';
import { isAllSuspect } from './suspicion.ts';

/** At the promotion a replica that refuses the connection is given this long to come up before it is dropped. */
const PROMOTION_PATIENCE_MS = 1_000;

/** How far the primary is: the in-sync replicas are still being sealed; it has been ready. */
export type Stage = { isPromoting: boolean; hasServed: boolean };

type JoiningShard = { readonly replication: Replication; readonly joining: Joining };

export class InSyncSet {
  readonly #knowledge: Knowledge;
  readonly #shards: readonly JoiningShard[];
  readonly #clock: Clock;
  readonly #propose: (known: VolumeConfig, next: VolumeConfig) => void;

  constructor(options: {
    knowledge: Knowledge;
    shards: readonly JoiningShard[];
    clock: Clock;
    propose: (known: VolumeConfig, next: VolumeConfig) => void;
  }) {
    this.#knowledge = options.knowledge;
    this.#shards = options.shards;
    this.#clock = options.clock;
    this.#propose = options.propose;
  }

  step(stage: Stage): void {
    const { known, proposal } = this.#knowledge;
    if (proposal) return;
    for (const { joining } of this.#shards) joining.step();
    const memberships = this.#shards.filter(({ replication }) => !isWhole(replication)).map((shard) => this.#membership(shard, stage));
    const next = nextConfig({ known, memberships, mustTellLoss: this.#mustTellLoss(stage) });
    if (next) this.propose(next);
  }

  propose(next: VolumeConfig): void {
    const { known } = this.#knowledge;
    this.#knowledge.proposal = next;
    for (const { replication } of this.#shards) replication.recount();
    this.#propose(known, next);
  }

  #mustTellLoss(stage: Stage): boolean {
    const { lossAt, epoch } = this.#knowledge.known;
    return !stage.hasServed && lossAt !== epoch && this.#shards.some(({ replication }) => isAllSuspect(replication));
  }

  #membership({ replication, joining }: JoiningShard, stage: Stage): Membership {
    const nowMs = this.#clock.monotonicMs();
    const peers = [...replication.peers.values()].map(
      (peer): PeerView => ({
        member: peer.member,
        state: peer.state === 'open' ? 'open' : this.#isGone(peer, nowMs, stage.isPromoting) ? 'gone' : 'opening',
        isTrusted: peer.isTrusted,
        isCaughtUp: joining.isReady(peer, nowMs),
      }),
    );
    return { shardIndex: replication.shardIndex, peers, nothingInDoubt: replication.gate.size === 0 };
  }

  /** A broken session is reason enough; at the promotion, when all come up together, not being there yet is none. */
  #isGone(peer: Peer, nowMs: number, isPromoting: boolean): boolean {
    // Where etcd was restored from a backup, it may be the only one that has what was acknowledged since. Elsewhere this primary is not the last one any more.
    if (peer.isUp || peer.knowsBetter(this.#knowledge.known)) return false;
    if (!isPromoting || peer.trouble?.code === 'failed') return true;
    return peer.state === 'down' && nowMs - peer.downSinceMs > PROMOTION_PATIENCE_MS;
  }
}

/** Everybody is there, in sync and to stay: nothing to be wanted. The usual case, asked of every shard at every event. */
function isWhole(replication: Replication): boolean {
  for (const peer of replication.peers.values()) {
    if (peer.state !== 'open' || peer.member.leaving || !replication.isInSync(peer)) return false;
  }
  return true;
}
