/**
 * Waiting for something to become true, with a bound: there is no other way to wait in the local cluster and its tests.
 * Never a sleep for a time that somebody guessed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LocalClusterError } from './errors.ts';

export type Awaited<T> = { value: T } | { reason: string };

const POLL_INTERVAL_MS = 50;

/**
 * Asks until `observe` gives a value; then gives that. `observe` says why not yet; the last reason is in the error. Errors that it throws are not
 * waited out.
 */
export async function waitFor<T>(
  what: string,
  boundMs: number,
  observe: () => Promise<Awaited<T>>,
  intervalMs = POLL_INTERVAL_MS,
): Promise<T> {
  const endMs = performance.now() + boundMs;
  for (;;) {
    const observed = await observe();
    if ('value' in observed) {
      return observed.value;
    }
    if (performance.now() >= endMs) {
      throw new LocalClusterError(`${what} did not happen within ${Math.round(boundMs / 1000)} s: ${observed.reason}.`);
    }
    await delay(intervalMs);
  }
}
