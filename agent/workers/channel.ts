/**
 * The two ends between control and a worker: messages in order, each a copy. Between threads it is Node's own port (`edge/workerThreads.ts`); here is the one
 * within a thread, by which tests run the very same hosts. Must never hand a message over from within `post`.
 */

export interface Channel<Sent, Heard> {
  post(message: Sent): void;
  /** Once, before the first message is awaited; those that came earlier are kept. */
  listen(listener: (message: Heard) => void): void;
}

class End<Sent, Heard> implements Channel<Sent, Heard> {
  other: End<Heard, Sent> | null = null;
  #listener: ((message: Heard) => void) | null = null;
  #kept: Heard[] = [];

  post(message: Sent): void {
    // What cannot be cloned must fail here as it would between threads.
    const copy = structuredClone(message);
    queueMicrotask(() => this.other?.hear(copy));
  }

  listen(listener: (message: Heard) => void): void {
    this.#listener = listener;
    const kept = this.#kept;
    this.#kept = [];
    for (const message of kept) listener(message);
  }

  hear(message: Heard): void {
    if (this.#listener) this.#listener(message);
    else this.#kept.push(message);
  }
}

export function channelWithinThread<FromOne, FromOther>(): [Channel<FromOne, FromOther>, Channel<FromOther, FromOne>] {
  const one = new End<FromOne, FromOther>();
  const other = new End<FromOther, FromOne>();
  one.other = other;
  other.other = one;
  return [one, other];
}
