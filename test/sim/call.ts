/**
 * A promise that is settled within an event: whoever waits for it runs at once, so that a run stays one queue of events. Only for code that does
 * nothing with it but `then`, as the agent's control loop does.
 */
type Listener<Value> = { answered: (value: Value) => unknown; unanswered: (error: unknown) => unknown };

export class Call<Value> {
  #listener: Listener<Value> | null = null;
  #isSettled = false;

  /** As the caller sees it. */
  get promise(): Promise<Value> {
    return this as unknown as Promise<Value>;
  }

  // biome-ignore lint/suspicious/noThenProperty: it stands in for a promise
  then(answered: (value: Value) => unknown, unanswered: (error: unknown) => unknown): void {
    this.#listener = { answered, unanswered };
  }

  resolve(value: Value): void {
    this.#settle()?.answered(value);
  }

  reject(error: Error): void {
    this.#settle()?.unanswered(error);
  }

  #settle(): Listener<Value> | null {
    if (this.#isSettled) return null;
    this.#isSettled = true;
    return this.#listener;
  }
}
