/**
 * Flushes under way: each waits for everybody who counts in its shards, and asks again whoever lost the question with its session.
 *
 * It must never end one that somebody who counts has not answered.
 */
import type { Clock } from '../../core/clock.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

/** `asked`: by which session; a flush that was lost with its session is asked for again. */
type Flush = { isWanted: () => boolean; missing: Map<Peer, Replication>; asked: Map<Peer, object>; then: () => void };

export class Flushes {
  readonly #clock: Clock;
  readonly #active = new Set<Flush>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls back when all that was sent so far is durable on everyone counted. `isWanted`: false when nobody waits any more. */
  begin(replications: readonly Replication[], isWanted: () => boolean, then: () => void): void {
    const flush: Flush = { isWanted, missing: new Map(), asked: new Map(), then };
    for (const replication of replications) for (const peer of replication.counted) flush.missing.set(peer, replication);
    this.#active.add(flush);
    this.#step(flush);
  }

  step(): void {
    if (this.#active.size === 0) return;
    for (const flush of [...this.#active]) {
      if (flush.isWanted()) this.#step(flush);
      else this.#active.delete(flush);
    }
  }

  clear(): void {
    this.#active.clear();
  }

  /** Asks whoever has not been asked and may be; whoever counts no more is not waited for. */
  #step(flush: Flush): void {
    for (const [peer, replication] of [...flush.missing]) {
      if (!replication.counts(peer)) this.#flushed(flush, peer);
      else if (peer.link && peer.mayFlush && flush.asked.get(peer) !== peer.link) this.#ask(flush, peer, peer.link);
    }
  }

  /** Behind all that was sent there. An answer that is lost with its session is asked for again when there is another. */
  #ask(flush: Flush, peer: Peer, link: object): void {
    flush.asked.set(peer, link);
    peer.ask(
      { type: 'flush' },
      this.#clock.monotonicMs(),
      () => this.#flushed(flush, peer),
      () => undefined,
    );
  }

  #flushed(flush: Flush, peer: Peer): void {
    if (!flush.missing.delete(peer) || flush.missing.size > 0 || !this.#active.delete(flush)) return;
    flush.then();
  }
}
