/** Waiting with the machine's clock. */

/** Resolves after `forMs`, or at once when `signal` is aborted; never rejects. */
export const sleep = (forMs: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, forMs);
    signal?.addEventListener('abort', end);
  });
