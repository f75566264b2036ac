/** Work on one thing goes one after the other, in the order it came, whatever becomes of that before. How much of it there may be is bounded by whoever asks. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Rejects with the reason of `signal` when that is aborted before the turn comes: then nothing was begun. */
  async take<Result>(key: string, work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const turn = before.then(() => {
      signal?.throwIfAborted();
      return work();
    });
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, settled);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    }
  }
}
