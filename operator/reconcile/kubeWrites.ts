/**
 * Writes to the API server beside the passes: a slow API server must not hold up a failover. One at a time for an object, a bounded number in all; of others each
 * object's latest waits its turn, so that ten thousand writes need not ten thousand passes. Every write compares the version that it was decided on: one that
 * waited too long is refused by the API server, and decided anew. Must never begin one while nothing may be written (mandate.ts), nor after this term of leadership ended.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';

const IN_FLIGHT_MAX = 16;
/** One for each object there may be; what finds no room is offered again by a later pass. */
const WAITING_MAX = 20_000;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 30_000;
const DOUBLINGS_MAX = 10;

type Offer = { operation: string; write: () => Promise<void> };
type Failure = { count: number; notBeforeMs: number };

export class KubeWrites {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onDone: () => void;
  readonly #isHeldBack: () => boolean;
  /** In the order in which they came. */
  readonly #waiting = new Map<string, Offer>();
  readonly #inFlight = new Set<string>();
  readonly #failures = new Map<string, Failure>();

  constructor(clock: Clock, log: Log, onDone: () => void, isHeldBack: () => boolean = () => false) {
    this.#isHeldBack = isHeldBack;
    this.#clock = clock;
    this.#log = log;
    this.#onDone = onDone;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  isBusy(key: string): boolean {
    return this.#inFlight.has(key);
  }

  /** `key`: the object. False: not now; it is to be offered again. */
  offer(key: string, operation: string, write: () => Promise<void>): boolean {
    if (this.#isHeldBack() || this.#inFlight.has(key)) return false;
    if ((this.#failures.get(key)?.notBeforeMs ?? 0) > this.#clock.monotonicMs()) return false;
    if (this.#inFlight.size < IN_FLIGHT_MAX) void this.#run(key, { operation, write });
    else if (this.#waiting.has(key) || this.#waiting.size < WAITING_MAX) this.#waiting.set(key, { operation, write });
    else return false;
    return true;
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#inFlight.size >= IN_FLIGHT_MAX || this.#isHeldBack()) return;
    const [key, offer] = first;
    this.#waiting.delete(key);
    void this.#run(key, offer);
  }

  async #run(key: string, { operation, write }: Offer): Promise<void> {
    this.#inFlight.add(key);
    this.#waiting.delete(key);
    try {
      await write();
      this.#failures.delete(key);
    } catch (error) {
      this.#failed(key, operation, error);
    } finally {
      this.#inFlight.delete(key);
      this.#next();
      this.#onDone();
    }
  }

  #failed(key: string, operation: string, error: unknown): void {
    // Somebody else changed it: the watch brings what it is now, and that is decided on.
    if (isOperatingError(error, 'Conflict')) return;
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const waitMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(DOUBLINGS_MAX, count - 1));
    this.#failures.set(key, { count, notBeforeMs: this.#clock.monotonicMs() + waitMs });
    this.#log.warn('a write to the API server failed', { operation, object: key, failures: count, error: messageOf(error) });
  }

  /** Failures of objects that are gone are forgotten: else the map would only grow. */
  forgetOthers(keys: ReadonlySet<string>): void {
    for (const key of this.#failures.keys()) if (!keys.has(key)) this.#failures.delete(key);
    for (const key of this.#waiting.keys()) if (!keys.has(key)) this.#waiting.delete(key);
  }
}
