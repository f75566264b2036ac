/**
 * The clients' side of a primary: requests wait here until they may go out, and replies until they may leave. It alone knows that a volume is
 * striped: a request over several shards becomes one part for each, and is answered when all of them are.
 *
 * It must never let a reply to a read, write or flush leave while anybody who counts in any shard may already be answering somebody newer, nor
 * anything at all after `silence`.
 */
import type { Clock } from '../../core/clock.ts';
import { firstExtent, lastExtent, offsetInShard, shardOf, shardRanges } from '../../core/extent.ts';
import type { VolumeUid } from '../../core/ids.ts';
import type { AllocationRun, BlockClient, BlockDevice, Done, WriteDone } from '../ports.ts';
import { IoError } from '../ports.ts';
import { type AllocationDone, beyondEnd, Client, type OperationRequest, type ReadDone, type Requests } from './client.ts';
import { GIVEN_AWAY } from './endings.ts';
import { FlushAhead } from './flushAhead.ts';
import { flushQuestion, Inquiries, type Question } from './inquiries.ts';
import type { Pending } from './pending.ts';
import { BYTES_IN_FLIGHT_MAX, type Replication } from './replication.ts';
import { Replies } from './replies.ts';
import { joinChunks, joinRuns, splitChunks } from './striping.ts';
import { Throttle } from './throttle.ts';

/** Requests that wait for their turn; clients are bounded themselves, this bounds their number. */
export const WAITING_MAX = 16_384;

export type FrontendOptions = {
  name: string;
  uid: VolumeUid;
  replications: readonly Replication[];
  clock: Clock;
  /** A snapshot is being taken: no new operation goes out. */
  holdsOperations: () => boolean;
  /** What is asked before a reply leaves, where there are no leases. */
  question: Question;
  flushStreakMin?: number;
  /** Of every request, before it goes out. */
  requested: (nowMs: number) => void;
};

export class Frontend implements BlockDevice, Requests {
  readonly name: string;
  readonly uid: VolumeUid;
  readonly #replications: readonly Replication[];
  readonly #clock: Clock;
  readonly #flushes: Inquiries;
  readonly #flushAhead: FlushAhead;
  /** Those that are ready and may not leave yet. */
  readonly replies: Replies<Pending>;
  readonly #holdsOperations: () => boolean;
  readonly #requested: FrontendOptions['requested'];
  readonly throttle: Throttle;
  #sizeBytes = 0;
  #state: 'closed' | 'open' | 'silent' = 'closed';
  #closedBy = GIVEN_AWAY;
  #waiting: Pending[] = [];
  /** Everything begun and not replied, in the order of beginning: for time-outs and for the end. */
  readonly #pending = new Set<Pending>();

  constructor(options: FrontendOptions) {
    this.name = options.name;
    this.uid = options.uid;
    this.#replications = options.replications;
    this.#clock = options.clock;
    this.#holdsOperations = options.holdsOperations;
    this.#requested = options.requested;
    this.#flushes = new Inquiries(flushQuestion(() => options.clock.monotonicMs()));
    this.#flushAhead = new FlushAhead(options.replications, this.#flushes, options.flushStreakMin);
    this.replies = new Replies(options);
    this.throttle = new Throttle(options.clock);
  }

  /** 0 until it is known what all replicas have room for: long before anybody is served. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** All that count have the room. It grows, and never shrinks. */
  offer(sizeBytes: number): void {
    this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes);
  }

  /** Requests that wait for their turn; one over several shards counts once for each. */
  get waitingCount(): number {
    return this.#waiting.length + this.throttle.heldCount;
  }

  /** Nobody waits for anything. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.waitingCount === 0;
  }

  connect(): BlockClient {
    return new Client(this);
  }

  open(): void {
    if (this.#state !== 'closed') return;
    this.#state = 'open';
    this.throttle.open();
  }

  /** Everything that waits, or comes from here on, ends so; operations that were sent stay in flight. */
  close(why: IoError): void {
    if (this.#state === 'silent') return;
    this.#state = 'closed';
    this.#closedBy = why;
    for (const pending of [...this.#pending]) this.#finish(pending, why);
    this.#waiting = [];
    this.throttle.close(why);
  }

  /** From here on nobody hears anything. */
  silence(): void {
    this.#state = 'silent';
    this.#waiting = [];
    this.replies.clear();
    this.#pending.clear();
    this.#flushes.clear();
    this.#flushAhead.clear();
    this.throttle.silence();
  }

  /** Extents of a shard that requests wait for. */
  *wantedExtents(replication: Replication): Iterable<number> {
    for (const pending of this.#waiting) {
      if (pending.replication !== replication || pending.lengthBytes === 0) continue;
      const last = lastExtent(pending.offsetBytes, pending.lengthBytes);
      for (let extent = firstExtent(pending.offsetBytes); extent <= last; extent++) yield extent;
    }
  }

  /** Lets go out what may by now, and leave what may. */
  step(): void {
    this.replies.step();
    this.#flushes.step();
    this.throttle.step();
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
    this.throttle.forget(client);
  }

  /**
   * What a read gets that waits for nothing: the bytes of the local replica, where it is the one to read from. First the bytes, then whether they may leave:
   * a newer primary may have written them, but not while everybody who counts has granted us a lease.
   */
  readNow(offsetBytes: number, target: Buffer): boolean {
    const { length } = target;
    if (this.#state !== 'open' || this.#isBeyondEnd(offsetBytes, length)) return false;
    const only = this.#onlyShard(offsetBytes, length);
    const offset = this.#offsetIn(offsetBytes);
    if (!only?.isStill(offset, length)) return false;
    if (!only.readSource()?.reads?.read(offset, target)) return false;
    const nowMs = this.#clock.monotonicMs();
    if (!this.replies.mayLeave(nowMs) || !this.throttle.passes(length)) return false;
    this.#requested(nowMs);
    return true;
  }

  read(client: Client, offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    if (this.#isBeyondEnd(offsetBytes, lengthBytes)) return done(beyondEnd(), []);
    const only = this.#onlyShard(offsetBytes, lengthBytes);
    if (only) return this.#readIn(only, client, this.#offsetIn(offsetBytes), lengthBytes, done);
    const parts = this.#replications.map((): Buffer[] => []);
    const joined: Done = (error) => done(error, error ? [] : joinChunks(offsetBytes, lengthBytes, parts));
    this.#eachPart(offsetBytes, lengthBytes, joined, (replication, offset, length, arrived) => {
      this.#readIn(replication, client, offset, length, (error, chunks) => {
        parts[replication.shardIndex] = chunks;
        arrived(error);
      });
    });
  }

  operate(client: Client, request: OperationRequest, forceUnitAccess: boolean, done: WriteDone): void {
    const { offsetBytes, lengthBytes } = request;
    if (this.#isBeyondEnd(offsetBytes, lengthBytes)) return done(beyondEnd());
    const only = this.#onlyShard(offsetBytes, lengthBytes);
    if (only) {
      request.offsetBytes = this.#offsetIn(offsetBytes);
      return this.#operateIn(only, client, request, forceUnitAccess, done);
    }
    const parts = request.type === 'write' ? splitChunks(offsetBytes, lengthBytes, request.chunks, this.#replications.length) : [];
    this.#eachPart(offsetBytes, lengthBytes, done, (replication, offset, length, arrived) => {
      const part = { ...request, offsetBytes: offset, lengthBytes: length };
      if (part.type === 'write') part.chunks = parts[replication.shardIndex] ?? [];
      // Their chunks are slices of the same memory: it is left to the collector.
      this.#operateIn(replication, client, part, forceUnitAccess, (error) => arrived(error));
    });
  }

  /** All shards: what had completed before it may be in any. */
  flush(client: Client, done: Done): void {
    const pending = this.#begin(client, null, 0, 0, false, done);
    pending.run = () =>
      this.#flushAhead.flush(
        () => pending.finish !== null,
        () => this.#reply(pending, null),
      );
    this.#dispatch(pending);
  }

  allocation(client: Client, offsetBytes: number, lengthBytes: number, done: AllocationDone): void {
    if (this.#isBeyondEnd(offsetBytes, lengthBytes)) return done(beyondEnd(), []);
    const only = this.#onlyShard(offsetBytes, lengthBytes);
    if (only) return this.#allocationIn(only, client, this.#offsetIn(offsetBytes), lengthBytes, done);
    const parts = this.#replications.map((): AllocationRun[] => []);
    const joined: Done = (error) => done(error, error ? [] : joinRuns(offsetBytes, lengthBytes, parts));
    this.#eachPart(offsetBytes, lengthBytes, joined, (replication, offset, length, arrived) => {
      this.#allocationIn(replication, client, offset, length, (error, runs) => {
        parts[replication.shardIndex] = runs;
        arrived(error);
      });
    });
  }

  // Where it lies.

  /** The clients know the size of when they came; nobody is told anything after `silence`. */
  #isBeyondEnd(offsetBytes: number, lengthBytes: number): boolean {
    return this.#state === 'open' && offsetBytes + lengthBytes > this.sizeBytes;
  }

  /** The shard that has all of the range, as it is with most requests; null: it touches several. */
  #onlyShard(offsetBytes: number, lengthBytes: number): Replication | null {
    const { length } = this.#replications;
    if (length === 1) return this.#replications[0] ?? null;
    const extent = firstExtent(offsetBytes);
    if (lengthBytes > 0 && lastExtent(offsetBytes, lengthBytes) !== extent) return null;
    return this.#replications[shardOf(extent, length)] ?? null;
  }

  #offsetIn(offsetBytes: number): number {
    const { length } = this.#replications;
    return length === 1 ? offsetBytes : offsetInShard(offsetBytes, length);
  }

  /** Begins a part in each shard that the range touches. `done` is told once, when all have arrived: the first error, if there is one. */
  #eachPart(
    offsetBytes: number,
    lengthBytes: number,
    done: Done,
    begin: (replication: Replication, offsetBytes: number, lengthBytes: number, arrived: Done) => void,
  ): void {
    const ranges = shardRanges(offsetBytes, lengthBytes, this.#replications.length);
    let missing = ranges.length;
    let first: IoError | null = null;
    const arrived: Done = (error) => {
      first ??= error;
      missing--;
      if (missing === 0) done(first);
    };
    for (const range of ranges) {
      const replication = this.#replications[range.shard];
      if (replication) begin(replication, range.offsetBytes, range.lengthBytes, arrived);
    }
  }

  // In one shard.

  #readIn(replication: Replication, client: Client, offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    const finish: Pending['finish'] = (error, chunks) => done(error, (chunks as Buffer[]) ?? []);
    const pending = this.#begin(client, replication, offsetBytes, lengthBytes, false, finish);
    pending.run = () => this.#read(replication, pending);
    this.#dispatch(pending);
  }

  #operateIn(replication: Replication, client: Client, request: OperationRequest, forceUnitAccess: boolean, done: WriteDone): void {
    const finish: Pending['finish'] = (error, isFree) => done(error, isFree === true);
    const pending = this.#begin(client, replication, request.offsetBytes, request.lengthBytes, true, finish);
    pending.run = () => {
      replication.submit(request, (error, isFree) => {
        if (error || !forceUnitAccess) this.#reply(pending, error, isFree);
        else this.#flushThen([replication], pending, () => this.#reply(pending, null, isFree));
      });
      this.#flushAhead.operated(forceUnitAccess);
    };
    this.#dispatch(pending);
  }

  #allocationIn(replication: Replication, client: Client, offsetBytes: number, lengthBytes: number, done: AllocationDone): void {
    const finish: Pending['finish'] = (error, runs) => done(error, (runs as AllocationRun[]) ?? []);
    const pending = this.#begin(client, replication, offsetBytes, lengthBytes, false, finish);
    pending.run = () => this.#ask(replication, pending, 'allocation');
    this.#dispatch(pending);
  }

  #begin(
    client: Client,
    replication: Replication | null,
    offsetBytes: number,
    lengthBytes: number,
    isOperation: boolean,
    finish: Pending['finish'],
  ): Pending {
    const startedAtMs = this.#clock.monotonicMs();
    this.#requested(startedAtMs);
    const run = () => undefined;
    const pending: Pending = { client, replication, offsetBytes, lengthBytes, isOperation, run, finish, leave: null, startedAtMs };
    this.#pending.add(pending);
    return pending;
  }

  #dispatch(pending: Pending): void {
    if (this.#state === 'silent' || !pending.finish) return;
    if (this.#state === 'closed') return this.#finish(pending, this.#closedBy);
    if (this.#mayGo(pending)) pending.run();
    else this.#wait(pending);
  }

  #wait(pending: Pending): void {
    if (this.#waiting.length < WAITING_MAX) this.#waiting.push(pending);
    else this.#finish(pending, new IoError('io', `more than ${WAITING_MAX} requests wait`));
  }

  #mayGo({ replication, offsetBytes, lengthBytes, isOperation }: Pending): boolean {
    if (replication === null) return this.#replications.every((each) => each.isLoaded());
    if (isOperation && (this.#holdsOperations() || !(replication.hasRoom && this.#hasRoom()))) return false;
    // What has no range waits for no extent.
    return lengthBytes === 0 ? replication.isLoaded() : replication.isAdmissible(offsetBytes, lengthBytes);
  }

  /** For the data of one more operation. */
  #hasRoom(): boolean {
    let bytes = 0;
    for (const { inFlight } of this.#replications) bytes += inFlight.bytes;
    return bytes < BYTES_IN_FLIGHT_MAX;
  }

  /** Behind every write in flight that it overlaps: else a value could be seen and then be lost with the primary. */
  #read(replication: Replication, pending: Pending): void {
    const overlapping = replication.inFlight.lastOverlapping(pending.offsetBytes, pending.lengthBytes);
    if (!overlapping) return this.#ask(replication, pending, 'read');
    overlapping.waiters ??= new Set();
    const { waiters } = overlapping;
    const waiter = () => this.#dispatch(pending);
    waiters.add(waiter);
    pending.leave = () => waiters.delete(waiter);
  }

  #ask(replication: Replication, pending: Pending, type: 'read' | 'allocation'): void {
    const source = replication.readSource();
    if (!source) return this.#wait(pending);
    const { offsetBytes, lengthBytes } = pending;
    source.ask(
      { type, offsetBytes, lengthBytes },
      this.#clock.monotonicMs(),
      (reply) => this.#reply(pending, null, reply.type === 'data' ? reply.chunks : reply.type === 'allocationMap' ? reply.runs : undefined),
      () => {
        if (pending.finish && this.#state === 'open') this.#wait(pending);
      },
    );
  }

  #flushThen(replications: readonly Replication[], pending: Pending, then: () => void): void {
    this.#flushes.begin(replications, () => pending.finish !== null, then);
  }

  #reply(pending: Pending, error: IoError | null, value?: unknown): void {
    if (!pending.finish) return;
    const nowMs = this.#clock.monotonicMs();
    pending.replication?.courtesy.waited(pending.startedAtMs, nowMs);
    if (this.replies.mayLeave(nowMs)) this.#finish(pending, error, value);
    else this.replies.hold(pending, () => this.#finish(pending, error, value));
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
    this.replies.drop(pending);
  }
}
