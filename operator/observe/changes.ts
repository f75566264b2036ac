/**
 * What became different in a view since it was last asked: of ten thousand entries mostly none. Level-based all the same: it compares what is there with what was,
 * and needs no word of what happened in between. Pure but for what it remembers.
 */

/** What the two kinds of views have in common. `changeCount` left out: nobody counts, so all is compared. */
export type Watched<Value> = { values: ReadonlyMap<string, Value>; changeCount: number | undefined };

export class Changes<Value> {
  readonly #isSame: (a: Value, b: Value) => boolean;
  readonly #seen = new Map<string, Value>();
  #values: ReadonlyMap<string, Value> | null = null;
  #changeCount: number | undefined;

  constructor(isSame: (a: Value, b: Value) => boolean) {
    this.#isSame = isSame;
  }

  /** `now` null: it is gone. */
  take({ values, changeCount }: Watched<Value>): { key: string; before: Value | null; now: Value | null }[] {
    if (changeCount !== undefined && changeCount === this.#changeCount && values === this.#values) return [];
    this.#changeCount = changeCount;
    this.#values = values;
    const changes: { key: string; before: Value | null; now: Value | null }[] = [];
    for (const [key, now] of values) {
      const before = this.#seen.get(key);
      if (before !== undefined && (before === now || this.#isSame(before, now))) continue;
      changes.push({ key, before: before ?? null, now });
      this.#seen.set(key, now);
    }
    if (this.#seen.size === values.size) return changes;
    for (const [key, before] of this.#seen) {
      if (values.has(key)) continue;
      changes.push({ key, before, now: null });
      this.#seen.delete(key);
    }
    return changes;
  }
}
