/**
 * A Store in memory with etcd's meaning, whose answers a test decides: lost before or after the change, or lost with the change landing later.
 * Everything answers in a later macrotask, so that nothing is answered from within a call.
 */
import { OperatingError } from '../../core/errors.ts';
import type { Change, Condition, Entry, Outcome, Store, StoreLease, View } from '../../core/store.ts';

/** lostBefore: never landed. lostAfter: landed, no answer. late: no answer, lands at `land()`. held: answers and lands at `release()`. */
export type Fault = 'none' | 'lostBefore' | 'lostAfter' | 'late' | 'held';

type Stored = { value: string; revision: number; leased: boolean };

const unavailable = (attempted: string) => new OperatingError('Unavailable', attempted, 'no answer; the outcome is unknown');

export class ScriptedStore implements Store {
  /** Taken from the front, one a commit; none left: `none`. */
  readonly commitFaults: Fault[] = [];
  /** How many of the next reads get no answer. */
  failingReads = 0;
  /** Keys and prefixes that were read. */
  readonly reads: string[] = [];
  /** Views stay as they are. */
  viewsAreHeld = false;
  /** Whether their word is proven. */
  viewsAreCurrent = true;
  /** Commits that changed something, in order. */
  readonly landed: { changes: readonly Change[]; revision: string }[] = [];
  readonly asked: (readonly Change[])[] = [];
  readonly #entries = new Map<string, Stored>();
  readonly #views = new Set<ScriptedView>();
  #late: (() => void)[] = [];
  #held: (() => void)[] = [];
  #revision = 1;
  /** How often all leases ended: what was to be put under one of before can no longer land, as in etcd. */
  #leaseEnds = 0;

  async get(key: string): Promise<Entry | null> {
    this.reads.push(key);
    await nextMacrotask();
    this.#failRead(`read ${key}`);
    return this.entry(key);
  }

  async getAll(keys: readonly string[]): Promise<(Entry | null)[]> {
    this.reads.push(...keys);
    await nextMacrotask();
    this.#failRead(`read ${keys}`);
    return keys.map((key) => this.entry(key));
  }

  async list(prefix: string): Promise<{ entries: Entry[]; revision: string }> {
    this.reads.push(prefix);
    await nextMacrotask();
    this.#failRead(`list ${prefix}`);
    return { entries: [...this.entriesOf(prefix).values()], revision: String(this.#revision) };
  }

  async commit(conditions: readonly Condition[], changes: readonly Change[]): Promise<Outcome> {
    const fault = this.commitFaults.shift() ?? 'none';
    this.asked.push(changes);
    if (fault === 'held') await new Promise<void>((resolve) => this.#held.push(resolve));
    else await nextMacrotask();
    const leaseEnds = this.#leaseEnds;
    if (fault === 'late') this.#late.push(() => this.#landLate(conditions, changes, leaseEnds));
    if (fault === 'lostBefore' || fault === 'late') throw unavailable('commit');
    const outcome = this.#land(conditions, changes);
    if (fault === 'lostAfter') throw unavailable('commit');
    return outcome;
  }

  view(prefix: string, onChange: () => void): View {
    const view = new ScriptedView(
      prefix,
      onChange,
      () => this.viewsAreCurrent,
      () => this.#views.delete(view),
    );
    this.#views.add(view);
    view.show(this.entriesOf(prefix));
    return view;
  }

  /** What was asked for with the fault `late` happens now, if its conditions still hold. */
  land(): void {
    const late = this.#late;
    this.#late = [];
    for (const commit of late) commit();
  }

  /** What was held happens and answers. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }

  entry(key: string): Entry | null {
    const stored = this.#entries.get(key);
    return stored ? { key, value: stored.value, revision: String(stored.revision) } : null;
  }

  entriesOf(prefix: string): Map<string, Entry> {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort();
    return new Map(keys.flatMap((key) => [[key, this.entry(key) as Entry]]));
  }

  json<Value>(key: string): Value | null {
    const entry = this.entry(key);
    return entry === null ? null : (JSON.parse(entry.value) as Value);
  }

  /** Somebody else's write, without conditions. */
  put(key: string, value: unknown, leased = false): void {
    this.#revision++;
    this.#entries.set(key, { value: typeof value === 'string' ? value : JSON.stringify(value), revision: this.#revision, leased });
    this.#changed();
  }

  delete(key: string): void {
    this.#revision++;
    this.#entries.delete(key);
    this.#changed();
  }

  /** All that was put under a lease goes. */
  expireLeases(): void {
    this.#leaseEnds++;
    for (const [key, { leased }] of this.#entries) if (leased) this.delete(key);
  }

  /** Every view says that something may be different, though nothing is. */
  touchViews(): void {
    for (const view of this.#views) view.touch();
  }

  #failRead(attempted: string): void {
    if (this.failingReads === 0) return;
    this.failingReads--;
    throw unavailable(attempted);
  }

  #landLate(conditions: readonly Condition[], changes: readonly Change[], leaseEnds: number): void {
    const isLeased = changes.some((change) => 'put' in change && change.leased);
    if (!isLeased || leaseEnds === this.#leaseEnds) this.#land(conditions, changes);
  }

  #land(conditions: readonly Condition[], changes: readonly Change[]): Outcome {
    const committed = conditions.every((condition) => this.#holds(condition));
    if (committed) {
      this.#revision++;
      for (const change of changes) {
        if ('delete' in change) this.#entries.delete(change.delete);
        else this.#entries.set(change.put, { value: change.value, revision: this.#revision, leased: change.leased === true });
      }
      this.landed.push({ changes, revision: String(this.#revision) });
      this.#changed();
    }
    return { committed, revision: String(this.#revision) };
  }

  #holds(condition: Condition): boolean {
    const entry = this.entry(condition.key);
    if (condition.is === 'absent') return entry === null;
    return condition.is === 'value' ? entry?.value === condition.value : entry?.revision === condition.revision;
  }

  #changed(): void {
    if (this.viewsAreHeld) return;
    for (const view of this.#views) view.show(this.entriesOf(view.prefix));
  }
}

class ScriptedView implements View {
  readonly prefix: string;
  readonly close: () => void;
  readonly #isCurrent: () => boolean;
  entries: ReadonlyMap<string, Entry> = new Map();
  readonly #onChange: () => void;
  #isDue = false;

  constructor(prefix: string, onChange: () => void, isCurrent: () => boolean, close: () => void) {
    this.prefix = prefix;
    this.#isCurrent = isCurrent;
    this.#onChange = onChange;
    this.close = close;
  }

  get isCurrent(): boolean {
    return this.#isCurrent();
  }

  show(entries: ReadonlyMap<string, Entry>): void {
    const same =
      entries.size === this.entries.size && [...entries].every(([key, { revision }]) => this.entries.get(key)?.revision === revision);
    this.entries = entries;
    if (!same) this.touch();
  }

  touch(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#onChange();
    });
  }
}

export class ScriptedLease implements StoreLease {
  isAlive = true;
  revoked = false;
  readonly #listeners: (() => void)[] = [];

  onGranted(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async revoke(): Promise<void> {
    this.isAlive = false;
    this.revoked = true;
  }

  grant(): void {
    this.isAlive = true;
    for (const listener of this.#listeners) listener();
  }
}

export const nextMacrotask = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Lets everything that is under way come to rest. */
export async function atRest(): Promise<void> {
  for (let round = 0; round < 12; round++) await nextMacrotask();
}
