/**
 * Questions to everybody who counts, flushes for one: each waits for all in its shards, and is asked again of whoever lost it with its session.
 *
 * It must never end one that somebody who counts has not answered.
 */
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

/** What is asked. `ask` false: not now, it is tried again at the next step. */
export type Question = {
  mayAsk: (peer: Peer) => boolean;
  ask: (peer: Peer, replication: Replication, answered: () => void) => boolean;
};

/** `asked`: by which session; what was lost with its session is asked again. */
type Inquiry = { isWanted: () => boolean; missing: Map<Peer, Replication>; asked: Map<Peer, object>; then: () => void };

export class Inquiries {
  readonly #question: Question;
  readonly #active = new Set<Inquiry>();

  constructor(question: Question) {
    this.#question = question;
  }

  /** Calls back when everyone who counts has answered. `isWanted`: false when nobody waits any more. */
  begin(replications: readonly Replication[], isWanted: () => boolean, then: () => void): void {
    const inquiry: Inquiry = { isWanted, missing: new Map(), asked: new Map(), then };
    for (const replication of replications) for (const peer of replication.counted) inquiry.missing.set(peer, replication);
    this.#active.add(inquiry);
    this.#step(inquiry);
  }

  step(): void {
    if (this.#active.size === 0) return;
    for (const inquiry of [...this.#active]) {
      if (inquiry.isWanted()) this.#step(inquiry);
      else this.#active.delete(inquiry);
    }
  }

  clear(): void {
    this.#active.clear();
  }

  /** Asks whoever has not been asked and may be; whoever counts no more is not waited for. */
  #step(inquiry: Inquiry): void {
    for (const [peer, replication] of [...inquiry.missing]) {
      if (!replication.counts(peer)) this.#answered(inquiry, peer);
      else if (peer.link && this.#question.mayAsk(peer) && inquiry.asked.get(peer) !== peer.link) {
        this.#ask(inquiry, peer, replication, peer.link);
      }
    }
  }

  /** An answer that is lost with its session is asked for again when there is another. */
  #ask(inquiry: Inquiry, peer: Peer, replication: Replication, link: object): void {
    inquiry.asked.set(peer, link);
    if (!this.#question.ask(peer, replication, () => this.#answered(inquiry, peer))) inquiry.asked.delete(peer);
  }

  #answered(inquiry: Inquiry, peer: Peer): void {
    if (!inquiry.missing.delete(peer) || inquiry.missing.size > 0 || !this.#active.delete(inquiry)) return;
    inquiry.then();
  }
}

/** Behind all that was sent there: durable when it is answered. */
export const flushQuestion = (nowMs: () => number): Question => ({
  mayAsk: (peer) => peer.mayFlush,
  ask: (peer, _, answered) => {
    peer.ask({ type: 'flush' }, nowMs(), answered, () => undefined);
    return true;
  },
});
