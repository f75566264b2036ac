/**
 * A stream socket as frames see it, for both ends of a session: what is sent in one turn leaves in one system call, what arrives in one turn is one burst, and
 * a close lets the last message out. Knows nothing of messages; must never call its owner from within a method, nor after it was closed.
 */
import type { Socket } from 'node:net';
import { messageOf } from '../../core/errors.ts';
import type { ReplicationLimits } from '../replication/limits.ts';

export interface FrameSocketOwner {
  received(chunk: Buffer): void;
  /** All that had arrived was received. */
  burstEnd(): void;
  /** The connection is gone, and nobody here closed it. Called once, last. */
  lost(reason: string): void;
}

type Limits = Pick<ReplicationLimits, 'keepAliveMs' | 'closeTimeoutMs'>;

/** open --peer gone, destroy()--> gone     open --close()--> closing --peer gone, sent and answered, too late--> gone */
export class FrameSocket {
  readonly #socket: Socket;
  readonly #owner: FrameSocketOwner;
  readonly #limits: Limits;
  #state: 'open' | 'closing' | 'gone' = 'open';
  #isCorked = false;
  #isInBurst = false;

  constructor(socket: Socket, limits: Limits, owner: FrameSocketOwner) {
    this.#socket = socket;
    this.#limits = limits;
    this.#owner = owner;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, limits.keepAliveMs);
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('end', () => this.#lost('the peer closed the connection'));
    socket.on('error', (error) => this.#lost(messageOf(error)));
    socket.on('close', () => this.#lost('the connection broke'));
  }

  get bufferedBytes(): number {
    return this.#state === 'gone' ? 0 : this.#socket.writableLength;
  }

  write(frame: readonly Buffer[]): void {
    if (this.#state !== 'open') return;
    if (!this.#isCorked) this.#cork();
    for (const chunk of frame) this.#socket.write(chunk);
  }

  /**
   * What was written still leaves. The socket goes on reading, into nothing: were it closed with bytes unread, the peer's kernel would be told to drop what
   * the peer has not read yet, the last message with it.
   */
  close(): void {
    if (this.#state !== 'open') return;
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

  #cork(): void {
    this.#isCorked = true;
    this.#socket.cork();
    process.nextTick(this.#uncork);
  }

  readonly #uncork = (): void => {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket.uncork();
  };

  #received(chunk: Buffer): void {
    if (this.#state !== 'open') return;
    this.#owner.received(chunk);
    if (this.#isInBurst) return;
    this.#isInBurst = true;
    setImmediate(this.#endBurst);
  }

  readonly #endBurst = (): void => {
    if (!this.#isInBurst) return;
    this.#isInBurst = false;
    if (this.#state === 'open') this.#owner.burstEnd();
    this.#uncork();
  };

  #lost(reason: string): void {
    // What arrived before the end is acted on before the end.
    this.#endBurst();
    const wasOpen = this.#state === 'open';
    this.destroy();
    if (wasOpen) this.#owner.lost(reason);
  }
}
