/**
 * One session of a replica with a primary: what came in waits in one queue and is worked off in order. What is still queued when the session
 * ends is dropped whole; what was applied stays.
 *
 * It must never write to an extent that is not durable in the intent log, nor apply anything after `stop`.
 */
import { unreachable } from '../../core/assert.ts';
import { EXTENT_BYTES, extentLength, firstExtent, lastExtent } from '../../core/extent.ts';
import type { InstanceId } from '../../core/ids.ts';
import { ALLOCATION_RUNS_MAX, type FromReplica, LOG_ONLY, type Operation, type Request, type ToReplica } from '../../core/wire/messages.ts';
import { IoError, type ReplicaStore } from '../ports.ts';
import type { ReplicaLink, ReplicaSession } from '../replication/link.ts';
import { applyLevel, applyOperation, touchedExtents } from './apply.ts';
import { digestBlocks } from './digest.ts';

/** A primary never has more outstanding; one that does breaks the protocol. */
export const QUEUED_MESSAGES_MAX = 65_536;
export const QUEUED_BYTES_MAX = 256 * 1024 * 1024;
/** How many queued messages are looked at to gather extents for one commit of the intent log. */
const COMMIT_LOOKAHEAD_MAX = 1_024;
/** An extent stays in the log this long after its last write, so that a hot one is not logged anew each time. */
export const COOL_MS = 1_000;
const CLEAN_EXTENTS_MAX = 65_536;

type Holder = { epoch: number; instance: InstanceId };

/** What a session needs of its replica. */
interface Owner {
  /** Calls back when the lease is granted. */
  grantLease(session: Session, holder: Holder, leaseMs: number, granted: () => void): void;
  voidLease(session: Session): void;
  holderOf(session: Session): Holder | null;
  sessionClosed(session: Session, reason: string): void;
  ioFailed(session: Session, error: IoError): void;
}

type Queued = Operation | Request;
type Touch = { sequence: number; atMs: number };

export class Session implements ReplicaSession {
  readonly epoch: number;
  readonly #replica: Owner;
  readonly #store: ReplicaStore;
  readonly #link: ReplicaLink;
  readonly #nowMs: () => number;
  readonly #protocolError: (rule: string) => void;
  #state: 'promising' | 'open' | 'stopped' = 'promising';
  #queue: Queued[] = [];
  #head = 0;
  #queuedBytes = 0;
  #committing = false;
  /** Last operation received, applied, and told as applied. */
  #received = 0;
  #applied = 0;
  #told = 0;
  #settled = 0;
  #mayClean = false;
  /** Extents written in this session: by which operation last, and when. */
  readonly #touched = new Map<number, Touch>();
  /** While a clean runs: what was touched since it began, which its flush may not have made durable. */
  #touchedWhileCleaning: Set<number> | null = null;

  constructor(options: {
    replica: Owner;
    store: ReplicaStore;
    link: ReplicaLink;
    epoch: number;
    nowMs: () => number;
    protocolError: (rule: string) => void;
  }) {
    this.#replica = options.replica;
    this.#store = options.store;
    this.#link = options.link;
    this.epoch = options.epoch;
    this.#nowMs = options.nowMs;
    this.#protocolError = options.protocolError;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get mayClean(): boolean {
    return this.#mayClean;
  }

  open(sealed: FromReplica): void {
    this.#state = 'open';
    this.#link.send(sealed);
  }

  message(message: ToReplica): void {
    if (this.#state === 'stopped') return;
    if (this.#state === 'promising') return this.#violate(`${message.type} before the Seal was answered`);
    switch (message.type) {
      case 'ping':
        return this.#ping(message);
      case 'release':
        return this.#replica.voidLease(this);
      case 'seal':
        return this.#violate('a second Seal in one session');
      default: {
        const broken = this.#ruleBrokenBy(message);
        if (broken) return this.#violate(broken);
        this.#enqueue(message);
      }
    }
  }

  burstEnd(): void {
    this.#work();
    this.#tellApplied();
  }

  closed(): void {
    if (this.#state === 'stopped') return;
    this.stop();
    this.#replica.sessionClosed(this, 'the connection closed');
  }

  /** Nothing is applied any more from here on. */
  stop(): void {
    this.#state = 'stopped';
    this.#queue = [];
    this.#head = 0;
    this.#mayClean = false;
  }

  end(reason: string): void {
    this.stop();
    this.#link.close(reason);
  }

  tellFailed(message: string): void {
    this.#link.send({ type: 'failed', message });
  }

  /** Extents that may leave the log and have not been written for a while; at most CLEAN_EXTENTS_MAX. A clean of them begins now. */
  beginClean(nowMs: number): number[] {
    if (!this.#mayClean) return [];
    this.#touchedWhileCleaning = new Set();
    const cooled: number[] = [];
    for (const extent of this.#store.intents) {
      if (cooled.length >= CLEAN_EXTENTS_MAX) break;
      const touch = this.#touched.get(extent);
      if (this.mayLeave(extent) && (!touch || nowMs - touch.atMs >= COOL_MS)) cooled.push(extent);
    }
    return cooled;
  }

  /**
   * All that was sent of it is applied here and acknowledged by all who count, and the primary has nothing to level. The last also covers
   * what was in the log when the session began: it was levelled or compared since.
   */
  mayLeave(extent: number): boolean {
    if (this.#state !== 'open' || !this.#mayClean || this.#touchedWhileCleaning?.has(extent)) return false;
    const sequence = this.#touched.get(extent)?.sequence ?? 0;
    return sequence <= this.#applied && sequence <= this.#settled;
  }

  endClean(extents: readonly number[]): void {
    this.#touchedWhileCleaning = null;
    for (const extent of extents) if (!this.#store.intents.has(extent)) this.#touched.delete(extent);
  }

  #ping(message: Extract<ToReplica, { type: 'ping' }>): void {
    const holder = this.#replica.holderOf(this);
    if (!holder) return;
    this.#settled = Math.max(this.#settled, message.settled);
    this.#mayClean = message.mayClean;
    this.#replica.grantLease(this, holder, message.leaseMs, () => this.#link.send({ type: 'pong', id: message.id }));
  }

  #ruleBrokenBy(message: Queued): string | null {
    if (this.#queue.length - this.#head >= QUEUED_MESSAGES_MAX) return `more than ${QUEUED_MESSAGES_MAX} messages outstanding`;
    if (message.type === 'write' && this.#queuedBytes + message.lengthBytes > QUEUED_BYTES_MAX) {
      return `more than ${QUEUED_BYTES_MAX} bytes outstanding`;
    }
    if ('sequence' in message && this.#received !== 0 && message.sequence !== this.#received + 1) {
      return `operation ${message.sequence} after ${this.#received}`;
    }
    const { sizeBytes } = this.#store.meta;
    if ('offsetBytes' in message && (message.lengthBytes <= 0 || message.offsetBytes + message.lengthBytes > sizeBytes)) {
      return `${message.type} of ${message.lengthBytes} bytes at ${message.offsetBytes} in a replica of ${sizeBytes} bytes`;
    }
    const extents = Math.ceil(sizeBytes / EXTENT_BYTES);
    if ('extent' in message && message.extent >= extents) return `${message.type} of extent ${message.extent} of ${extents}`;
    if (message.type === 'restamp' && message.extents.some((extent) => extent >= extents)) return `restamp beyond extent ${extents - 1}`;
    return null;
  }

  #enqueue(message: Queued): void {
    this.#queue.push(message);
    if (message.type === 'write') this.#queuedBytes += message.lengthBytes;
    if ('sequence' in message) {
      this.#received = message.sequence;
      this.#settled = Math.max(this.#settled, message.settled);
      const touch = { sequence: message.sequence, atMs: this.#nowMs() };
      for (const extent of touchedExtents(message)) this.#touched.set(extent, touch);
    }
    if (this.#touchedWhileCleaning) for (const extent of touchedExtents(message)) this.#touchedWhileCleaning.add(extent);
    // A levelled extent is in doubt until the primary says again that nothing is.
    if (message.type === 'level') this.#mayClean = false;
  }

  #violate(rule: string): void {
    this.#protocolError(rule);
    this.end(rule);
    this.#replica.sessionClosed(this, rule);
  }

  /** Works the queue off until it is empty or its head waits for the intent log. */
  #work(): void {
    while (this.#state === 'open' && this.#head < this.#queue.length) {
      const message = this.#queue[this.#head];
      if (!message || (this.#mutates(message) && this.#waitsForIntents(message))) break;
      this.#head++;
      try {
        this.#apply(message);
      } catch (error) {
        if (!(error instanceof IoError)) throw error;
        return this.#replica.ioFailed(this, error);
      }
    }
    if (this.#head === this.#queue.length || this.#head > COMMIT_LOOKAHEAD_MAX) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  #mutates(message: Queued): boolean {
    return message.type === 'write' || message.type === 'zero' || message.type === 'restamp' || message.type === 'level';
  }

  /** Whether an extent of it is not in the durable log yet; then a commit for it, and for those queued behind it, is under way. */
  #waitsForIntents(message: Queued): boolean {
    const { intents } = this.#store;
    const missing = (candidate: Queued) => touchedExtents(candidate).filter((extent) => !intents.has(extent));
    if (missing(message).length === 0) return false;
    if (this.#committing) return true;
    const extents = new Set<number>();
    const until = Math.min(this.#queue.length, this.#head + COMMIT_LOOKAHEAD_MAX);
    for (let index = this.#head; index < until; index++) {
      const queued = this.#queue[index];
      if (queued && this.#mutates(queued)) for (const extent of missing(queued)) extents.add(extent);
    }
    this.#committing = true;
    let synchronous = true;
    let isLogged = false;
    this.#store.addIntents([...extents], (error) => {
      this.#committing = false;
      if (error) return this.#replica.ioFailed(this, error);
      isLogged = true;
      if (synchronous || this.#state !== 'open') return;
      this.#work();
      this.#tellApplied();
    });
    synchronous = false;
    return !isLogged;
  }

  #apply(message: Queued): void {
    switch (message.type) {
      case 'write':
      case 'zero':
      case 'restamp':
        applyOperation(this.#store, message);
        this.#applied = message.sequence;
        if (message.type === 'write') this.#queuedBytes -= message.lengthBytes;
        return;
      case 'level':
        applyLevel(this.#store, message);
        return this.#link.send({ type: 'done', id: message.id });
      default:
        return this.#answer(message);
    }
  }

  #answer(message: Exclude<Request, { type: 'level' }>): void {
    switch (message.type) {
      case 'read': {
        const data = this.#store.read(message.offsetBytes, message.lengthBytes);
        return this.#link.send({ type: 'data', id: message.id, chunks: [data], lengthBytes: data.length });
      }
      case 'flush':
        return this.#flush(message.id);
      case 'digest':
        return this.#digest(message.id, message.extent);
      case 'changed': {
        const extents = message.since === LOG_ONLY ? this.#store.intents.copy() : this.#store.changedSince(message.since);
        return this.#link.send({ type: 'changedSet', id: message.id, extents });
      }
      case 'allocation':
        return this.#link.send({ type: 'allocationMap', id: message.id, runs: this.#allocation(message.offsetBytes, message.lengthBytes) });
      case 'resize':
      case 'progress':
      case 'summary':
      case 'snapshot':
        // Nobody asks for these yet.
        return this.#violate(`${message.type} is not known here`);
      default:
        return unreachable(message);
    }
  }

  #flush(id: number): void {
    this.#store.flush((error) => {
      if (error) return this.#replica.ioFailed(this, error);
      if (this.#state === 'open') this.#link.send({ type: 'done', id });
    });
  }

  #digest(id: number, extent: number): void {
    const lengthBytes = extentLength(extent, this.#store.meta.sizeBytes);
    const digests = this.#store.mayHaveData(extent) ? digestBlocks(this.#store.read(extent * EXTENT_BYTES, lengthBytes)) : null;
    this.#link.send({ type: 'digests', id, stamp: this.#store.stamp(extent), digests });
  }

  /** By whole extents: finer than that nothing is kept. */
  #allocation(offsetBytes: number, lengthBytes: number): { lengthBytes: number; hole: boolean }[] {
    const runs: { lengthBytes: number; hole: boolean }[] = [];
    const last = lastExtent(offsetBytes, lengthBytes);
    for (let extent = firstExtent(offsetBytes); extent <= last; extent++) {
      const from = Math.max(offsetBytes, extent * EXTENT_BYTES);
      const to = Math.min(offsetBytes + lengthBytes, (extent + 1) * EXTENT_BYTES);
      const hole = !this.#store.mayHaveData(extent);
      const previous = runs.at(-1);
      if (previous && previous.hole === hole) previous.lengthBytes += to - from;
      else if (runs.length >= ALLOCATION_RUNS_MAX) break;
      else runs.push({ lengthBytes: to - from, hole });
    }
    return runs;
  }

  #tellApplied(): void {
    if (this.#state !== 'open' || this.#applied === this.#told) return;
    this.#told = this.#applied;
    this.#link.send({ type: 'applied', sequence: this.#applied });
  }
}
