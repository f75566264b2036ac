/**
 * Writes to the API server beside the passes: a slow API server must not hold up a failover. One at a time for an object, a bounded number in all; what is
 * not taken now is offered again by the next pass, so nothing queues up.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';

const IN_FLIGHT_MAX = 16;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 30_000;
const DOUBLINGS_MAX = 10;

type Failure = { count: number; notBeforeMs: number };

export class KubeWrites {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onDone: () => void;
  readonly #inFlight = new Set<string>();
  readonly #failures = new Map<string, Failure>();

  constructor(clock: Clock, log: Log, onDone: () => void) {
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

  /** `key`: the object. False: not now; `onDone` is called when there may be room. */
  offer(key: string, operation: string, write: () => Promise<void>): boolean {
    if (this.#inFlight.size >= IN_FLIGHT_MAX || this.#inFlight.has(key)) return false;
    if ((this.#failures.get(key)?.notBeforeMs ?? 0) > this.#clock.monotonicMs()) return false;
    this.#inFlight.add(key);
    void this.#run(key, operation, write);
    return true;
  }

  async #run(key: string, operation: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
      this.#failures.delete(key);
    } catch (error) {
      this.#failed(key, operation, error);
    } finally {
      this.#inFlight.delete(key);
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
  }
}
