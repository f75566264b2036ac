/**
 * Gives the memory back that a start, or a time with much to do, has left in this thread's heap: V8 keeps room for new objects as large as it ever was, 64 MiB,
 * while hardly anything is made (measured: 100 MiB of heap, of which 35 were in use). Only a collection as before running out of memory takes it back.
 *
 * It holds the thread up for 50 ms or so: must never be used where clients are answered, nor while there is anything to do.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** So long there was nothing to do. */
export const QUIET_MS = 5_000;
/** Between two collections. */
export const COLLECT_MS = 30_000;
/** The heap has grown by so much since the last. */
export const GROWTH = 1.5;

export type Heap = {
  totalBytes(): number;
  collect(): void;
};

/** Of the thread that calls it. */
export function ownHeap(): Heap {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: object) => void;
  return {
    totalBytes: () => getHeapStatistics().total_heap_size,
    collect: () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' }),
  };
}

export class Tidier {
  readonly #heap: Heap;
  #busyAtMs: number;
  #collectedAtMs = Number.NEGATIVE_INFINITY;
  #leftBytes = 0;

  constructor(heap: Heap, nowMs: number) {
    this.#heap = heap;
    this.#busyAtMs = nowMs;
  }

  /** `isBusy`: there is something to do at once. */
  look(nowMs: number, isBusy: boolean): void {
    if (isBusy) this.#busyAtMs = nowMs;
    if (nowMs - this.#busyAtMs < QUIET_MS || nowMs - this.#collectedAtMs < COLLECT_MS) return;
    if (this.#heap.totalBytes() <= this.#leftBytes * GROWTH) return;
    this.#heap.collect();
    this.#collectedAtMs = nowMs;
    this.#leftBytes = this.#heap.totalBytes();
  }
}
