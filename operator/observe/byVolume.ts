/** The entries of a view by what they belong to (a volume), kept as they change. */

const NOTHING: ReadonlyMap<string, never> = new Map<string, never>();

export class Index<Value> {
  readonly #byBucket = new Map<string, Map<string, Value>>();
  readonly #bucketOf = new Map<string, string>();

  /** Adds to `touched` what something was changed of. */
  apply(changes: readonly { key: string; now: Value | null }[], bucketOf: (value: Value) => string, touched: Set<string>): void {
    for (const { key, now } of changes) {
      const before = this.#bucketOf.get(key);
      if (before !== undefined) {
        touched.add(before);
        this.#remove(before, key);
      }
      if (now !== null) touched.add(this.#add(bucketOf(now), key, now));
    }
  }

  of(bucket: string): ReadonlyMap<string, Value> {
    return this.#byBucket.get(bucket) ?? NOTHING;
  }

  #add(bucket: string, key: string, value: Value): string {
    const entries = this.#byBucket.get(bucket);
    if (entries) entries.set(key, value);
    else this.#byBucket.set(bucket, new Map([[key, value]]));
    this.#bucketOf.set(key, bucket);
    return bucket;
  }

  #remove(bucket: string, key: string): void {
    const entries = this.#byBucket.get(bucket);
    entries?.delete(key);
    if (entries?.size === 0) this.#byBucket.delete(bucket);
    this.#bucketOf.delete(key);
  }
}
