/**
 * When each pool was last asked for a sign of life, and last gave one, to any primary of this thread. A volume at rest that knows that a pool has just answered
 * another need not ask by itself: else a hundred idle volumes would ask the same two agents a hundred times. Must never vouch for a session: what is known is that
 * the pool's thread answers, and the network to it; whoever has asked anything by himself waits for his own answer.
 */
import type { Member } from '../../core/config.ts';

type Place = Pick<Member, 'node' | 'pool'>;
type Seen = { askedAtMs: number; answeredAtMs: number };

/** Far more than one node has replicas on; whoever is not kept is asked by everybody. */
const POOLS_MAX = 4_096;

export class Witness {
  readonly #pools = new Map<string, Seen>();

  asked(place: Place, nowMs: number): void {
    const seen = this.#seen(place);
    if (seen) seen.askedAtMs = nowMs;
  }

  answered(place: Place, nowMs: number): void {
    const seen = this.#seen(place);
    if (seen) seen.answeredAtMs = nowMs;
  }

  /** Until when nobody need ask: it has answered within `periodMs`, or was asked within `patienceMs` and may be about to. Later than now, or it is asked. */
  vouchesUntilMs({ node, pool }: Place, periodMs: number, patienceMs: number): number {
    const seen = this.#pools.get(`${node} ${pool}`);
    return seen ? Math.max(seen.answeredAtMs + periodMs, seen.askedAtMs + patienceMs) : Number.NEGATIVE_INFINITY;
  }

  #seen({ node, pool }: Place): Seen | null {
    const key = `${node} ${pool}`;
    const known = this.#pools.get(key);
    if (known || this.#pools.size >= POOLS_MAX) return known ?? null;
    const seen: Seen = { askedAtMs: Number.NEGATIVE_INFINITY, answeredAtMs: Number.NEGATIVE_INFINITY };
    this.#pools.set(key, seen);
    return seen;
  }
}
