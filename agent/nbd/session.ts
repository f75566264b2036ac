/**
 * One client's connection from greeting to end: decodes what arrives, lets transactions run, sends their replies together, and reads no further
 * while a maximum is reached. Synchronous and single-owner; the socket is behind a port. Must never buffer what it has not admitted.
 */
import { assert } from '../../core/assert.ts';
import type { Clock } from '../../core/clock.ts';
import { type BlockPool, LONG_BYTES } from '../../core/wire/blockPool.ts';
import type { BlockDevice } from '../ports.ts';
import { type Message, NbdDecoder } from './decode.ts';
import { encodeGreeting } from './encode.ts';
import { COMMAND, HANDSHAKE_FLAG } from './layout.ts';
import { type NbdLimits, REQUEST_BYTES_MAX, SEND_AT_BYTES } from './limits.ts';
import { type Export, type Negotiation, negotiate, startNegotiation } from './negotiate.ts';
import type { NbdConnection, NbdEvents } from './ports.ts';
import { ReplyQueue } from './replies.ts';
import { type Agreement, type Request, refuse } from './request.ts';
import type { ConnectionRule } from './rules.ts';
import { type Transaction, Transactions } from './transactions.ts';

/**
 *     handshake -> transmission -> draining -> closed
 *         |              |                       ^
 *         +--------------+-----------------------+
 *
 * `draining`: the client said DISC; what it asked before is still answered, nothing more is read.
 */
type Phase = 'handshake' | 'transmission' | 'draining' | 'closed';

const MAY_BECOME: Record<Phase, readonly Phase[]> = {
  handshake: ['transmission', 'closed'],
  transmission: ['draining', 'closed'],
  draining: ['closed'],
  closed: [],
};

export type SessionOptions = {
  readonly device: BlockDevice;
  readonly connection: NbdConnection;
  readonly events: NbdEvents;
  readonly clock: Clock;
  readonly limits: NbdLimits;
  /** Where long payloads go, for a connection that reads them straight to their `room`. */
  readonly blocks?: BlockPool;
  /** Calls back once, soon: after what has already happened in this turn of the event loop, so that its replies go out together. */
  readonly defer: (callback: () => void) => void;
};

export class NbdSession {
  readonly #options: SessionOptions;
  readonly #connection: NbdConnection;
  readonly #export: Export;
  readonly #decoder: NbdDecoder;
  readonly #replies = new ReplyQueue();
  #phase: Phase = 'handshake';
  #negotiation: Negotiation = startNegotiation(true);
  #agreement: Agreement = { sizeBytes: 0, structuredReplies: false, allocationContext: false };
  #transactions: Transactions | null = null;
  /** Its payload is arriving. */
  #arriving: Transaction | null = null;
  /** Decoded, waiting for room in the bytes in flight. */
  #held: Request | null = null;
  #outputFull = false;
  #reading = true;
  #processing = false;
  #sendDeferred = false;

  constructor(options: SessionOptions) {
    assert(options.limits.bytesInFlightMax >= REQUEST_BYTES_MAX, 'the largest request must be admissible');
    this.#options = options;
    this.#decoder = new NbdDecoder(options.blocks ?? null);
    this.#connection = options.connection;
    const { name, uid, sizeBytes } = options.device;
    this.#export = { name, uid, sizeBytes, description: `Holdfast volume ${name}` };
  }

  get isInHandshake(): boolean {
    return this.#phase === 'handshake';
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  start(): void {
    this.#write([encodeGreeting()]);
  }

  /** The next bytes of the client. Never between the connection's `pause()` and `resume()`. True: slices of the chunk are still in use. */
  receive(chunk: Buffer): boolean {
    if (!this.#decodes()) return false;
    this.#decoder.push(chunk);
    this.#process();
    return this.#decoder.keeps;
  }

  /** Where the next bytes belong, if a long payload is coming in; then `filled` says how many. */
  room(): Buffer | null {
    return this.#decodes() ? this.#decoder.room() : null;
  }

  filled(bytes: number): void {
    if (!this.#decodes()) return;
    this.#decoder.filled(bytes);
    this.#process();
  }

  /** The connection can take replies again. */
  drained(): void {
    this.#outputFull = false;
    this.#process();
  }

  /** The client will send nothing more. One that had said DISC may still be waiting for replies; any other is gone. */
  peerEnded(): void {
    if (this.#phase !== 'draining') this.stopAnswering();
  }

  /**
   * Replies that are ready are sent, then the connection ends. What waits is not answered: its client connects again, to whoever serves the volume next, and
   * asks again. An error would reach the file system as one, and a success would be a lie. What the device still does of it, it does before anybody else serves.
   */
  shutdown(): void {
    if (this.#phase === 'closed') return;
    this.#become('closed');
    this.#transactions?.close();
    this.#send();
    this.#connection.end();
    this.#regulate();
  }

  /** Nothing is sent any more, not even what is on its way. Also for a connection that broke. */
  stopAnswering(): void {
    if (this.#phase === 'closed') return;
    this.#become('closed');
    this.#transactions?.close();
    this.#connection.destroy();
  }

  /** Handles messages until one has not arrived whole or a maximum is reached; then reading goes on, or waits. */
  #process(): void {
    if (this.#processing) return;
    this.#processing = true;
    while (this.#decodes() && !this.#isBlocked()) {
      const message = this.#held ?? this.#decoder.next();
      if (message === null) break;
      this.#handle(message);
    }
    this.#processing = false;
    this.#endIfDrained();
    this.#regulate();
  }

  #decodes(): boolean {
    return this.#phase === 'handshake' || this.#phase === 'transmission';
  }

  #isBlocked(): boolean {
    if (this.#outputFull) return true;
    if (this.#transactions === null) return false;
    return this.#transactions.isFull || (this.#held !== null && !this.#transactions.hasRoomFor(this.#held));
  }

  /** A session that decodes no more goes on reading, into nothing: else it would not see the client leave. */
  #regulate(): void {
    const reads = !this.#decodes() || !this.#isBlocked();
    if (reads === this.#reading) return;
    this.#reading = reads;
    if (reads) this.#connection.resume();
    else this.#connection.pause();
  }

  #handle(message: Message): void {
    switch (message.kind) {
      case 'request':
        this.#handleRequest(message);
        return;
      case 'payload':
        this.#handlePayload(message.chunks);
        return;
      case 'clientFlags':
        this.#handleClientFlags(message.flags);
        return;
      case 'option':
      case 'longOption':
        this.#performStep(negotiate(this.#negotiation, message, this.#export));
        return;
      case 'violation':
        this.#refuseConnection(message.rule);
        return;
    }
  }

  #handleRequest(request: Request): void {
    const transactions = this.#running();
    if (request.type === COMMAND.disconnect) {
      this.#become('draining');
      return;
    }
    const refusal = refuse(request, this.#agreement);
    const admitted = refusal !== null || transactions.hasRoomFor(request);
    this.#held = admitted ? null : request;
    if (!admitted) return;
    const transaction = transactions.begin(request, refusal);
    if (request.type === COMMAND.write && request.lengthBytes > 0) {
      this.#arriving = transaction;
      this.#decoder.expectPayload(request.lengthBytes, refusal === null);
    } else {
      transactions.perform(transaction, []);
    }
  }

  #handlePayload(chunks: Buffer[]): void {
    const transaction = this.#arriving;
    assert(transaction !== null, 'a payload belongs to a write');
    this.#arriving = null;
    this.#running().perform(transaction, chunks);
  }

  #handleClientFlags(flags: number): void {
    if ((flags & ~(HANDSHAKE_FLAG.fixedNewstyle | HANDSHAKE_FLAG.noZeroes)) !== 0) {
      this.#refuseConnection('clientFlags');
      return;
    }
    this.#negotiation = startNegotiation((flags & HANDSHAKE_FLAG.noZeroes) === 0);
  }

  #performStep(step: ReturnType<typeof negotiate>): void {
    this.#negotiation = step.negotiation;
    if (step.replies.length > 0) this.#write(step.replies);
    if (step.next === 'transmission') this.#startTransmission();
    if (step.next !== 'end') return;
    if (step.rule !== undefined) {
      this.#refuseConnection(step.rule);
      return;
    }
    this.#become('closed');
    this.#connection.end();
  }

  #startTransmission(): void {
    const { device, events, clock, limits, blocks } = this.#options;
    const { structuredReplies, allocationContext, grows } = this.#negotiation;
    const { sizeBytes: toldBytes } = this.#export;
    this.#agreement = {
      get sizeBytes() {
        return grows ? device.sizeBytes : toldBytes;
      },
      structuredReplies,
      allocationContext,
    };
    this.#decoder.startTransmission();
    this.#become('transmission');
    this.#transactions = new Transactions({
      client: device.connect(),
      agreement: this.#agreement,
      replies: this.#replies,
      events,
      clock,
      limits,
      blocks: blocks ?? null,
      answered: this.#answered,
      unserved: () => this.shutdown(),
    });
  }

  #refuseConnection(rule: ConnectionRule): void {
    this.#options.events.connectionRefused(rule);
    this.stopAnswering();
  }

  /** A reply waits to be sent, and what was blocked may go on. */
  readonly #answered = (): void => {
    if (this.#replies.lengthBytes >= SEND_AT_BYTES) {
      this.#send();
    } else if (!this.#sendDeferred) {
      this.#sendDeferred = true;
      this.#options.defer(this.#sendDeferredReplies);
    }
    if (!this.#reading || this.#phase === 'draining') this.#process();
  };

  readonly #sendDeferredReplies = (): void => {
    this.#sendDeferred = false;
    if (this.#phase !== 'closed') this.#send();
  };

  #send(): void {
    if (this.#replies.lengthBytes > 0) this.#write(this.#replies.take());
  }

  #write(chunks: Buffer[]): void {
    const { blocks } = this.#options;
    // Data of long reads, whose memory is used again once it is sent: whole replies, so that all pieces of a block are among these.
    const sent = blocks && chunks.some(({ length }) => length >= LONG_BYTES) ? () => blocks.giveCut(chunks) : null;
    const hasRoom = this.#connection.write(chunks, sent);
    if (this.#connection.isSent) this.#replies.sent();
    if (hasRoom) return;
    this.#outputFull = true;
    this.#regulate();
  }

  #endIfDrained(): void {
    if (this.#phase !== 'draining' || this.#running().count > 0) return;
    this.#send();
    this.#running().close();
    this.#become('closed');
    this.#connection.end();
  }

  #running(): Transactions {
    assert(this.#transactions !== null, 'requests come in the transmission phase');
    return this.#transactions;
  }

  #become(phase: Phase): void {
    assert(MAY_BECOME[this.#phase].includes(phase), `a session that is ${this.#phase} does not become ${phase}`);
    this.#phase = phase;
  }
}
