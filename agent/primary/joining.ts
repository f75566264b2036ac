/**
 * Takes one learner of a shard at a time to where it may be proposed: the primary counts it; it flushes, behind everything sent so far, and grants
 * leases. If its session breaks before the proposal is out, it is a learner again.
 *
 * Before anybody joins, those who are in sync note that a later config may be there. Else, should etcd be lost for good after they have all left, unwritten since
 * and cut off from etcd all the while, their last config would call them in sync, and nobody present could know better (operator/recover).
 */
import type { Clock } from '../../core/clock.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

export class Joining {
  readonly #replication: Replication;
  readonly #clock: Clock;
  readonly #changed: () => void;
  #isFlushed = false;
  #countings = 0;
  /** Sequence of the operation by which a later config was announced, and the version of that. */
  #announced = 0;
  #announcedVersion = 0;

  constructor(replication: Replication, clock: Clock, changed: () => void) {
    this.#replication = replication;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** It may be proposed. */
  isReady(peer: Peer, nowMs: number): boolean {
    const { joining, known } = this.#replication;
    if (peer !== joining || this.#announcedVersion <= known.version || !this.#replication.isAnnounced(this.#announced)) return false;
    return this.#isFlushed && (peer.leaseUntilMs > nowMs || !this.#replication.needsLeases);
  }

  step(): void {
    const replication = this.#replication;
    if (replication.joining && this.#announcedVersion <= replication.known.version) this.#announce();
    if (replication.joining || replication.authority?.state !== 'open') return;
    const peer = this.#next();
    if (!peer?.link) return;
    const { link } = peer;
    replication.joining = peer;
    this.#isFlushed = false;
    replication.recount();
    this.#announce();
    // Behind everything sent so far, restamps too; the answer comes when all of it is applied and durable. One that was asked for when the same
    // peer was counted before says nothing of what was sent since.
    const counting = ++this.#countings;
    const flushed = () => {
      if (this.#countings !== counting || replication.joining !== peer || peer.link !== link) return;
      this.#isFlushed = true;
      // It has caught up: what a power loss took from it is there again, durably.
      peer.suspect = false;
      this.#changed();
    };
    peer.ask({ type: 'flush' }, this.#clock.monotonicMs(), flushed, () => undefined);
  }

  #announce(): void {
    this.#announcedVersion = this.#replication.known.version + 1;
    this.#announced = this.#replication.announce();
  }

  /** With the room for all that the config names: whoever is in sync can be all that is left of what was offered. */
  #next(): Peer | null {
    const { peers, wantedBytes } = this.#replication;
    for (const peer of peers.values()) {
      const isThere = peer.state === 'open' && peer.need.size === 0 && peer.sizeBytes >= wantedBytes;
      if (isThere && !peer.member.leaving && !this.#replication.isInSync(peer)) return peer;
    }
    return null;
  }
}
