/**
 * etcd for the task world: keys with revisions, transactions, leases and watched prefixes, with a client for each process. What a client asks is slow,
 * lost, or happens after its client has given up or died; views are behind, each by itself; a lease may run out under a process that lives.
 */
import { OperatingError } from '../../../core/errors.ts';
import type { Change, Condition, Entry, Outcome, Store, StoreLease, View } from '../../../core/store.ts';
import type { SeededRandom } from '../../support/seededRandom.ts';
import type { Schedule } from '../schedule.ts';
import { between, delayMs } from '../seeds.ts';
import type { Tally } from '../tally.ts';
import { Violation } from '../violation.ts';

const USUAL_MS = 5;
const WORST_MS = 700;
const PATIENCE_MS = 500;

type Stored = { value: string; revision: number; lease: number | null };

/** Who asks: nothing is told to one that is gone, and one that stands still hears when it goes on. */
export interface EtcdHost {
  run(act: () => void): void;
}

/** What a transaction changed, key by key. */
export type KeyChange = { key: string; before: string | null; after: string | null };

export class Etcd {
  readonly #schedule: Schedule;
  readonly #random: SeededRandom;
  readonly #tally: Tally;
  readonly #changed: (changes: readonly KeyChange[], isLeaseEnd: boolean) => void;
  readonly #keys = new Map<string, Stored>();
  readonly #views = new Set<EtcdView>();
  #revision = 1;
  #lastLease = 0;
  readonly #leases = new Set<number>();
  #losesShare: number;
  #hasQuorum = true;

  constructor(options: {
    schedule: Schedule;
    random: SeededRandom;
    tally: Tally;
    losesShare: number;
    changed: (changes: readonly KeyChange[], isLeaseEnd: boolean) => void;
  }) {
    this.#schedule = options.schedule;
    this.#random = options.random;
    this.#tally = options.tally;
    this.#losesShare = options.losesShare;
    this.#changed = options.changed;
  }

  setQuorum(hasQuorum: boolean): void {
    this.#hasQuorum = hasQuorum;
  }

  endFaults(): void {
    this.#losesShare = 0;
    this.#hasQuorum = true;
  }

  value(key: string): string | null {
    return this.#keys.get(key)?.value ?? null;
  }

  entries(prefix: string): Entry[] {
    const keys = [...this.#keys.keys()].filter((key) => key.startsWith(prefix)).sort();
    return keys.flatMap((key) => this.entry(key) ?? []);
  }

  entry(key: string): Entry | null {
    const stored = this.#keys.get(key);
    return stored ? { key, value: stored.value, revision: String(stored.revision) } : null;
  }

  grant(): number {
    this.#leases.add(++this.#lastLease);
    return this.#lastLease;
  }

  isGranted(lease: number): boolean {
    return this.#leases.has(lease);
  }

  /** All that stands under it goes. */
  expire(lease: number): void {
    if (!this.#leases.delete(lease)) return;
    const gone = [...this.#keys].filter(([, stored]) => stored.lease === lease);
    this.#revision++;
    for (const [key] of gone) this.#keys.delete(key);
    this.#tell(
      gone.map(([key, { value }]) => ({ key, before: value, after: null })),
      true,
    );
  }

  land(conditions: readonly Condition[], changes: readonly Change[], lease: number | null): Outcome {
    if (!conditions.every((condition) => this.#holds(condition))) return { committed: false, revision: String(this.#revision) };
    const told: KeyChange[] = [];
    this.#revision++;
    for (const change of changes) {
      const key = 'put' in change ? change.put : change.delete;
      const before = this.value(key);
      if ('put' in change) this.#keys.set(key, { value: change.value, revision: this.#revision, lease: change.leased ? lease : null });
      else this.#keys.delete(key);
      told.push({ key, before, after: this.value(key) });
    }
    this.#tell(told, false);
    return { committed: true, revision: String(this.#revision) };
  }

  /** A request of a client, with all that may become of it. */
  ask<Value>(host: EtcdHost, label: string, land: () => Value): Promise<Value> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => host.run(() => this.#settled(act));
      this.#schedule.after(PATIENCE_MS, 'etcd client', () =>
        settle(() => reject(new OperatingError('Unavailable', label, 'no answer; the outcome is unknown'))),
      );
      if (this.#random.chance(this.#losesShare)) return this.#tally.count('etcd request lost');
      this.#after(label, () => {
        if (!this.#hasQuorum) return this.#tally.count('etcd unavailable');
        const answer = tried(land);
        if (this.#random.chance(this.#losesShare)) return this.#tally.count('etcd answer lost');
        this.#after('answer', () =>
          settle(() => {
            if ('error' in answer) reject(answer.error);
            else resolve(answer.value);
          }),
        );
      });
    });
  }

  view(host: EtcdHost, prefix: string, onChange: () => void): View {
    const view = new EtcdView(prefix, () => this.#views.delete(view));
    this.#views.add(view);
    view.refresh = () =>
      this.#after('watch', () =>
        host.run(() => {
          view.show(this.entries(prefix));
          onChange();
        }),
      );
    view.refresh();
    return view;
  }

  #holds(condition: Condition): boolean {
    const entry = this.entry(condition.key);
    if (condition.is === 'absent') return entry === null;
    if (condition.is === 'value') return entry?.value === condition.value;
    return entry?.revision === condition.revision;
  }

  #tell(changes: readonly KeyChange[], isLeaseEnd: boolean): void {
    this.#changed(changes, isLeaseEnd);
    for (const view of this.#views) if (changes.some(({ key }) => key.startsWith(view.prefix))) view.refresh();
  }

  #after(label: string, act: () => void): void {
    const slowMs = this.#random.chance(0.1) ? between(this.#random, 0, 2_000) : 0;
    this.#schedule.after(slowMs + delayMs(this.#random, USUAL_MS, WORST_MS), label, act);
  }

  #settled(act: () => void): void {
    this.#schedule.settled();
    act();
  }
}

function tried<Value>(land: () => Value): { value: Value } | { error: unknown } {
  try {
    return { value: land() };
  } catch (error) {
    // Whoever asked would take it for etcd's refusal, and go on.
    if (error instanceof Violation) throw error;
    return { error };
  }
}

/** What the watch has shown by now. */
class EtcdView implements View {
  readonly prefix: string;
  entries: ReadonlyMap<string, Entry> = new Map();
  isCurrent = false;
  readonly close: () => void;
  refresh: () => void = () => undefined;

  constructor(prefix: string, close: () => void) {
    this.prefix = prefix;
    this.close = close;
  }

  show(entries: readonly Entry[]): void {
    this.entries = new Map(entries.map((entry) => [entry.key, entry]));
    this.isCurrent = true;
  }
}

/** One process's client, with its lease. */
export class EtcdClient implements Store, StoreLease {
  readonly #etcd: Etcd;
  readonly #host: EtcdHost;
  #lease: number;

  constructor(etcd: Etcd, host: EtcdHost) {
    this.#etcd = etcd;
    this.#host = host;
    this.#lease = etcd.grant();
  }

  get lease(): number {
    return this.#lease;
  }

  get isAlive(): boolean {
    return this.#etcd.isGranted(this.#lease);
  }

  /** After it ran out under a process that lives. */
  renew(): void {
    if (!this.isAlive) this.#lease = this.#etcd.grant();
  }

  onGranted(): void {
    return;
  }

  revoke(): Promise<void> {
    return this.#etcd.ask(this.#host, 'revoke', () => this.#etcd.expire(this.#lease));
  }

  get(key: string): Promise<Entry | null> {
    return this.#etcd.ask(this.#host, `get ${key}`, () => this.#etcd.entry(key));
  }

  getAll(keys: readonly string[]): Promise<(Entry | null)[]> {
    return this.#etcd.ask(this.#host, `get ${keys}`, () => keys.map((key) => this.#etcd.entry(key)));
  }

  list(prefix: string): Promise<{ entries: Entry[]; revision: string }> {
    return this.#etcd.ask(this.#host, `list ${prefix}`, () => ({ entries: this.#etcd.entries(prefix), revision: '0' }));
  }

  /** What was to stand under a lease that is gone by then does not land, as in etcd. */
  commit(conditions: readonly Condition[], changes: readonly Change[]): Promise<Outcome> {
    const lease = this.#lease;
    const isLeased = changes.some((change) => 'put' in change && change.leased);
    return this.#etcd.ask(this.#host, 'commit', () => {
      if (isLeased && !this.#etcd.isGranted(lease)) throw new OperatingError('Unavailable', 'commit', 'the lease is gone');
      return this.#etcd.land(conditions, changes, lease);
    });
  }

  view(prefix: string, onChange: () => void): View {
    return this.#etcd.view(this.#host, prefix, onChange);
  }
}
