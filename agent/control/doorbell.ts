/**
 * Wakes the control loop: whatever reaches control from outside, an answer of etcd, a change of what it watches, a worker's word, passes through here, so the loop
 * may sleep until something is due. Must never do anything itself but ring: what was heard is acted on by whoever asked, and by the tick that follows.
 */
import type { Store } from '../../core/store.ts';
import type { Channel } from '../workers/channel.ts';

/** Said again and again, also where nothing happens: no reason to look. */
const CHATTER: ReadonlySet<string> = new Set(['pong', 'log', 'metrics']);

export class Doorbell {
  #wake: (() => void) | null = null;

  /** Until then nobody sleeps. */
  answer(wake: () => void): void {
    this.#wake = wake;
  }

  readonly ring = (): void => this.#wake?.();

  store(store: Store): Store {
    return {
      get: (key) => this.#answered(store.get(key)),
      getAll: (keys) => this.#answered(store.getAll(keys)),
      list: (prefix) => this.#answered(store.list(prefix)),
      commit: (conditions, changes) => this.#answered(store.commit(conditions, changes)),
      view: (prefix, onChange) =>
        store.view(prefix, () => {
          this.ring();
          onChange();
        }),
    };
  }

  channel<Sent, Heard extends { type: string }>(channel: Channel<Sent, Heard>): Channel<Sent, Heard> {
    return {
      post: (message) => channel.post(message),
      listen: (listener) =>
        channel.listen((message) => {
          if (!CHATTER.has(message.type)) this.ring();
          listener(message);
        }),
    };
  }

  /** Whoever waits for it hears of it in this turn, and the tick comes in a later one. */
  #answered<Value>(call: Promise<Value>): Promise<Value> {
    call.then(this.ring, this.ring);
    return call;
  }
}
