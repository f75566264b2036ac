/**
 * An NBD client that sends its requests by hand and counts every byte of answer: also from a server that ought to give none. It checks nothing of
 * what it is told; it never connects again by itself.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { until } from './until.ts';

const REQUEST_MAGIC = 0x25609513;
const REPLY_BYTES = 16;
const HANDSHAKE_BOUND_MS = 10_000;

/** `error` is the protocol's number, 0 when it worked. `closed`: the connection ended before the answer was whole. */
export type NbdAnswer = { outcome: 'closed' } | { outcome: 'replied'; error: number; data: Buffer };
type Waiting = { dataBytes: number; resolve: (answer: NbdAnswer) => void };

export class HandNbdClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<bigint, Waiting>();
  #received: Buffer = Buffer.alloc(0);
  #lastCookie = 0n;
  #isClosed = false;
  receivedBytes = 0;
  /** Resolves when the connection is closed, by whomever. */
  readonly ended: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // Not events.once: that would reject at the error that a killed server leaves, and nobody would hear of the close behind it.
    this.ended = new Promise<void>((resolve) => {
      if (socket.closed) resolve();
      else socket.once('close', () => resolve());
    }).then(() => this.#becomeClosed());
  }

  /** By NBD_OPT_EXPORT_NAME, without structured replies: an answer to a write or flush is 16 bytes, to a read that worked 16 and the data. */
  static async open(socketPath: string, name: string, boundMs = HANDSHAKE_BOUND_MS): Promise<HandNbdClient> {
    const socket = connect(socketPath);
    try {
      await once(socket, 'connect');
      socket.on('error', () => undefined); // the close that follows is what is waited for
      await bytes(socket, 18, boundMs);
      const option = Buffer.alloc(20);
      option.writeUInt32BE(3);
      option.write('IHAVEOPT', 4);
      option.writeUInt32BE(1, 12);
      option.writeUInt32BE(name.length, 16);
      socket.write(Buffer.concat([option, Buffer.from(name)]));
      await bytes(socket, 10, boundMs);
      return new HandNbdClient(socket);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  read(offsetBytes: number, lengthBytes: number): Promise<NbdAnswer> {
    return this.#ask({ command: 0, offsetBytes, lengthBytes, dataBytes: lengthBytes });
  }

  write(offsetBytes: number, data: Buffer): Promise<NbdAnswer> {
    return this.#ask({ command: 1, offsetBytes, lengthBytes: data.length, dataBytes: 0 }, data);
  }

  flush(): Promise<NbdAnswer> {
    return this.#ask({ command: 3, offsetBytes: 0, lengthBytes: 0, dataBytes: 0 });
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(request: { command: number; offsetBytes: number; lengthBytes: number; dataBytes: number }, data?: Buffer): Promise<NbdAnswer> {
    if (this.#isClosed) return Promise.resolve({ outcome: 'closed' });
    this.#lastCookie++;
    const header = Buffer.alloc(28);
    header.writeUInt32BE(REQUEST_MAGIC);
    header.writeUInt16BE(request.command, 6);
    header.writeBigUInt64BE(this.#lastCookie, 8);
    header.writeBigUInt64BE(BigInt(request.offsetBytes), 16);
    header.writeUInt32BE(request.lengthBytes, 24);
    this.#socket.write(data === undefined ? header : Buffer.concat([header, data]));
    const cookie = this.#lastCookie;
    return new Promise((resolve) => this.#waiting.set(cookie, { dataBytes: request.dataBytes, resolve }));
  }

  #take(chunk: Buffer): void {
    this.receivedBytes += chunk.length;
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= REPLY_BYTES) {
      const error = this.#received.readUInt32BE(4);
      const cookie = this.#received.readBigUInt64BE(8);
      const waiting = this.#waiting.get(cookie);
      if (waiting === undefined) throw new Error(`an answer to nothing that was asked: cookie ${cookie}`);
      const endBytes = REPLY_BYTES + (error === 0 ? waiting.dataBytes : 0);
      if (this.#received.length < endBytes) return;
      const data = this.#received.subarray(REPLY_BYTES, endBytes);
      this.#received = this.#received.subarray(endBytes);
      this.#waiting.delete(cookie);
      waiting.resolve({ outcome: 'replied', error, data });
    }
  }

  #becomeClosed(): void {
    this.#isClosed = true;
    for (const { resolve } of this.#waiting.values()) resolve({ outcome: 'closed' });
    this.#waiting.clear();
  }
}

async function bytes(socket: Socket, lengthBytes: number, boundMs: number): Promise<Buffer> {
  return until(
    `${lengthBytes} bytes of handshake`,
    () => {
      if (socket.destroyed) throw new Error('the connection was closed during the handshake');
      return socket.read(lengthBytes) as Buffer | null;
    },
    boundMs,
  );
}
