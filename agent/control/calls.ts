/**
 * How the control loop's synchronous parts use what answers later: each part has at most one call out, hears of its answer by a callback, and
 * tries again from its own `tick`. Must never hide an error that is not an operating one: that ends the program.
 */
import { isOperatingError, type OperatingError } from '../../core/errors.ts';

/** How many volumes are read, or reports written, at a time: an agent that starts with a thousand replicas asks etcd in turns. */
export const CALLS_IN_FLIGHT_MAX = 32;

const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 2_000;
const DOUBLINGS_MAX = 10;

/** How long to wait after so many failures in a row. */
export const retryDelayMs = (failures: number): number =>
  Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(DOUBLINGS_MAX, Math.max(0, failures - 1)));

/** Exactly one of the two is called, never from within. */
export function whenAnswered<Value>(
  call: Promise<Value>,
  answered: (value: Value) => void,
  unanswered: (error: OperatingError) => void,
): void {
  // What an answer's handler throws is a programmer error, and must reach the program's own handler as one.
  call.then(answered, (error: unknown) => {
    if (!isOperatingError(error)) throw error;
    unanswered(error);
  });
}

/** Room for a bounded number of calls; who finds none tries again at its next tick. */
export class CallSlots {
  #free: number;

  constructor(callsMax = CALLS_IN_FLIGHT_MAX) {
    this.#free = callsMax;
  }

  tryTake(): boolean {
    if (this.#free === 0) return false;
    this.#free--;
    return true;
  }

  release(): void {
    this.#free++;
  }
}
