/**
 * One shard as its primary works on it: the parts that are each shard's own, and what a later config changes in them. Phase, epoch, the config and
 * what is proposed are the volume's. No shard may know of another.
 */
import type { Clock } from '../../core/clock.ts';
import type { NodeName, ReplicaId } from '../../core/ids.ts';
import type { ProgressPace } from './catchUp.ts';
import { Joining } from './joining.ts';
import type { Knowledge } from './knowledge.ts';
import { Leveller } from './leveller.ts';
import { Loader } from './loading.ts';
import type { Peer } from './peer.ts';
import { Replication } from './replication.ts';
import { Sessions, type SessionsOptions } from './sessions.ts';

export type ShardOptions = {
  knowledge: Knowledge;
  index: number;
  clock: Clock;
  localNode: NodeName;
  /** What copying may take of the volume's bandwidth. */
  resyncBytesPerSecond: () => number;
  progressPace: ProgressPace;
  sessions: SessionsOptions;
};

export class PrimaryShard {
  readonly replication: Replication;
  readonly sessions: Sessions;
  readonly joining: Joining;
  readonly #clock: Clock;
  readonly #loader: Loader;
  readonly #leveller: Leveller;

  constructor(options: ShardOptions) {
    const { knowledge, index, clock, localNode, sessions } = options;
    this.#clock = clock;
    this.replication = new Replication({
      knowledge,
      shardIndex: index,
      clock,
      localNode,
      dropSession: (peer, reason) => this.sessions.drop(peer, reason),
    });
    this.sessions = new Sessions(this.replication, sessions);
    this.joining = new Joining(this.replication, clock, sessions.changed);
    this.#loader = new Loader(this.replication, clock, sessions.changed);
    this.#leveller = new Leveller({
      replication: this.replication,
      clock,
      bytesPerSecond: options.resyncBytesPerSecond,
      progressPace: options.progressPace,
      changed: sessions.changed,
    });
  }

  /** Every in-sync replica answered, and somebody's content is the truth. */
  get isSealed(): boolean {
    const { shard, peers, authority } = this.replication;
    return authority !== null && shard.inSync.every((replica) => peers.get(replica)?.state === 'open');
  }

  /**
   * A lease of before has run out here. One shard's would do, for a reply of before needed the leases of all; waiting for each needs no such argument, and they
   * run out together.
   */
  get mayStart(): boolean {
    return this.#clock.monotonicMs() >= this.sessions.mayStartAtMs;
  }

  /** Nothing is on its way, nothing is being made equal. */
  get isSettled(): boolean {
    return this.replication.inFlight.count === 0 && this.#leveller.isIdle;
  }

  /** Everybody who is to stay is in sync, everybody who is to leave has left, nothing is in doubt. */
  get isWhole(): boolean {
    const { peers, gate } = this.replication;
    if (gate.size > 0) return false;
    const isAsItShouldBe = (peer: Peer) => (peer.member.leaving ? !this.replication.isInSync(peer) : this.replication.isInSync(peer));
    return [...peers.values()].every(isAsItShouldBe);
  }

  /** Somebody who is there misses something. */
  get isResyncing(): boolean {
    for (const peer of this.replication.peers.values()) if (peer.state === 'open' && peer.need.size > 0) return true;
    return false;
  }

  /** A replica's log may become shorter: it is levelled, and so is everybody who counts; and what it was given by a copy is settled. */
  mayClean(peer: Peer): boolean {
    const { replication } = this;
    return replication.gate.size === 0 && peer.state === 'open' && peer.need.size === 0 && replication.knowsAllInDoubt(peer);
  }

  /** Sessions that are due, and what returning replicas need. */
  connectAndLoad(): void {
    this.sessions.connectDown();
    this.#loader.step();
  }

  /** Makes equal what may be; first the extents that I/O waits for. */
  level(wanted: Iterable<number>): void {
    this.#leveller.step(wanted);
  }

  /** Everybody that etcd may have called in sync until now. */
  get possiblyInSync(): ReplicaId[] {
    return [...this.replication.shard.inSync, ...this.replication.proposedInSync];
  }

  /** The known config is another. `before`: who may have been in sync under the last one. Whoever left is a learner, and what is in flight is stamped for it. */
  adopted(before: readonly ReplicaId[]): void {
    const { replication, sessions } = this;
    replication.joining = null;
    replication.grow();
    for (const removed of replication.syncMembers()) removed.down(this.#clock.monotonicMs());
    const after = replication.shard.inSync;
    const gone = before.filter((replica) => !after.includes(replica));
    for (const replica of gone) {
      const peer = replication.peers.get(replica);
      // It comes back as a learner, by a session of its own: what it was sent in this one is not known to have arrived.
      if (peer) {
        peer.wasLoaded = false;
        sessions.drop(peer, 'left the in-sync set');
      }
    }
    for (const peer of replication.peers.values()) {
      if (peer.member.leaving && !replication.isInSync(peer)) sessions.drop(peer, 'leaves the volume');
    }
    replication.recount();
    if (gone.length > 0) replication.restampInFlight();
  }
}

/** Tells whoever waits for what everybody who counts has. */
export function settle(replication: Replication): void {
  for (const entry of replication.settle()) {
    entry.done?.(null, replication.isFree(entry.operation));
    if (entry.waiters) for (const waiter of entry.waiters) waiter();
  }
}
