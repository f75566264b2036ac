/**
 * The requests of one connection that are on their way: given to the device, answered when it is done. Each is answered once, or the connection ends.
 * Must never read the stream or send: it appends to the reply queue and says that it did.
 */
import { assert } from '../../core/assert.ts';
import type { Clock } from '../../core/clock.ts';
import { BLOCK_BYTES_MAX, type BlockPool, LONG_BYTES } from '../../core/wire/blockPool.ts';
import type { AllocationRun, BlockClient, IoError } from '../ports.ts';
import { isUnserved, nbdErrorOf } from './errors.ts';
import { COMMAND, COMMAND_FLAG, NBD_ERROR, type NbdError } from './layout.ts';
import { type NbdLimits, REQUEST_BYTES_MAX, STATUS_DESCRIPTORS_MAX } from './limits.ts';
import { ALLOCATION_CONTEXT_ID } from './negotiate.ts';
import type { NbdEvents } from './ports.ts';
import type { ReplyQueue } from './replies.ts';
import { type Agreement, carriesData, commandKind, hasFlag, type Refusal, type Request } from './request.ts';
import { REQUEST_RULES } from './rules.ts';

export type Transaction = {
  readonly request: Request;
  readonly refusal: Refusal | null;
  readonly startedMs: number;
  /** What it counts for in the bytes in flight. */
  readonly dataBytes: number;
  /** Where it lies in the table. */
  slot: number;
};

export type TransactionsOptions = {
  readonly client: BlockClient;
  readonly agreement: Agreement;
  readonly replies: ReplyQueue;
  readonly events: NbdEvents;
  readonly clock: Clock;
  readonly limits: NbdLimits;
  readonly blocks: BlockPool | null;
  /** Called after each answer. */
  readonly answered: () => void;
  /** The device is served here no more: nothing is answered, and the connection is to end. */
  readonly unserved: () => void;
};

export class Transactions {
  readonly #options: TransactionsOptions;
  readonly #open: Transaction[] = [];
  #bytes = 0;
  #closed = false;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#open.length;
  }

  get isFull(): boolean {
    return this.#open.length >= this.#options.limits.requestsInFlightMax;
  }

  hasRoomFor(request: Request): boolean {
    return !carriesData(request) || this.#bytes + request.lengthBytes <= this.#options.limits.bytesInFlightMax;
  }

  begin(request: Request, refusal: Refusal | null): Transaction {
    const dataBytes = refusal === null && carriesData(request) ? request.lengthBytes : 0;
    const transaction = { request, refusal, startedMs: this.#options.clock.monotonicMs(), dataBytes, slot: this.#open.length };
    this.#open.push(transaction);
    this.#bytes += dataBytes;
    return transaction;
  }

  /** All of the request has arrived. */
  perform(transaction: Transaction, payload: Buffer[]): void {
    const { request, refusal } = transaction;
    if (refusal !== null) {
      this.#options.events.requestRefused(refusal.rule);
      this.#fail(transaction, refusal.error, REQUEST_RULES[refusal.rule]);
      return;
    }
    const { client } = this.#options;
    switch (request.type) {
      case COMMAND.read:
        if (this.#readNow(transaction)) return;
        client.read(request.offsetBytes, request.lengthBytes, (error, chunks) => this.#finishRead(transaction, error, chunks));
        return;
      case COMMAND.write:
        client.write(request.offsetBytes, payload, request.lengthBytes, hasFlag(request, COMMAND_FLAG.forceUnitAccess), (error, isFree) => {
          if (isFree) this.#options.blocks?.give(payload);
          this.#finish(transaction, error);
        });
        return;
      case COMMAND.flush:
        client.flush((error) => this.#finish(transaction, error));
        return;
      case COMMAND.trim:
      case COMMAND.writeZeroes:
        this.#zero(transaction, 0);
        return;
      case COMMAND.cache:
        // Nothing to warm that would not be warm by the read itself.
        this.#finish(transaction, null);
        return;
      case COMMAND.blockStatus:
        client.allocation(request.offsetBytes, request.lengthBytes, (error, runs) => this.#finishStatus(transaction, error, runs));
        return;
      default:
        assert(false, `command ${request.type} was not refused`);
    }
  }

  /** The connection has ended: the device forgets what it can, nothing more is answered. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.client.close();
  }

  /** In pieces: no request may make the device work on more than REQUEST_BYTES_MAX at a time. */
  #zero(transaction: Transaction, zeroedBytes: number): void {
    const { request } = transaction;
    const lengthBytes = Math.min(REQUEST_BYTES_MAX, request.lengthBytes - zeroedBytes);
    const options = {
      free: request.type === COMMAND.trim || !hasFlag(request, COMMAND_FLAG.noHole),
      forceUnitAccess: hasFlag(request, COMMAND_FLAG.forceUnitAccess),
    };
    this.#options.client.zero(request.offsetBytes + zeroedBytes, lengthBytes, options, (error) => {
      const done = zeroedBytes + lengthBytes;
      if (error !== null || done === request.lengthBytes) this.#finish(transaction, error);
      else if (!this.#closed) this.#zero(transaction, done);
    });
  }

  #finish(transaction: Transaction, error: IoError | null): void {
    if (this.#closed) return;
    if (error !== null) {
      this.#failed(transaction, error);
      return;
    }
    this.#end(transaction);
    this.#options.replies.simple(transaction.request, NBD_ERROR.none);
    this.#report(transaction, NBD_ERROR.none);
    this.#options.answered();
  }

  /** Straight to where it is sent from, if the device can. */
  #readNow(transaction: Transaction): boolean {
    const { lengthBytes } = transaction.request;
    if (lengthBytes < LONG_BYTES) return this.#readIntoReplies(transaction);
    if (lengthBytes > BLOCK_BYTES_MAX || this.#options.blocks === null) return false;
    return this.#readIntoBlock(transaction, this.#options.blocks);
  }

  #readIntoReplies(transaction: Transaction): boolean {
    const { client, replies, agreement } = this.#options;
    const { request } = transaction;
    const { offsetBytes, lengthBytes } = request;
    if (!client.readNow(offsetBytes, replies.room(agreement.structuredReplies, lengthBytes))) return false;
    this.#end(transaction);
    replies.dataInRoom(agreement.structuredReplies, request, offsetBytes, lengthBytes);
    this.#report(transaction, NBD_ERROR.none);
    this.#options.answered();
    return true;
  }

  #readIntoBlock(transaction: Transaction, blocks: BlockPool): boolean {
    const { offsetBytes, lengthBytes } = transaction.request;
    const block = blocks.take(lengthBytes);
    const isRead = this.#options.client.readNow(offsetBytes, block);
    if (isRead) this.#finishRead(transaction, null, [block]);
    else blocks.give([block]);
    return isRead;
  }

  #finishRead(transaction: Transaction, error: IoError | null, chunks: Buffer[]): void {
    if (this.#closed) return;
    const { request } = transaction;
    if (error !== null) {
      this.#failed(transaction, error);
      return;
    }
    let readBytes = 0;
    for (const chunk of chunks) readBytes += chunk.length;
    // One byte more or less and the client takes data for replies from here on.
    assert(readBytes === request.lengthBytes, `the device returned ${readBytes} bytes for a read of ${request.lengthBytes}`);
    this.#end(transaction);
    const { replies, agreement } = this.#options;
    if (agreement.structuredReplies) replies.structuredData(request, request.offsetBytes, request.lengthBytes, chunks);
    else replies.simpleData(request, chunks);
    this.#report(transaction, NBD_ERROR.none);
    this.#options.answered();
  }

  #finishStatus(transaction: Transaction, error: IoError | null, runs: AllocationRun[]): void {
    if (this.#closed) return;
    const { request } = transaction;
    if (error !== null) {
      this.#failed(transaction, error);
      return;
    }
    this.#end(transaction);
    const runsMax = hasFlag(request, COMMAND_FLAG.requestOne) ? 1 : STATUS_DESCRIPTORS_MAX;
    this.#options.replies.status(request, ALLOCATION_CONTEXT_ID, describeRuns(runs, request.lengthBytes, runsMax));
    this.#report(transaction, NBD_ERROR.none);
    this.#options.answered();
  }

  /** Of a device that has gone elsewhere nothing may be said: only the next one knows what became of the request. */
  #failed(transaction: Transaction, { code, message }: IoError): void {
    if (isUnserved(code)) this.#options.unserved();
    else this.#fail(transaction, nbdErrorOf(code), message);
  }

  #fail(transaction: Transaction, error: NbdError, sentence: string): void {
    this.#end(transaction);
    const { replies, agreement } = this.#options;
    if (agreement.structuredReplies) replies.structuredError(transaction.request, error, sentence);
    else replies.simple(transaction.request, error);
    this.#report(transaction, error);
    this.#options.answered();
  }

  /** Takes it out of the table; the last one takes its place. */
  #end(transaction: Transaction): void {
    const { slot } = transaction;
    assert(this.#open[slot] === transaction, 'the device completed a request twice');
    const last = this.#open.pop();
    if (last !== undefined && last !== transaction) {
      this.#open[slot] = last;
      last.slot = slot;
    }
    this.#bytes -= transaction.dataBytes;
  }

  #report(transaction: Transaction, error: NbdError): void {
    const { request, startedMs } = transaction;
    const durationMs = this.#options.clock.monotonicMs() - startedMs;
    this.#options.events.requestCompleted(commandKind(request.type), request.lengthBytes, durationMs, error);
  }
}

/** Neighbours that are alike joined, nothing beyond the range, at least one run: data, which is always a safe thing to say. */
export function describeRuns(runs: readonly AllocationRun[], lengthBytes: number, runsMax: number): AllocationRun[] {
  const described: AllocationRun[] = [];
  let leftBytes = lengthBytes;
  for (const run of runs) {
    const runBytes = Math.min(run.lengthBytes, leftBytes);
    if (runBytes <= 0) continue;
    const last = described.at(-1);
    if (last?.hole === run.hole) last.lengthBytes += runBytes;
    else if (described.length === runsMax) break;
    else described.push({ lengthBytes: runBytes, hole: run.hole });
    leftBytes -= runBytes;
  }
  return described.length > 0 ? described : [{ lengthBytes, hole: false }];
}
