/** The consistent store (etcd) as both programs see it. Interfaces only; `edge/etcd` implements them. */

export type Entry = {
  key: string;
  value: string;
  /** Of the last change of this key; decimal. Compare it to change only what was read. */
  revision: string;
};

export type Condition =
  | { key: string; is: 'absent' }
  | { key: string; is: 'value'; value: string }
  | { key: string; is: 'revision'; revision: string };

export type Change =
  /** `leased`: the key goes when this process's lease does. `expiresAfterSeconds`: the key goes by itself. */
  { put: string; value: string; leased?: true; expiresAfterSeconds?: number } | { delete: string };

export type Outcome = {
  /** False: a condition did not hold and nothing was changed. */
  committed: boolean;
  /** The store's revision at that moment; decimal. */
  revision: string;
};

/**
 * A prefix as it is, kept current by a watch that lists again whenever it may have missed something. Level-based: `onChange` only says that
 * something may be different, and callers look at all of it.
 */
export interface View {
  readonly entries: ReadonlyMap<string, Entry>;
  /** False until the first listing, and while the view may be behind (the store does not answer). */
  readonly isCurrent: boolean;
  /** Rises with every change of `entries`, so that who looks at all of it need not when nothing changed. Left out: nobody counts. */
  readonly changeCount?: number;
  close(): void;
}

/**
 * Every method rejects with OperatingError `Unavailable` when the store gives no answer in time. For `commit` that means that the outcome is
 * unknown: it may have happened, or may still happen.
 */
export interface Store {
  /** Linearizable. */
  get(key: string): Promise<Entry | null>;
  /** The same of several, each in its place; all of one revision. */
  getAll(keys: readonly string[]): Promise<(Entry | null)[]>;
  /** Linearizable; all of one revision. */
  list(prefix: string): Promise<{ entries: Entry[]; revision: string }>;
  /** All changes if all conditions hold, else none. */
  commit(conditions: readonly Condition[], changes: readonly Change[]): Promise<Outcome>;
  view(prefix: string, onChange: () => void): View;
}

/** This process's lease: what it put `leased` vanishes when the process does. */
export interface StoreLease {
  /** False while the lease is not known to live: then nothing can be put under it. */
  readonly isAlive: boolean;
  /** Called with every newly granted lease, also the first: put again what must stand under it. */
  onGranted(listener: () => void): void;
  /** Gives the lease up at once, with all that stands under it. */
  revoke(): Promise<void>;
}
