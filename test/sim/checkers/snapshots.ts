/**
 * A snapshot is the volume at one instant between when it was asked for and when it was made: each piece holds what a read could have returned then,
 * and no write is in it that began after another had been acknowledged which is not (invariant 3, for all pieces at once).
 */
import { Violation } from '../violation.ts';
import type { Linearizable, WriteRequest } from './linearizable.ts';

type Times = { pieces: readonly number[]; beganAt: number; acknowledgedAt: number | null };

export class SnapshotChecker {
  readonly #clients: Linearizable;
  /** Every write, by the value that it left; zeroes are all alike, and tell nothing. */
  readonly #writes = new Map<number, Times>();
  /** Counts what happens: an order, finer than time. */
  #now = 0;
  #checked = 0;

  constructor(clients: Linearizable) {
    this.#clients = clients;
  }

  get checked(): number {
    return this.#checked;
  }

  began({ value, pieces }: WriteRequest): void {
    if (value !== 0) this.#writes.set(value, { pieces, beganAt: ++this.#now, acknowledgedAt: null });
  }

  acknowledged(value: number): void {
    const times = this.#writes.get(value);
    if (times) times.acknowledgedAt = ++this.#now;
  }

  /** What was not flushed may be gone from here on: nothing of before tells any more what must be there. */
  tellLoss(): void {
    this.#writes.clear();
  }

  /** `id` stands for a read of everything that begins now. */
  asked(id: number): void {
    this.#clients.readBegins(id, [...this.#clients.pieces.keys()]);
  }

  /** Null: there is none. */
  made(id: number, values: ReadonlyMap<number, number> | null): void {
    this.#clients.readEnds(id, values);
    if (!values) return;
    this.#checked++;
    const latest = Math.max(0, ...[...values.values()].map((value) => this.#writes.get(value)?.beganAt ?? 0));
    for (const [piece, value] of values) this.#checkNotOlder(piece, value, latest);
  }

  /** Whether a write of that piece is missing which was acknowledged before another one began that is there. */
  #checkNotOlder(piece: number, value: number, latest: number): void {
    const held = this.#writes.get(value);
    if (!held || held.acknowledgedAt === null) return;
    for (const [other, { pieces, beganAt, acknowledgedAt }] of this.#writes) {
      if (acknowledgedAt === null || acknowledgedAt > latest || beganAt < held.acknowledgedAt || !pieces.includes(piece)) continue;
      throw new Violation(
        'linearizable',
        `a snapshot has ${value} in piece ${piece}, without ${other}, and has a write that began after it`,
      );
    }
  }
}
