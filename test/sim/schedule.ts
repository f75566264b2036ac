/**
 * Virtual time: one queue of events, worked off in the order of their times and, among equals, of their making. Nothing else moves the clock,
 * and nothing in a run waits for anything real. Every event goes into the trace's hash: the same seed gives the same hash.
 */
type Event = { atMs: number; order: number; label: string; act: () => void };

const FNV_PRIME = 0x01000193;

export class Schedule {
  #nowMs = 0;
  #order = 0;
  #events = 0;
  #hash = 0x811c9dc5;
  #hasSettled = false;
  /** A binary heap. */
  readonly #heap: Event[] = [];
  /** What is told of each event, when somebody wants to read along. */
  readonly #tell: ((line: string) => void) | null;

  constructor(tell: ((line: string) => void) | null = null) {
    this.#tell = tell;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get eventCount(): number {
    return this.#events;
  }

  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  after(delayMs: number, label: string, act: () => void): void {
    this.#push({ atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, label, act });
  }

  /** False: nothing is left to happen. */
  runNext(): boolean {
    const event = this.#pop();
    if (!event) return false;
    this.#nowMs = event.atMs;
    this.#events++;
    this.#mix(`${event.label}@${event.atMs.toFixed(3)}`);
    event.act();
    return true;
  }

  /** A promise was settled within this event: what waits for it comes before the next one. */
  settled(): void {
    this.#hasSettled = true;
  }

  takeSettled(): boolean {
    const hasSettled = this.#hasSettled;
    this.#hasSettled = false;
    return hasSettled;
  }

  /** Something worth reading that happened within an event. */
  trace(text: string): void {
    this.#mix(text);
    this.#tell?.(`${this.#nowMs.toFixed(2).padStart(10)} ${text}`);
  }

  #mix(text: string): void {
    let hash = this.#hash;
    for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
    this.#hash = hash;
  }

  #isBefore(one: Event, other: Event): boolean {
    return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    heap.push(event);
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (!above || !this.#isBefore(event, above)) break;
      heap[at] = above;
      heap[parent] = event;
      at = parent;
    }
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (!left) break;
      if (right && this.#isBefore(right, left)) child++;
      const smaller = heap[child];
      if (!smaller || !this.#isBefore(smaller, last)) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
