/**
 * Operations that were sent and are not settled yet, in sequence. They are settled in order: the front one when everyone who counts has applied it,
 * and, where it was sent under a config in which a replica was in sync that has left since, has applied the restamp that followed.
 *
 * It must never forget an operation that is not settled, whatever became of the client: it is sent again to a replica that comes back.
 */
import { assert } from '../../core/assert.ts';
import { firstExtent, lastExtent } from '../../core/extent.ts';
import type { Operation } from '../../core/wire/messages.ts';
import type { WriteDone } from '../ports.ts';
import { touchedExtents } from '../replica/apply.ts';

export type InFlightOperation = {
  operation: Operation;
  /** Settled when everyone has applied this sequence: its own, or that of its last restamp. */
  barrier: number;
  /** Told when settled or given up; null when nobody waits any more. */
  done: WriteDone | null;
  /** What waits for this one to be settled: overlapping reads, mostly. */
  waiters: Set<() => void> | null;
};

const COMPACT_AT = 1_024;

const bytesOf = (operation: Operation): number => (operation.type === 'write' ? operation.lengthBytes : 0);

function overlaps(operation: Operation, offsetBytes: number, lengthBytes: number): boolean {
  if (operation.type === 'restamp') {
    const first = firstExtent(offsetBytes);
    const last = lastExtent(offsetBytes, lengthBytes);
    return operation.extents.some((extent) => extent >= first && extent <= last);
  }
  return operation.offsetBytes < offsetBytes + lengthBytes && offsetBytes < operation.offsetBytes + operation.lengthBytes;
}

export class InFlight {
  #queue: (InFlightOperation | undefined)[] = [];
  #head = 0;
  #bytes = 0;
  #last = 0;

  get count(): number {
    return this.#queue.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Sequence of the last operation sent. */
  get last(): number {
    return this.#last;
  }

  /** Every operation up to this one is settled. */
  get settled(): number {
    return this.#last - this.count;
  }

  add(entry: InFlightOperation): void {
    const { sequence } = entry.operation;
    // The sentence is put together only when it is needed: this is each write's way.
    if (sequence !== this.#last + 1) assert(false, `operation ${sequence} after ${this.#last}`);
    this.#last = sequence;
    this.#bytes += bytesOf(entry.operation);
    this.#queue.push(entry);
  }

  front(): InFlightOperation | null {
    return this.#queue[this.#head] ?? null;
  }

  removeFront(): void {
    const entry = this.#queue[this.#head];
    assert(entry, 'nothing is in flight');
    this.#bytes -= bytesOf(entry.operation);
    this.#queue[this.#head] = undefined;
    this.#head++;
    if (this.#head < COMPACT_AT && this.#head < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  *[Symbol.iterator](): Iterator<InFlightOperation> {
    for (let index = this.#head; index < this.#queue.length; index++) {
      const entry = this.#queue[index];
      if (entry) yield entry;
    }
  }

  /**
   * The last write or zero that shares a byte with the range, or restamp that shares an extent, for a levelling is over when its restamp is
   * settled: a reader waits for it, and with it for all before.
   */
  lastOverlapping(offsetBytes: number, lengthBytes: number): InFlightOperation | null {
    for (let index = this.#queue.length - 1; index >= this.#head; index--) {
      const entry = this.#queue[index];
      if (entry && overlaps(entry.operation, offsetBytes, lengthBytes)) return entry;
    }
    return null;
  }

  /** The extents that must be stamped again because a replica left under `version`. */
  extentsToRestamp(version: number): Set<number> {
    const extents = new Set<number>();
    for (const entry of this)
      if (entry.operation.version < version) for (const extent of touchedExtents(entry.operation)) extents.add(extent);
    return extents;
  }

  /** Nothing sent under an earlier config is settled before `sequence` is. */
  raiseBarriers(version: number, sequence: number): void {
    for (const entry of this) if (entry.operation.version < version) entry.barrier = Math.max(entry.barrier, sequence);
  }
}
