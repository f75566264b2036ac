/**
 * A prefix of etcd kept current: listed from a quorum, then watched from that revision; listed again whenever the watch ended, or may have.
 * Must never call itself current on the word of one member alone.
 *
 * States: listing -> opening -> watching; from each back to listing, after a pause, when anything fails. `isCurrent` only in watching, and there
 * only while the pulse (`pulse.ts`) keeps proving that the watch has told everything a quorum knew a moment ago.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Entry, View } from '../../core/store.ts';
import type { Connection, Endpoints } from './endpoints.ts';
import { listEntries, type Reads } from './store.ts';
import { openWatch, type Watch, type WatchEvent } from './watch.ts';

const RELIST_PAUSE_MS_MIN = 100;
const RELIST_PAUSE_MS_MAX = 2_000;
/** A watch that lived so long was a good one: the next pause begins small again. */
const CALM_MS = 5_000;
/** To be created, or to tell how far it is; a watch that takes longer is given up. */
const WATCH_ANSWER_MS_MAX = 2_000;
/** A watch that is still catching up gives no answer, or an early one: it is asked again. */
const PROGRESS_PAUSE_MS = 200;
/** No proof is believed for longer: this process may itself have stood still. A pulse, a call's patience and a watch's answer. */
const PROOF_MS_MAX = 8_000;

/** What was known when the pulse asked. */
export type Question = { readonly askedMs: number; readonly seenRevision: bigint };

export type ViewPorts = {
  calls: Reads;
  endpoints: Pick<Endpoints, 'current'>;
  clock: Clock;
  log: Log;
  random: () => number;
  countListing: () => void;
};

export class EtcdView implements View {
  readonly prefix: string;
  readonly #ports: ViewPorts;
  readonly #onChange: () => void;
  readonly #onClose: (view: EtcdView) => void;
  #entries = new Map<string, Entry>();
  #isCurrent = false;
  #isClosed = false;
  #isChangeDue = false;
  #failures = 0;
  #watch: Watch | null = null;
  #connection: Connection | null = null;
  #isCreated = false;
  #watchingSinceMs = 0;
  #listedRevision = 0n;
  /** The latest that was listed or watched. */
  #seenRevision = 0n;
  #changeCount = 0;
  /** When a quorum was asked for what this view is known to hold. */
  #provenMs = Number.NEGATIVE_INFINITY;
  /** What the pulse wants to see; null: nothing is asked. */
  #awaited: { revision: bigint; askedMs: number } | null = null;
  #patience: NodeJS.Timeout | null = null;
  #pause: NodeJS.Timeout | null = null;
  #question: NodeJS.Timeout | null = null;

  constructor(prefix: string, ports: ViewPorts, onChange: () => void, onClose: (view: EtcdView) => void) {
    this.prefix = prefix;
    this.#ports = ports;
    this.#onChange = onChange;
    this.#onClose = onClose;
    void this.#list();
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries;
  }

  get changeCount(): number {
    return this.#changeCount;
  }

  get isCurrent(): boolean {
    return this.#isCurrent && this.#ports.clock.monotonicMs() - this.#provenMs <= PROOF_MS_MAX;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isCurrent = false;
    this.#dropWatch();
    if (this.#pause !== null) clearTimeout(this.#pause);
    this.#onClose(this);
  }

  /** A pulse begins. */
  ask(): Question {
    return { askedMs: this.#ports.clock.monotonicMs(), seenRevision: this.#seenRevision };
  }

  /** The pulse's answer: a quorum was at this revision; the watch must say that it is too. */
  confirm({ askedMs, seenRevision }: Question, revision: bigint): void {
    if (this.#watch === null || !this.#isCreated) return;
    // Restored from a backup: a watch from a revision that is still to come would be silent, and what is held here is of another past.
    if (revision < seenRevision) return this.#restart(`etcd went back from revision ${seenRevision} to ${revision}`);
    this.#awaited = { revision, askedMs };
    this.#askProgress();
    this.#expectAnswer('the watch does not tell how far it is');
  }

  /** The pulse had no answer: nobody knows what is behind what. */
  doubt(): void {
    if (this.#isCreated) this.#answered();
    this.#awaited = null;
    this.#setCurrent(false);
  }

  /** The connection in use has become another: a watch on the old one may be silent for ever. */
  checkConnection(): void {
    if (this.#watch !== null && this.#connection !== this.#ports.endpoints.current()) this.#restart('another member is asked now');
  }

  async #list(): Promise<void> {
    const askedMs = this.#ports.clock.monotonicMs();
    try {
      this.#ports.countListing();
      const { entries, revision } = await listEntries(this.#ports.calls, this.prefix);
      if (this.#isClosed) return;
      this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
      this.#changeCount++;
      this.#listedRevision = BigInt(revision);
      this.#seenRevision = this.#listedRevision;
      this.#provenMs = askedMs;
      this.#changed();
      this.#startWatch();
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      this.#restart(error.message);
    }
  }

  /** From the listed revision and not the next one: of a watch whose beginning is still to come, etcd does not tell how far it is. */
  #startWatch(): void {
    this.#connection = this.#ports.endpoints.current();
    this.#isCreated = false;
    this.#watch = openWatch(this.#connection, this.prefix, this.#listedRevision, {
      onCreated: () => this.#created(),
      onEvents: (events) => this.#apply(events),
      onProgress: (revision) => this.#progressed(BigInt(revision)),
      onEnd: (reason) => this.#restart(reason),
    });
    this.#expectAnswer('the watch was not created in time');
  }

  #created(): void {
    this.#isCreated = true;
    this.#watchingSinceMs = this.#ports.clock.monotonicMs();
    this.#answered();
    this.#setCurrent(true);
  }

  #apply(events: readonly WatchEvent[]): void {
    const news = events.filter(({ revision }) => BigInt(revision) > this.#listedRevision);
    for (const { key, value, revision } of news) {
      if (value === null) this.#entries.delete(key);
      else this.#entries.set(key, { key, value, revision });
      this.#seenRevision = BigInt(revision);
    }
    if (news.length === 0) return;
    this.#changeCount++;
    this.#changed();
  }

  #progressed(revision: bigint): void {
    if (this.#awaited === null || revision < this.#awaited.revision) return;
    const wasCurrent = this.isCurrent;
    this.#provenMs = this.#awaited.askedMs;
    this.#isCurrent = true;
    this.#awaited = null;
    this.#answered();
    if (!wasCurrent) this.#changed();
  }

  /** Again and again while it is awaited; the patience for it ends that. */
  #askProgress(): void {
    if (this.#question !== null) clearTimeout(this.#question);
    this.#question = null;
    if (this.#awaited === null || this.#watch === null) return;
    this.#watch.askProgress();
    this.#question = setTimeout(() => this.#askProgress(), PROGRESS_PAUSE_MS);
  }

  #restart(reason: string): void {
    if (this.#isClosed || this.#pause !== null) return;
    const isCalm = this.#watch !== null && this.#isCreated && this.#ports.clock.monotonicMs() - this.#watchingSinceMs >= CALM_MS;
    this.#failures = isCalm ? 0 : this.#failures + 1;
    this.#dropWatch();
    this.#setCurrent(false);
    const fullMs = Math.min(RELIST_PAUSE_MS_MAX, RELIST_PAUSE_MS_MIN * 2 ** Math.min(10, this.#failures));
    // Half of it by chance: a thousand agents shall not come back at one moment.
    const pauseMs = fullMs * (0.5 + this.#ports.random() / 2);
    this.#ports.log.debug('view lists again', { prefix: this.prefix, reason, pauseMs: Math.round(pauseMs) });
    this.#pause = setTimeout(() => {
      this.#pause = null;
      void this.#list();
    }, pauseMs);
  }

  #dropWatch(): void {
    this.#answered();
    this.#awaited = null;
    this.#watch?.close();
    this.#watch = null;
    this.#connection = null;
    this.#isCreated = false;
  }

  #expectAnswer(reason: string): void {
    if (this.#patience !== null) return;
    this.#patience = setTimeout(() => {
      this.#patience = null;
      this.#restart(reason);
    }, WATCH_ANSWER_MS_MAX);
  }

  #answered(): void {
    if (this.#patience !== null) clearTimeout(this.#patience);
    this.#patience = null;
  }

  #setCurrent(isCurrent: boolean): void {
    if (this.#isCurrent === isCurrent) return;
    this.#isCurrent = isCurrent;
    this.#changed();
  }

  /** At most one call a macrotask, however many events a batch held. */
  #changed(): void {
    if (this.#isChangeDue || this.#isClosed) return;
    this.#isChangeDue = true;
    setImmediate(() => {
      this.#isChangeDue = false;
      if (!this.#isClosed) this.#onChange();
    });
  }
}
