/**
 * One session of a replica with a primary: what came in waits in one queue and is worked off in order. What is still queued when the session
 * ends is dropped whole; what was applied stays. Answers that take their time (flush, progress, resize, summary, snapshot) come out of turn.
 *
 * It must never write to an extent that is not durable in the intent log, nor while a snapshot is being kept, nor apply anything after `stop`.
 */
import { unreachable } from '../../core/assert.ts';
import { type FromReplica, LOG_ONLY, type Operation, type Request, type ToReplica } from '../../core/wire/messages.ts';
import { type Done, IoError, type ReplicaMeta, type ReplicaStore } from '../ports.ts';
import type { ReplicaLink, ReplicaSession } from '../replication/link.ts';
import { applyLevel, applyOperation, isMutation, levelledNext, touchedExtents } from './apply.ts';
import { digestsOf, summaryKey } from './digest.ts';
import { grow, isUnableToGrow } from './grow.ts';
import { Heat, type Patience } from './heat.ts';
import type { Owner } from './owner.ts';
import { allocationOf, rangeBrokenBy } from './ranges.ts';
import { type NextTurn, Summaries } from './summary.ts';
import { ToldVersion } from './told.ts';

/** A primary never has more outstanding; one that does breaks the protocol. */
export const QUEUED_MESSAGES_MAX = 65_536;
export const QUEUED_BYTES_MAX = 256 * 1024 * 1024;
/** Each is a run of extents to be read; a scrub asks for one at a time. */
export const SUMMARIES_MAX = 64;
/** How many queued messages are looked at to gather extents for one commit of the intent log. */
const COMMIT_LOOKAHEAD_MAX = 1_024;
const CLEAN_EXTENTS_MAX = 65_536;

type Queued = Operation | Request;

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
  readonly #toldVersion: ToldVersion;
  /** A snapshot is being kept: nothing may be changed until it is. */
  #isKeeping = false;
  #isWorking = false;
  readonly #summaries: Summaries;
  /** Last operation received, applied, and told as applied. */
  #received = 0;
  #applied = 0;
  #told = 0;
  #settled = 0;
  #mayClean = false;
  /** Of a learner: its primary said, with nothing in doubt, that everything below is done; what was levelled again since is not. */
  #doneBelow = 0;
  readonly #levelledSinceDone = new Set<number>();
  /** Extents written in this session. */
  readonly #heat: Heat;
  /** While a clean runs: what was touched since it began, which its flush may not have made durable. */
  #touchedWhileCleaning: Set<number> | null = null;

  constructor(options: {
    replica: Owner;
    store: ReplicaStore;
    link: ReplicaLink;
    epoch: number;
    nowMs: () => number;
    protocolError: (rule: string) => void;
    nextTurn: NextTurn | null;
    patience: Patience | undefined;
  }) {
    this.#replica = options.replica;
    this.#store = options.store;
    this.#link = options.link;
    this.epoch = options.epoch;
    this.#nowMs = options.nowMs;
    this.#protocolError = options.protocolError;
    this.#heat = new Heat(options.patience);
    const { replica, store, nextTurn } = options;
    const failed = (error: IoError) => replica.ioFailed(this, error);
    const changeMeta: Owner['changeMeta'] = (change, done) => replica.changeMeta(change, done);
    const answer = (id: number, digest: Buffer) => this.#link.send({ type: 'summaryDigest', id, digest });
    this.#toldVersion = new ToldVersion({ store, changeMeta, goOn: () => this.#goOn(), failed });
    this.#summaries = new Summaries({ store, nextTurn, answer, failed });
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get holds(): boolean {
    return this.#head < this.#queue.length;
  }

  get mayClean(): boolean {
    return this.#mayClean;
  }

  /** Nothing waits for a tick. */
  get isResting(): boolean {
    return this.#summaries.count === 0;
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
    this.#goOn();
  }

  closed(): void {
    if (this.#state === 'stopped') return;
    this.stop();
    this.#replica.sessionClosed(this, 'the connection closed');
  }

  /** What is worked off by and by goes on. */
  tick(): void {
    this.#summaries.step();
  }

  /** Nothing is applied any more from here on. */
  stop(): void {
    this.#summaries.stop();
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
    if (!this.#mayClean && this.#doneBelow === 0) return [];
    const { intents } = this.#store;
    const cooled: number[] = [];
    for (const extent of intents) {
      if (cooled.length >= CLEAN_EXTENTS_MAX) break;
      if (this.mayLeave(extent) && this.#heat.isCool(extent, intents.size, nowMs)) cooled.push(extent);
    }
    if (cooled.length > 0) this.#touchedWhileCleaning = new Set();
    return cooled;
  }

  /**
   * All that was sent of it is applied here and acknowledged by all who count, and the primary has nothing to level, here at least. The last also covers
   * what was in the log when the session began: it was levelled or compared since. Of a learner whatever is copied would else stay in the log until all is.
   */
  mayLeave(extent: number): boolean {
    const isDone = this.#mayClean || (extent < this.#doneBelow && !this.#levelledSinceDone.has(extent));
    if (this.#state !== 'open' || !isDone || this.#touchedWhileCleaning?.has(extent)) return false;
    const sequence = this.#heat.sequenceOf(extent);
    return sequence <= this.#applied && sequence <= this.#settled;
  }

  endClean(extents: readonly number[]): void {
    this.#touchedWhileCleaning = null;
    for (const extent of extents) if (!this.#store.intents.has(extent)) this.#heat.forget(extent);
  }

  #ping(message: Extract<ToReplica, { type: 'ping' }>): void {
    const holder = this.#replica.holderOf(this);
    if (!holder) return;
    this.#settled = Math.max(this.#settled, message.settled);
    this.#mayClean = message.mayClean;
    if (message.mayClean) this.#doneBelow = 0;
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
    return rangeBrokenBy(message, this.#store.meta.sizeBytes);
  }

  #enqueue(message: Queued): void {
    this.#queue.push(message);
    if (message.type === 'write') this.#queuedBytes += message.lengthBytes;
    if ('sequence' in message) {
      this.#received = message.sequence;
      this.#settled = Math.max(this.#settled, message.settled);
      this.#heat.touch(touchedExtents(message), message.sequence, this.#nowMs());
    }
    if (this.#touchedWhileCleaning) for (const extent of touchedExtents(message)) this.#touchedWhileCleaning.add(extent);
    // A levelled extent is in doubt until the primary says again that nothing is.
    if (message.type === 'level') {
      this.#mayClean = false;
      if (message.extent < this.#doneBelow) this.#levelledSinceDone.add(message.extent);
    }
    if (message.type === 'progress') {
      this.#doneBelow = message.below;
      this.#levelledSinceDone.clear();
    }
  }

  #violate(rule: string): void {
    this.#protocolError(rule);
    this.end(rule);
    this.#replica.sessionClosed(this, rule);
  }

  /** After something has ended that others wait for. */
  #goOn(): void {
    if (this.#isWorking || this.#state !== 'open') return;
    this.#isWorking = true;
    this.#workOff();
    this.#isWorking = false;
    this.#tellApplied();
  }

  /** Until the queue is empty or its head waits for the intent log, or for a snapshot. */
  #workOff(): void {
    while (this.#state === 'open' && this.#head < this.#queue.length) {
      const message = this.#queue[this.#head];
      if (!message || (isMutation(message.type) && this.#waits(message))) break;
      this.#head++;
      try {
        this.#apply(message);
      } catch (error) {
        if (!(error instanceof IoError)) throw error;
        return this.#replica.ioFailed(this, error);
      }
    }
    if (this.#head < this.#queue.length && this.#head <= COMMIT_LOOKAHEAD_MAX) return;
    this.#queue.splice(0, this.#head);
    this.#head = 0;
  }

  #waits(message: Queued): boolean {
    const isLater = 'version' in message && this.#toldVersion.waits(message.version);
    return this.#isKeeping || isLater || this.#waitsForIntents(message);
  }

  /** Whether an extent of it is not in the durable log yet; then a commit for it, and for those queued behind it, is under way. */
  #waitsForIntents(message: Queued): boolean {
    const { intents } = this.#store;
    if (touchedExtents(message).every((extent) => intents.has(extent))) return false;
    if (this.#committing) return true;
    const extents = new Set<number>(levelledNext(message, this.#store));
    const until = Math.min(this.#queue.length, this.#head + COMMIT_LOOKAHEAD_MAX);
    for (let index = this.#head; index < until; index++) {
      const queued = this.#queue[index];
      if (!queued || !isMutation(queued.type)) continue;
      for (const extent of touchedExtents(queued)) if (!intents.has(extent)) extents.add(extent);
    }
    this.#committing = true;
    let synchronous = true;
    let isLogged = false;
    this.#store.addIntents([...extents], (error) => {
      this.#committing = false;
      if (error) return this.#replica.ioFailed(this, error);
      isLogged = true;
      if (!synchronous) this.#goOn();
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
        if (message.type !== 'write') return;
        this.#queuedBytes -= message.lengthBytes;
        return this.#link.release?.(message.chunks);
      case 'level':
        applyLevel(this.#store, message);
        this.#link.release?.(message.runs.flatMap(({ data }) => data ?? []));
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
        return this.#digest(message.id, message.extent, message.stampOnly);
      case 'changed': {
        const extents = message.since === LOG_ONLY ? this.#store.intents.copy() : this.#store.changedSince(message.since);
        return this.#link.send({ type: 'changedSet', id: message.id, extents });
      }
      case 'allocation':
        return this.#link.send({ type: 'allocationMap', id: message.id, runs: allocationOf(this.#store, message) });
      case 'resize':
        return this.#resize(message.id, message.sizeBytes);
      case 'progress':
        return this.#progress(message);
      case 'summary':
        return this.#summary(message);
      case 'snapshot':
        return this.#snapshot(message);
      default:
        return unreachable(message);
    }
  }

  #flush(id: number): void {
    this.#store.flush(this.#unlessFailed(() => this.#link.send({ type: 'done', id })));
  }

  /** One that cannot grow is as sound as it was: the session goes on, for all that is there must stay to be had. */
  #resize(id: number, sizeBytes: number): void {
    const changeMeta: Owner['changeMeta'] = (change, done) => this.#replica.changeMeta(change, done);
    grow(this.#store, sizeBytes, changeMeta, (error) => {
      if (error && !isUnableToGrow(error)) this.#replica.ioFailed(this, error);
      else if (this.#state === 'open') this.#link.send(error ? { type: 'unable', id, message: error.message } : { type: 'done', id });
    });
  }

  /** What was copied so far is durable before it is noted as done: a crash in between costs copying it again. */
  #progress({ id, since, version, below }: Extract<Request, { type: 'progress' }>): void {
    const noted = (meta: ReplicaMeta): ReplicaMeta => ({ ...meta, resync: { since, version, below } });
    const answered = this.#unlessFailed(() => this.#link.send({ type: 'done', id }));
    this.#store.flush(this.#unlessFailed(() => this.#replica.changeMeta(noted, answered)));
  }

  /**
   * What came before is applied; it becomes durable, then it is kept, and nothing is changed meanwhile. That it cannot be kept harms nobody: the session goes on.
   * A session that ends meanwhile leaves an attempt that is never recorded; the next one begins when that has ended.
   */
  #snapshot({ id, snapshot, attempt }: Extract<Request, { type: 'snapshot' }>): void {
    this.#isKeeping = true;
    const kept = (error: IoError | null): void => {
      this.#isKeeping = false;
      if (this.#state !== 'open') return;
      this.#link.send(error ? { type: 'unable', id, message: error.message } : { type: 'done', id });
      this.#goOn();
    };
    this.#store.flush(this.#unlessFailed(() => this.#replica.keep({ snapshot, attempt }, kept)));
  }

  /** What follows on an I/O that went well, if this session is still heard. */
  #unlessFailed(then: () => void): Done {
    return (error) => {
      if (error) this.#replica.ioFailed(this, error);
      else if (this.#state === 'open') then();
    };
  }

  #digest(id: number, extent: number, stampOnly: boolean): void {
    const digests = stampOnly ? null : digestsOf(this.#store, extent);
    this.#link.send({ type: 'digests', id, stamp: this.#store.stamp(extent), digests });
  }

  #summary({ id, extent, extents }: Extract<Request, { type: 'summary' }>): void {
    if (this.#summaries.count >= SUMMARIES_MAX) return this.#violate(`more than ${SUMMARIES_MAX} summaries outstanding`);
    this.#summaries.add(id, extent, extents, summaryKey(this.epoch, this.#replica.holderOf(this)?.instance));
  }

  #tellApplied(): void {
    if (this.#state !== 'open' || this.#applied === this.#told) return;
    this.#told = this.#applied;
    this.#link.send({ type: 'applied', sequence: this.#applied });
  }
}
