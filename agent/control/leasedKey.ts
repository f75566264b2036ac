/**
 * One key that should stand under this process's lease with a value that changes: the machine, and a report for each volume that is served here.
 *
 *   unknown --read--> seen --written under the present lease--> standing --new lease, conflict, no answer--> unknown
 *
 * It must never overwrite what another process wrote unless its owner says that this one has gone, nor delete what is not ours.
 */
import type { Clock } from '../../core/clock.ts';
import type { Change, Condition, Entry, Store, StoreLease } from '../../core/store.ts';
import { type CallSlots, retryDelayMs, whenAnswered } from './calls.ts';

/** How often a key that somebody else holds is looked at again. */
const BLOCKED_REREAD_MS = 500;

export type LeasedKeyOptions = {
  store: Store;
  lease: StoreLease;
  clock: Clock;
  slots: CallSlots;
  key: string;
  /** No more writes than one in this time, and one more that is pressing: a value that changes always would keep etcd busy. */
  intervalMs: number;
  /** Looks even if nothing is to be written, this often: has somebody taken our place? Null: never. */
  verifyMs: number | null;
  /** This process wrote it. */
  isOurs(value: string): boolean;
  /** Asked of what others wrote. */
  mayReplace(value: string): boolean;
};

export class LeasedKey {
  readonly #options: LeasedKeyOptions;
  #wanted: string | null = null;
  /** What stands there as far as we know, and may be changed by us. Undefined: look first. */
  #found: Entry | null | undefined = null;
  /** The revision that we wrote under the present lease: what we wrote under an earlier one goes with it. */
  #writtenRevision: string | null = null;
  #isBusy = false;
  #failures = 0;
  #notBeforeMs = 0;
  /** Not before this, unless it is pressing and nothing that was pressing has been written in this interval. */
  #calmUntilMs = 0;
  #isPressing = false;
  #pressedAtMs = Number.NEGATIVE_INFINITY;
  #verifiedAtMs: number;
  /** Rises with each lease: the answer to what was asked under an earlier one proves nothing. */
  #grants = 0;

  constructor(options: LeasedKeyOptions) {
    this.#options = options;
    this.#verifiedAtMs = options.clock.monotonicMs();
  }

  /** Null: nothing of ours should stand there. `isPressing`: somebody waits for it. */
  want(value: string | null, isPressing = false): void {
    if (value !== null && this.#found === null) this.#found = undefined;
    this.#wanted = value;
    this.#isPressing ||= isPressing;
  }

  /** A new lease: what stood under the old one has gone, or goes. */
  granted(): void {
    this.#grants++;
    this.#notBeforeMs = 0;
    this.#calmUntilMs = 0;
    this.#lookAgain();
  }

  /** All is as wanted. */
  get isSettled(): boolean {
    if (this.#isBusy || this.#found === undefined) return false;
    return this.#wanted === null ? this.#found === null : this.#stands && this.#found?.value === this.#wanted;
  }

  /** When a tick finds something to do, unless something is heard before. */
  get dueAtMs(): number {
    if (this.#isBusy) return Number.POSITIVE_INFINITY;
    if (!this.isSettled) return 0;
    return this.#options.verifyMs === null ? Number.POSITIVE_INFINITY : this.#verifiedAtMs + this.#options.verifyMs;
  }

  get #stands(): boolean {
    return this.#writtenRevision !== null && this.#found?.revision === this.#writtenRevision;
  }

  tick(): void {
    const { clock, verifyMs, lease, slots } = this.#options;
    // The usual case of hundreds of reports, with each tick: not even a look at the clock.
    if (this.#isBusy || (verifyMs === null && this.isSettled)) return;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#notBeforeMs || (nowMs < this.#calmUntilMs && !this.#mayPress(nowMs))) return;
    if (verifyMs !== null && this.#wanted !== null && nowMs - this.#verifiedAtMs >= verifyMs) this.#found = undefined;
    if (this.isSettled || (this.#wanted !== null && !lease.isAlive) || !slots.tryTake()) return;
    this.#isBusy = true;
    if (this.#found === undefined) this.#read(nowMs);
    else if (this.#wanted !== null) this.#put(this.#wanted, this.#found, nowMs);
    else this.#delete(this.#found);
  }

  #mayPress(nowMs: number): boolean {
    return this.#isPressing && nowMs - this.#pressedAtMs >= this.#options.intervalMs;
  }

  #lookAgain(): void {
    this.#found = undefined;
    this.#writtenRevision = null;
  }

  #read(nowMs: number): void {
    const grants = this.#grants;
    whenAnswered(
      this.#options.store.get(this.#options.key),
      (entry) => {
        this.#answered();
        if (grants === this.#grants) this.#seen(entry, nowMs);
      },
      () => this.#unanswered(),
    );
  }

  #seen(entry: Entry | null, nowMs: number): void {
    this.#verifiedAtMs = nowMs;
    if (entry === null || this.#options.isOurs(entry.value)) this.#found = entry;
    else if (this.#wanted === null) this.#found = null;
    else if (this.#options.mayReplace(entry.value)) this.#found = entry;
    else this.#notBeforeMs = nowMs + BLOCKED_REREAD_MS;
  }

  #put(value: string, found: Entry | null, nowMs: number): void {
    const { key, intervalMs } = this.#options;
    if (this.#isPressing) this.#pressedAtMs = nowMs;
    this.#isPressing = false;
    this.#commit([unchanged(key, found)], [{ put: key, value, leased: true }], (revision) => {
      this.#calmUntilMs = nowMs + intervalMs;
      this.#found = { key, value, revision };
      this.#writtenRevision = revision;
    });
  }

  #delete(found: Entry | null): void {
    const { key } = this.#options;
    this.#commit([unchanged(key, found)], [{ delete: key }], () => {
      this.#found = null;
      this.#writtenRevision = null;
    });
  }

  #commit(conditions: Condition[], changes: Change[], done: (revision: string) => void): void {
    const grants = this.#grants;
    whenAnswered(
      this.#options.store.commit(conditions, changes),
      ({ committed, revision }) => {
        this.#answered();
        if (committed && grants === this.#grants) done(revision);
        else this.#lookAgain();
      },
      () => this.#unanswered(),
    );
  }

  #answered(): void {
    this.#isBusy = false;
    this.#failures = 0;
    this.#options.slots.release();
  }

  /** It may have happened, or may still: only a look can tell. */
  #unanswered(): void {
    this.#isBusy = false;
    this.#failures++;
    this.#options.slots.release();
    this.#notBeforeMs = this.#options.clock.monotonicMs() + retryDelayMs(this.#failures);
    this.#lookAgain();
  }
}

const unchanged = (key: string, found: Entry | null): Condition =>
  found === null ? { key, is: 'absent' } : { key, is: 'revision', revision: found.revision };
