/**
 * Proves again and again that the views are current: asks a quorum for its revision and lets every view show that its watch has come so far.
 * A watch alone proves nothing: one on a member that was cut off, or stopped, is simply silent. Must never touch what a view holds.
 */
import { systemClock } from '../../core/clock.ts';
import { isOperatingError } from '../../core/errors.ts';
import type { Calls } from './calls.ts';
import type { Endpoints } from './endpoints.ts';
import { currentRevision } from './store.ts';
import type { EtcdView } from './view.ts';

/** A view that is behind without knowing it knows it after this and a call's patience, at the latest. */
const PULSE_MS = 3_000;
/** Trouble asks for a pulse at once, and so does one without an answer; not oftener than this. */
const PULSE_MS_MIN = 500;

export class Pulse {
  readonly #calls: Calls;
  readonly #views = new Set<EtcdView>();
  readonly #stopListening: () => void;
  #timer: NodeJS.Timeout | null = null;
  #isAsking = false;
  #askedMs = Number.NEGATIVE_INFINITY;

  constructor(calls: Calls, endpoints: Endpoints) {
    this.#calls = calls;
    this.#stopListening = endpoints.onTrouble(() => {
      for (const view of this.#views) view.checkConnection();
      this.#schedule(Math.max(0, this.#askedMs + PULSE_MS_MIN - systemClock.monotonicMs()));
    });
  }

  add(view: EtcdView): void {
    this.#views.add(view);
    if (this.#timer === null) this.#schedule(PULSE_MS);
  }

  remove(view: EtcdView): void {
    this.#views.delete(view);
  }

  close(): void {
    this.#stopListening();
    for (const view of [...this.#views]) view.close();
    this.#views.clear();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Nobody to prove anything to: no pulse. */
  #schedule(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = this.#views.size === 0 ? null : setTimeout(() => void this.#beat(), delayMs);
  }

  async #beat(): Promise<void> {
    const [first] = this.#views;
    if (first === undefined || this.#isAsking) return this.#schedule(PULSE_MS);
    this.#isAsking = true;
    this.#askedMs = systemClock.monotonicMs();
    const asked = [...this.#views].map((view) => ({ view, question: view.ask() }));
    const revision = await this.#revision(first.prefix);
    this.#isAsking = false;
    for (const { view, question } of asked) {
      if (revision === null) view.doubt();
      else view.confirm(question, revision);
    }
    this.#schedule(revision === null ? PULSE_MS_MIN : PULSE_MS);
  }

  async #revision(key: string): Promise<bigint | null> {
    try {
      return BigInt(await currentRevision(this.#calls, key));
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      return null;
    }
  }
}
