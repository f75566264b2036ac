/**
 * Finds out what a replica needs when its session has begun, from the logs and stamps of those concerned. Everything that is sent to it from
 * then on it gets anyway, so whatever was before is in what is asked now.
 */
import type { Clock } from '../../core/clock.ts';
import type { ExtentSet } from '../../core/extent.ts';
import { LOG_ONLY } from '../../core/wire/messages.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

/** Asks several peers what changed; calls back once, with what each answered, or null for one that was lost. */
function askAll(asks: { peer: Peer; since: number }[], nowMs: number, then: (answers: (ExtentSet | null)[]) => void): void {
  const answers: (ExtentSet | null)[] = asks.map(() => null);
  let missing = asks.length;
  const arrived = (index: number, answer: ExtentSet | null) => {
    answers[index] = answer;
    missing--;
    if (missing === 0) then(answers);
  };
  asks.forEach(({ peer, since }, index) => {
    const onReply = (reply: { type: string; extents?: ExtentSet }) => arrived(index, reply.extents ?? null);
    peer.ask({ type: 'changed', since }, nowMs, onReply, () => arrived(index, null));
  });
}

export class Loader {
  readonly #replication: Replication;
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #loading = new WeakSet<object>();

  constructor(replication: Replication, clock: Clock, changed: () => void) {
    this.#replication = replication;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Begins for every session that is up and of which the need is not known; a learner's must wait for an authority. */
  step(): void {
    for (const peer of this.#replication.peers.values()) {
      if (peer.state !== 'loading' || !peer.link || this.#loading.has(peer.link)) continue;
      if (this.#replication.counts(peer)) this.#loadCounted(peer, peer.link);
      else if (this.#replication.authority?.state === 'open') this.#loadLearner(peer, peer.link, this.#replication.authority);
    }
  }

  /**
   * Its own log and the others'. The first time in an epoch its log is everybody's: what is in it may differ anywhere, and is levelled on all.
   * Later only itself can differ: in what is in its log, which it may have lost, and in what it had not been levelled on.
   */
  #loadCounted(peer: Peer, link: object): void {
    this.#loading.add(link);
    const others = this.#replication.counted.filter((other) => other !== peer && other.isUp);
    const asks = [peer, ...others].map((each) => ({ peer: each, since: LOG_ONLY }));
    askAll(asks, this.#clock.monotonicMs(), ([own, ...rest]) => {
      if (peer.link !== link || !own) return;
      if (!peer.wasLoaded) this.#spread(peer, own);
      if (peer !== this.#replication.authority) for (const log of [own, ...rest]) if (log) peer.need.addAll(log);
      // A crash may have cost it the stamps of what is in its log; where nobody else is there to be levelled, nothing would bring them back.
      this.#replication.restamp(own);
      this.#opened(peer);
    });
  }

  #spread(peer: Peer, log: ExtentSet): void {
    for (const other of this.#replication.peers.values()) {
      if (other === peer || other === this.#replication.authority) continue;
      if (this.#replication.counts(other) || other.state === 'open') other.need.addAll(log);
    }
  }

  /**
   * What the authority stamped since the replica left (all that was ever written if it was never in), both logs, and what is in doubt anyway.
   * If the authority goes meanwhile, it is asked again of the next.
   */
  #loadLearner(peer: Peer, link: object, authority: Peer): void {
    this.#loading.add(link);
    const { leftAt } = peer.member;
    const asks = [
      { peer, since: leftAt === undefined ? 0 : LOG_ONLY },
      { peer: authority, since: leftAt ?? 0 },
    ];
    askAll(asks, this.#clock.monotonicMs(), ([own, source]) => {
      if (peer.link !== link) return;
      if (!own || !source || authority !== this.#replication.authority) {
        this.#loading.delete(link);
        return;
      }
      peer.need.clear();
      for (const set of [own, source, this.#replication.gate]) peer.need.addAll(set);
      this.#opened(peer);
    });
  }

  #opened(peer: Peer): void {
    peer.wasLoaded = true;
    peer.opened(this.#clock.monotonicMs());
    this.#replication.recount();
    this.#changed();
  }
}
