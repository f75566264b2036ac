/**
 * One direction of a session within one agent: what is sent waits until the sender has returned, and is then handed over in one burst. Must never hand
 * anything over from within `send` or `end`, nor after `closed`.
 */
import { bytesOf } from '../../core/wire/chunks.ts';
import { HEADER_BYTES, type Message } from '../../core/wire/layout.ts';

/** Runs `work` later, but before anything else happens. */
export type Defer = (work: () => void) => void;

export interface Ear<Heard> {
  message(message: Heard): void;
  burstEnd(): void;
  closed(reason: string): void;
}

/** What the message would be on the wire, but for its tables. */
function sizeOf(message: Message): number {
  if (message.type === 'write' || message.type === 'data') return HEADER_BYTES + message.lengthBytes;
  if (message.type !== 'level') return HEADER_BYTES;
  return message.runs.reduce((bytes, run) => bytes + (run.data ? bytesOf(run.data) : 0), HEADER_BYTES);
}

export class Pipe<Heard extends Message> {
  readonly #defer: Defer;
  /** Null: nobody listens any more. */
  #ear: Ear<Heard> | null;
  #queue: Heard[] = [];
  #queuedBytes = 0;
  /** Set: behind what is queued comes the end, and why. */
  #end: string | null = null;
  #isDeferred = false;

  constructor(ear: Ear<Heard>, defer: Defer) {
    this.#ear = ear;
    this.#defer = defer;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  send(message: Heard): void {
    if (this.#ear === null || this.#end !== null) return;
    this.#queue.push(message);
    this.#queuedBytes += sizeOf(message);
    this.#wake();
  }

  /** What is queued is still handed over. */
  end(reason: string): void {
    if (this.#ear === null || this.#end !== null) return;
    this.#end = reason;
    this.#wake();
  }

  /** Nothing is handed over any more but the end. */
  cut(reason: string): void {
    this.#empty();
    this.end(reason);
  }

  /** Nothing at all is handed over any more. */
  deafen(): void {
    this.#ear = null;
    this.#empty();
  }

  #empty(): Heard[] {
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    return queue;
  }

  #wake(): void {
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    this.#defer(this.#handOver);
  }

  readonly #handOver = (): void => {
    this.#isDeferred = false;
    const burst = this.#empty();
    // Whoever hears may deafen this at any message.
    for (const message of burst) this.#ear?.message(message);
    if (burst.length > 0) this.#ear?.burstEnd();
    if (this.#end === null || this.#queue.length > 0) return;
    const ear = this.#ear;
    this.deafen();
    ear?.closed(this.#end);
  };
}
