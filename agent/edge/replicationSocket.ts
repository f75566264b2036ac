/**
 * A stream socket as frames see it, for both ends of a session: what is sent in one turn leaves in one system call, what arrives in one turn is one burst, and
 * a close lets the last message out. Knows nothing of messages; must never call its owner from within a method, nor after it was closed.
 */
import type { Socket } from 'node:net';
import { messageOf } from '../../core/errors.ts';
import type { ReplicationLimits } from '../replication/limits.ts';
import type { ByteSink, Kept, Receiver } from './directSocket.ts';
import { Outbox } from './outbox.ts';

export interface FrameSocketOwner {
  /** As in ByteSink. */
  room(): Buffer | null;
  filled(bytes: number): void;
  received(chunk: Buffer): void;
  /** What it has of the chunks it received, now that the burst has ended. */
  kept(): Kept;
  /** All that had arrived was received. */
  burstEnd(): void;
  /** The connection is gone, and nobody here closed it. Called once, last. */
  lost(reason: string): void;
}

type Limits = Pick<ReplicationLimits, 'keepAliveMs' | 'closeTimeoutMs'>;

/** open --peer gone, destroy()--> gone     open --close()--> closing --peer gone, sent and answered, too late--> gone */
export class FrameSocket implements ByteSink {
  readonly #socket: Socket;
  readonly #outbox: Outbox;
  readonly #owner: FrameSocketOwner;
  readonly #limits: Limits;
  #state: 'open' | 'closing' | 'gone' = 'open';
  /** It will be sent, by the next tick or by the end of the burst. */
  #isSendDue = false;
  #isInBurst = false;

  /** `receiver`: the socket is read through it; null: as a stream. `sent`: told of long chunks that have left, where these are the owner's alone. */
  constructor(
    socket: Socket,
    limits: Limits,
    owner: FrameSocketOwner,
    receiver: Receiver | null = null,
    sent: ((chunks: readonly Buffer[]) => void) | null = null,
  ) {
    this.#outbox = new Outbox(socket, sent);
    this.#socket = socket;
    this.#limits = limits;
    this.#owner = owner;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, limits.keepAliveMs);
    if (receiver) receiver.sink = this;
    else socket.on('data', (chunk: Buffer) => this.#receivedInStream(chunk));
    socket.on('end', () => this.#lost('the peer closed the connection'));
    socket.on('error', (error) => this.#lost(messageOf(error)));
    socket.on('close', () => this.#lost('the connection broke'));
  }

  get bufferedBytes(): number {
    return this.#state === 'gone' ? 0 : this.#outbox.lengthBytes + this.#socket.writableLength;
  }

  write(frame: readonly Buffer[]): void {
    if (this.#state !== 'open') return;
    for (const chunk of frame) this.#outbox.add(chunk);
    if (this.#isSendDue) return;
    this.#isSendDue = true;
    process.nextTick(this.#send);
  }

  room(): Buffer | null {
    return this.#state === 'open' ? this.#owner.room() : null;
  }

  /** Read directly, each read is a burst: what it brought is acted on before the next one is asked for. */
  filled(bytes: number): void {
    if (this.#state !== 'open') return;
    this.#beginBurst();
    this.#owner.filled(bytes);
    this.#endBurst();
  }

  received(chunk: Buffer): Kept {
    // Read into nothing; but what came before may be in use: the answer to a read that waits for its client.
    if (this.#state !== 'open') return 'earlier';
    this.#beginBurst();
    this.#owner.received(chunk);
    this.#endBurst();
    return this.#owner.kept();
  }

  /**
   * What was written still leaves. The socket goes on reading, into nothing: were it closed with bytes unread, the peer's kernel would be told to drop what
   * the peer has not read yet, the last message with it.
   */
  close(): void {
    if (this.#state !== 'open') return;
    this.#send();
    this.#state = 'closing';
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), this.#limits.closeTimeoutMs);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  /** At once; what was not sent is not. */
  destroy(): void {
    this.#state = 'gone';
    this.#socket.destroy();
  }

  readonly #send = (): void => {
    this.#isSendDue = false;
    if (this.#state === 'open') this.#outbox.send();
  };

  #receivedInStream(chunk: Buffer): void {
    if (this.#state !== 'open') return;
    this.#owner.received(chunk);
    if (this.#isInBurst) return;
    this.#isInBurst = true;
    process.nextTick(this.#endBurst);
  }

  /** Its end is in this very call, and sends what was written in it. */
  #beginBurst(): void {
    this.#isInBurst = true;
    this.#isSendDue = true;
  }

  readonly #endBurst = (): void => {
    if (!this.#isInBurst) return;
    this.#isInBurst = false;
    if (this.#state === 'open') this.#owner.burstEnd();
    this.#send();
  };

  #lost(reason: string): void {
    // What arrived before the end is acted on before the end.
    this.#endBurst();
    const wasOpen = this.#state === 'open';
    this.destroy();
    if (wasOpen) this.#owner.lost(reason);
  }
}
