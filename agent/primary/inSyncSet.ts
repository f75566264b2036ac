/**
 * Keeps the in-sync set as it should be: drops who does not answer, takes in who caught up. One compare-and-set at a time.
 *
 * A learner joins in this order: the primary counts it; it flushes, behind everything sent so far, and grants leases; it is proposed. If its
 * session breaks before the proposal is out, it is a learner again; after that it counts until the outcome is known.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import { type Membership, nextConfig, type PeerView } from './membership.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';
import { isAllSuspect } from './suspicion.ts';

/** At the promotion a replica that refuses the connection is given this long to come up before it is dropped. */
const PROMOTION_PATIENCE_MS = 1_000;

/** How far the primary is: the in-sync replicas are still being sealed; it has been ready. */
export type Stage = { isPromoting: boolean; hasServed: boolean };

export class InSyncSet {
  readonly #replication: Replication;
  readonly #clock: Clock;
  readonly #propose: (known: VolumeConfig, next: VolumeConfig) => void;
  readonly #changed: () => void;
  #joinIsReady = false;
  #countings = 0;

  constructor(options: {
    replication: Replication;
    clock: Clock;
    propose: (known: VolumeConfig, next: VolumeConfig) => void;
    changed: () => void;
  }) {
    this.#replication = options.replication;
    this.#clock = options.clock;
    this.#propose = options.propose;
    this.#changed = options.changed;
  }

  step(stage: Stage): void {
    const replication = this.#replication;
    if (replication.proposal) return;
    if (!replication.joining) this.#beginJoining();
    const next = nextConfig(this.#membership(stage));
    if (next) this.propose(next);
  }

  propose(next: VolumeConfig): void {
    const { known } = this.#replication;
    this.#replication.proposal = next;
    this.#replication.recount();
    this.#propose(known, next);
  }

  #membership(stage: Stage): Membership {
    const replication = this.#replication;
    const nowMs = this.#clock.monotonicMs();
    const peers = [...replication.peers.values()].map(
      (peer): PeerView => ({
        member: peer.member,
        state: peer.state === 'open' ? 'open' : this.#isGone(peer, nowMs, stage.isPromoting) ? 'gone' : 'opening',
        isTrusted: peer.isTrusted,
        isCaughtUp: peer === replication.joining && this.#joinIsReady && peer.leaseUntilMs > nowMs,
      }),
    );
    const { known, shardIndex, gate } = replication;
    const mustTellLoss = !stage.hasServed && known.lossAt !== known.epoch && isAllSuspect(replication);
    return { known, shardIndex, peers, nothingInDoubt: gate.size === 0, mustTellLoss };
  }

  /** A broken session is reason enough; at the promotion, when all come up together, not being there yet is none. */
  #isGone(peer: Peer, nowMs: number, isPromoting: boolean): boolean {
    if (peer.isUp) return false;
    if (!isPromoting || peer.trouble?.code === 'failed') return true;
    return peer.state === 'down' && nowMs - peer.downSinceMs > PROMOTION_PATIENCE_MS;
  }

  #beginJoining(): void {
    const replication = this.#replication;
    if (replication.authority?.state !== 'open') return;
    const isReady = (peer: Peer) => peer.state === 'open' && !peer.member.leaving && !replication.isInSync(peer) && peer.need.size === 0;
    const peer = [...replication.peers.values()].find(isReady);
    if (!peer?.link) return;
    const { link } = peer;
    replication.joining = peer;
    this.#joinIsReady = false;
    replication.recount();
    // Behind everything sent so far, restamps too; the answer comes when all of it is applied and durable. One that was asked for when the same
    // peer was counted before says nothing of what was sent since.
    const counting = ++this.#countings;
    const flushed = () => {
      if (this.#countings !== counting || replication.joining !== peer || peer.link !== link) return;
      this.#joinIsReady = true;
      // It has caught up: what a power loss took from it is there again, durably.
      peer.suspect = false;
      this.#changed();
    };
    peer.ask({ type: 'flush' }, this.#clock.monotonicMs(), flushed, () => undefined);
  }
}
