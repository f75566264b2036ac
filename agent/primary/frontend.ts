/**
 * The clients' side of a primary: requests wait here until they may go out, and replies until they may leave.
 *
 * It must never let a reply to a read, write or flush leave while anybody who counts may already be answering somebody newer, nor anything
 * at all after `silence`.
 */
import type { Clock } from '../../core/clock.ts';
import { firstExtent, lastExtent } from '../../core/extent.ts';
import type { AllocationRun, BlockClient, BlockDevice, Done } from '../ports.ts';
import { IoError } from '../ports.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

/** Requests that wait for their turn; clients are bounded themselves, this bounds their number. */
export const WAITING_MAX = 16_384;

/** A client's request from its beginning to its reply. `finish` is called once; null afterwards. */
type Pending = {
  client: Client;
  offsetBytes: number;
  lengthBytes: number;
  /** Whether it takes a place in the order of writes, which is bounded. */
  isOperation: boolean;
  run: () => void;
  finish: ((error: IoError | null, value?: unknown) => void) | null;
  /** Takes it off the operation that it waits for. */
  leave: (() => void) | null;
  startedAtMs: number;
};

/** `asked`: by which session; a flush that was lost with its session is asked for again. */
type Flush = { pending: Pending; missing: Set<Peer>; asked: Map<Peer, object>; then: () => void };

class Client implements BlockClient {
  readonly #frontend: Frontend;
  isOpen = true;

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  read(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, chunks: Buffer[]) => void): void {
    this.#frontend.read(this, offsetBytes, lengthBytes, done);
  }

  write(offsetBytes: number, chunks: Buffer[], lengthBytes: number, forceUnitAccess: boolean, done: Done): void {
    this.#frontend.operate(this, { type: 'write', offsetBytes, lengthBytes, chunks }, forceUnitAccess, done);
  }

  zero(offsetBytes: number, lengthBytes: number, options: { free: boolean; forceUnitAccess: boolean }, done: Done): void {
    this.#frontend.operate(this, { type: 'zero', offsetBytes, lengthBytes, free: options.free }, options.forceUnitAccess, done);
  }

  flush(done: Done): void {
    this.#frontend.flush(this, done);
  }

  allocation(offsetBytes: number, lengthBytes: number, done: (error: IoError | null, runs: AllocationRun[]) => void): void {
    this.#frontend.allocation(this, offsetBytes, lengthBytes, done);
  }

  close(): void {
    this.isOpen = false;
    this.#frontend.forget(this);
  }
}

type OperationRequest =
  | { type: 'write'; offsetBytes: number; lengthBytes: number; chunks: Buffer[] }
  | { type: 'zero'; offsetBytes: number; lengthBytes: number; free: boolean };

export class Frontend implements BlockDevice {
  readonly name: string;
  readonly #replication: Replication;
  readonly #clock: Clock;
  #state: 'closed' | 'open' | 'silent' = 'closed';
  #waiting: Pending[] = [];
  /** Replies that wait for leases. Gone when the request is: by its time-out, or with its client. */
  readonly #held = new Map<Pending, { error: IoError | null; value: unknown }>();
  readonly #flushes = new Set<Flush>();
  /** Everything begun and not replied, in the order of beginning: for time-outs and for the end. */
  readonly #pending = new Set<Pending>();

  constructor(replication: Replication, clock: Clock) {
    this.name = replication.known.name;
    this.#replication = replication;
    this.#clock = clock;
  }

  get sizeBytes(): number {
    return this.#replication.known.sizeBytes;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  connect(): BlockClient {
    return new Client(this);
  }

  open(): void {
    if (this.#state === 'closed') this.#state = 'open';
  }

  /** Everything that waits is answered with an error; operations that were sent stay in flight. */
  close(reason: string): void {
    if (this.#state === 'silent') return;
    this.#state = 'closed';
    for (const pending of [...this.#pending]) this.#finish(pending, new IoError('shutdown', reason));
    this.#waiting = [];
  }

  /** From here on nobody hears anything. */
  silence(): void {
    this.#state = 'silent';
    this.#waiting = [];
    this.#held.clear();
    this.#pending.clear();
    this.#flushes.clear();
  }

  /** Extents that requests wait for. */
  *wantedExtents(): Iterable<number> {
    for (const pending of this.#waiting) {
      if (pending.lengthBytes === 0) continue;
      const last = lastExtent(pending.offsetBytes, pending.lengthBytes);
      for (let extent = firstExtent(pending.offsetBytes); extent <= last; extent++) yield extent;
    }
  }

  /** Lets go out what may by now, and leave what may. */
  step(): void {
    if (this.#held.size > 0 && this.#replication.isLeased()) {
      for (const [pending, { error, value }] of [...this.#held]) this.#finish(pending, error, value);
    }
    this.#stepFlushes();
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const pending of waiting) if (pending.finish) this.#dispatch(pending);
  }

  /** Fails what has taken longer than `timeoutMs`; 0: for ever. What was sent stays in flight for every other rule. */
  expire(timeoutMs: number): void {
    if (timeoutMs === 0) return;
    const before = this.#clock.monotonicMs() - timeoutMs;
    for (const pending of this.#pending) {
      if (pending.startedAtMs > before) break;
      this.#finish(pending, new IoError('io', `not done within ${timeoutMs} ms`));
    }
  }

  forget(client: Client): void {
    for (const pending of [...this.#pending]) {
      if (pending.client !== client) continue;
      this.#drop(pending);
    }
    this.#waiting = this.#waiting.filter((pending) => pending.client !== client);
  }

  read(client: Client, offsetBytes: number, lengthBytes: number, done: (error: IoError | null, chunks: Buffer[]) => void): void {
    const pending = this.#begin(client, offsetBytes, lengthBytes, false, (error, chunks) => done(error, (chunks as Buffer[]) ?? []));
    pending.run = () => this.#read(pending);
    this.#dispatch(pending);
  }

  operate(client: Client, request: OperationRequest, forceUnitAccess: boolean, done: Done): void {
    const pending = this.#begin(client, request.offsetBytes, request.lengthBytes, true, done);
    pending.run = () => {
      this.#replication.submit(request, (error) => {
        if (error || !forceUnitAccess) this.#reply(pending, error);
        else this.#flushThen(pending, () => this.#reply(pending, null));
      });
    };
    this.#dispatch(pending);
  }

  flush(client: Client, done: Done): void {
    const pending = this.#begin(client, 0, 0, false, done);
    pending.run = () => this.#flushThen(pending, () => this.#reply(pending, null));
    this.#dispatch(pending);
  }

  allocation(client: Client, offsetBytes: number, lengthBytes: number, done: (error: IoError | null, runs: AllocationRun[]) => void): void {
    const pending = this.#begin(client, offsetBytes, lengthBytes, false, (error, runs) => done(error, (runs as AllocationRun[]) ?? []));
    pending.run = () => this.#ask(pending, 'allocation');
    this.#dispatch(pending);
  }

  #begin(client: Client, offsetBytes: number, lengthBytes: number, isOperation: boolean, finish: Pending['finish']): Pending {
    const startedAtMs = this.#clock.monotonicMs();
    const pending: Pending = { client, offsetBytes, lengthBytes, isOperation, run: () => undefined, finish, leave: null, startedAtMs };
    this.#pending.add(pending);
    return pending;
  }

  #dispatch(pending: Pending): void {
    if (this.#state === 'silent' || !pending.finish) return;
    if (this.#state === 'closed') return this.#finish(pending, new IoError('shutdown', 'the volume is not served here'));
    const { offsetBytes, lengthBytes, isOperation } = pending;
    if (offsetBytes + lengthBytes > this.sizeBytes) return this.#finish(pending, new IoError('invalid', 'beyond the end of the volume'));
    // A flush has no range: it waits for no extent.
    const isAdmissible = lengthBytes === 0 ? this.#replication.isLoaded() : this.#replication.isAdmissible(offsetBytes, lengthBytes);
    const mayGo = isAdmissible && (!isOperation || this.#replication.hasRoom);
    if (mayGo) pending.run();
    else if (this.#waiting.length < WAITING_MAX) this.#waiting.push(pending);
    else this.#finish(pending, new IoError('io', `more than ${WAITING_MAX} requests wait`));
  }

  /** Behind every write in flight that it overlaps: else a value could be seen and then be lost with the primary. */
  #read(pending: Pending): void {
    const overlapping = this.#replication.inFlight.lastOverlapping(pending.offsetBytes, pending.lengthBytes);
    if (!overlapping) return this.#ask(pending, 'read');
    overlapping.waiters ??= new Set();
    const { waiters } = overlapping;
    const waiter = () => this.#dispatch(pending);
    waiters.add(waiter);
    pending.leave = () => waiters.delete(waiter);
  }

  #ask(pending: Pending, type: 'read' | 'allocation'): void {
    const source = this.#replication.readSource();
    if (!source) {
      this.#waiting.push(pending);
      return;
    }
    const { offsetBytes, lengthBytes } = pending;
    source.ask(
      { type, offsetBytes, lengthBytes },
      this.#clock.monotonicMs(),
      (reply) => this.#reply(pending, null, reply.type === 'data' ? reply.chunks : reply.type === 'allocationMap' ? reply.runs : undefined),
      () => {
        if (pending.finish && this.#state === 'open') this.#waiting.push(pending);
      },
    );
  }

  #flushThen(pending: Pending, then: () => void): void {
    const flush: Flush = { pending, missing: new Set(this.#replication.counted), asked: new Map(), then };
    this.#flushes.add(flush);
    this.#stepFlush(flush);
  }

  #stepFlushes(): void {
    for (const flush of [...this.#flushes]) {
      if (flush.pending.finish) this.#stepFlush(flush);
      else this.#flushes.delete(flush);
    }
  }

  /** Asks whoever has not been asked and may be; whoever counts no more is not waited for. */
  #stepFlush(flush: Flush): void {
    for (const peer of [...flush.missing]) {
      if (!this.#replication.counts(peer)) this.#flushed(flush, peer);
      else if (peer.link && peer.mayFlush && flush.asked.get(peer) !== peer.link) this.#askFlush(flush, peer, peer.link);
    }
  }

  /** Behind all that was sent there. An answer that is lost with its session is asked for again when there is another. */
  #askFlush(flush: Flush, peer: Peer, link: object): void {
    flush.asked.set(peer, link);
    peer.ask(
      { type: 'flush' },
      this.#clock.monotonicMs(),
      () => this.#flushed(flush, peer),
      () => undefined,
    );
  }

  #flushed(flush: Flush, peer: Peer): void {
    if (!flush.missing.delete(peer) || flush.missing.size > 0 || !this.#flushes.delete(flush)) return;
    flush.then();
  }

  /** Now if everyone who counts has leased, else when they have. */
  #reply(pending: Pending, error: IoError | null, value?: unknown): void {
    if (!pending.finish) return;
    if (this.#replication.isLeased()) this.#finish(pending, error, value);
    else this.#held.set(pending, { error, value });
  }

  #finish(pending: Pending, error: IoError | null, value?: unknown): void {
    const { finish } = pending;
    this.#drop(pending);
    if (this.#state !== 'silent') finish?.(error, value);
  }

  /** Nothing of it is kept anywhere. */
  #drop(pending: Pending): void {
    pending.finish = null;
    pending.leave?.();
    this.#pending.delete(pending);
    this.#held.delete(pending);
  }
}
