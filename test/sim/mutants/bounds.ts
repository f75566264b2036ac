/** Rules that keep queues and tables below their maxima; each with maxima so small that a few clients reach them. */
import { type Mutant, mutant } from './mutant.ts';

const FRONTEND = 'agent/primary/frontend.ts';

export const BOUNDS: readonly Mutant[] = [
  mutant('operationsUnbounded', 10, 'no more operations are in flight than a shard has room for', [
    'agent/primary/replication.ts',
    'return this.inFlight.count < OPERATIONS_IN_FLIGHT_MAX;',
    'return this.inFlight.count >= 0;',
  ]),
  mutant('waitingUnbounded', 10, 'no more requests wait than there is room for: the next one fails', [
    FRONTEND,
    'if (this.#waiting.length < WAITING_MAX) this.#waiting.push(pending);',
    'if (this.#waiting.length >= 0) this.#waiting.push(pending);',
  ]),
  mutant('heldUnbounded', 10, 'no more requests wait for the limits than there is room for', [
    'agent/primary/throttle.ts',
    'if (this.#held.length < THROTTLED_MAX) this.#held.push(held);',
    'if (this.#held.length >= 0) this.#held.push(held);',
  ]),
  mutant('pingsUnbounded', 10, 'one that does not answer is not pinged without end', [
    'agent/primary/peer.ts',
    'if (this.#pings.length >= PINGS_MAX) return false;',
    '',
  ]),
  mutant('levelsUnbounded', 10, 'so many extents are made equal at once, and no more', [
    'agent/primary/leveller.ts',
    'if (this.#active.size >= most || !this.#allowance.isLeft) return;',
    'if (!this.#allowance.isLeft) return;',
  ]),
  mutant('snapshotsUnbounded', 10, 'so many snapshots wait, and no more', [
    'agent/primary/snapshot.ts',
    'if (this.#waiting.length >= SNAPSHOTS_WAITING_MAX) return',
    'if (this.#waiting.length < 0) return',
  ]),
];
