/**
 * Our own transactions, over views that may not have heard of them yet. Without it a pass right after a transaction would decide on the old state: its
 * transaction would fail by its conditions (so nothing breaks), but placements would not see what was just given away. Pure.
 */
import type { Change, Entry } from '../../core/store.ts';

/** The watch that brings our change is late by more than this: believe the view. It also bounds the overlay. */
const BELIEVED_MS = 10_000;

type Own = { value: string | null; revision: string; sinceMs: number };

export class Overlay {
  readonly #own = new Map<string, Own>();

  get size(): number {
    return this.#own.size;
  }

  record(changes: readonly Change[], revision: string, nowMs: number): void {
    for (const change of changes) {
      if ('put' in change) this.#own.set(change.put, { value: change.value, revision, sinceMs: nowMs });
      else this.#own.set(change.delete, { value: null, revision, sinceMs: nowMs });
    }
  }

  /** The entries under `prefix` as they are after our own changes. Forgets what the view has caught up with. */
  over(prefix: string, entries: ReadonlyMap<string, Entry>, nowMs: number): ReadonlyMap<string, Entry> {
    if (this.#own.size === 0) return entries;
    const mine = [...this.#own].filter(([key]) => key.startsWith(prefix));
    if (mine.length === 0) return entries;
    const result = new Map(entries);
    for (const [key, own] of mine) {
      if (this.#hasCaughtUp(own, entries.get(key), nowMs)) this.#own.delete(key);
      else if (own.value === null) result.delete(key);
      else result.set(key, { key, value: own.value, revision: own.revision });
    }
    return result;
  }

  #hasCaughtUp(own: Own, entry: Entry | undefined, nowMs: number): boolean {
    if (nowMs - own.sinceMs > BELIEVED_MS) return true;
    if (entry) return BigInt(entry.revision) >= BigInt(own.revision);
    return own.value === null;
  }
}
