/** Waiting with the machine's clock. */
import type { Timers } from '../ports.ts';

export const systemTimers: Timers = {
  sleep: (forMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, forMs);
      signal?.addEventListener('abort', end);
    }),
};
