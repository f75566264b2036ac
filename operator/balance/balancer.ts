/** When the balance is looked at: now and then, and seldom while nothing helps. One term of leadership; the next begins with nothing of it. */
import type { ReplicaId } from '../../core/ids.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import type { World } from '../volume/decision.ts';
import { type Balancing, balance, notBalancing, type Rebalance } from './balance.ts';
import type { Move } from './move.ts';

const INTERVAL_MS = 5_000;
/** Out of balance, and no move that would help: whatever changes that is not in a hurry. */
const VAIN_INTERVAL_MS = 15_000;

export class Balancer {
  readonly #mode: Rebalance;
  #dueMs = Number.NEGATIVE_INFINITY;
  #balancing: Balancing = notBalancing;

  constructor(mode: Rebalance) {
    this.#mode = mode;
  }

  /** What this pass may begin; nothing in most. A move that was not begun is planned anew. */
  moves(volumes: Iterable<ObservedVolume>, world: World): ReadonlyMap<ReplicaId, Move> {
    const nowMs = world.now.monotonicMs;
    if (nowMs < this.#dueMs) return new Map();
    const { moves, balancing } = balance([...volumes], world, this.#balancing, this.#mode);
    this.#balancing = balancing;
    const isVain = moves.length === 0 && (balancing.isSpreading || balancing.pressed.size > 0) && world.replacements.left > 0;
    this.#dueMs = nowMs + (isVain ? VAIN_INTERVAL_MS : INTERVAL_MS);
    return new Map(moves.map((move) => [move.replica, move]));
  }
}
