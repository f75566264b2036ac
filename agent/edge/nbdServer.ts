/**
 * The unix socket on which one volume is served: makes the socket file, accepts connections, gives each a session, ends them. One server a volume.
 * Must never look into the bytes, and must never remove a file that it did not make.
 */

import { lstatSync, unlinkSync } from 'node:fs';
import { chmod, lstat, mkdtemp, rename, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { assert } from '../../core/assert.ts';
import { type Clock, systemClock } from '../../core/clock.ts';
import { OperatingError } from '../../core/errors.ts';
import type { BlockPool } from '../../core/wire/blockPool.ts';
import { DEFAULT_LIMITS, type NbdLimits } from '../nbd/limits.ts';
import type { NbdConnection, NbdEvents } from '../nbd/ports.ts';
import { NbdSession } from '../nbd/session.ts';
import type { BlockDevice } from '../ports.ts';
import { Receiver, readDirectly } from './directSocket.ts';
import { widenSendBuffer } from './sendBuffer.ts';

export type NbdServerOptions = {
  readonly device: BlockDevice;
  /** Its directory must exist and be on one file system. A socket that is there already is replaced, anything else is an error. */
  readonly socketPath: string;
  readonly events: NbdEvents;
  readonly clock?: Clock;
  readonly limits?: Partial<NbdLimits>;
  /** Where long payloads go; who had them gives them back. */
  readonly blocks?: BlockPool;
  /** Called once, when it takes no connections any more. */
  readonly closed?: () => void;
};

/** The kernel's field for a socket's path has 108 bytes with the zero at its end. */
const SOCKET_PATH_BYTES_MAX = 107;

export class NbdServer {
  readonly socketPath: string;
  readonly #options: NbdServerOptions;
  readonly #clock: Clock;
  readonly #limits: NbdLimits;
  readonly #listener: Server;
  readonly #connections = new Map<Socket, NbdSession>();
  #socketInode = 0;
  #closing = false;

  /** Resolves when clients can connect. */
  static async listen(options: NbdServerOptions): Promise<NbdServer> {
    const server = new NbdServer(options);
    server.#socketInode = await bind(server.#listener, options.socketPath);
    server.#listener.on('error', (error) => options.events.acceptFailed(error));
    return server;
  }

  private constructor(options: NbdServerOptions) {
    this.socketPath = options.socketPath;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    // Half open: a client may end its side behind a DISC and still wait for its last replies.
    this.#listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** The connections end, without an answer to what waits, and the socket file goes. Resolves when no connection is left. */
  async close(): Promise<void> {
    this.#stopListening();
    const closed = [...this.#connections.keys()].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
    for (const session of this.#connections.values()) session.shutdown();
    await Promise.all(closed);
  }

  /** At once, and not a byte more to anybody: for a server that may no longer speak for its volume. */
  stopAnswering(): void {
    this.#stopListening();
    for (const session of this.#connections.values()) session.stopAnswering();
  }

  #stopListening(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#options.closed?.();
    this.#listener.close();
    unlinkIfSame(this.socketPath, this.#socketInode);
  }

  #accept(accepted: Socket): void {
    const { events, device, blocks } = this.#options;
    if (this.#closing || this.#connections.size >= this.#limits.connectionsMax) {
      if (!this.#closing) events.connectionRefused('connectionsMax');
      accepted.destroy();
      return;
    }
    const receiver = new Receiver(blocks ?? null);
    const socket = readDirectly(accepted, receiver, true);
    void widenSendBuffer(socket);
    const session = new NbdSession({
      device,
      connection: new SocketConnection(socket, this.#limits),
      events,
      clock: this.#clock,
      limits: this.#limits,
      ...(blocks && { blocks }),
      defer: (callback) => process.nextTick(callback),
    });
    this.#connections.set(socket, session);
    receiver.sink = {
      room: () => session.room(),
      filled: (bytes) => session.filled(bytes),
      received: (chunk) => (session.receive(chunk) ? 'chunk' : 'earlier'),
    };
    this.#attach(socket, session);
    events.connectionOpened();
    session.start();
  }

  #attach(socket: Socket, session: NbdSession): void {
    const { events } = this.#options;
    const handshakeTimer = setTimeout(() => {
      if (!session.isInHandshake) return;
      events.connectionRefused('handshakeTimeout');
      session.stopAnswering();
    }, this.#limits.handshakeTimeoutMs);
    socket.on('drain', () => session.drained());
    socket.on('end', () => session.peerEnded());
    // `close` follows; a client that is gone is no error of ours.
    socket.on('error', () => session.stopAnswering());
    socket.once('close', () => {
      clearTimeout(handshakeTimer);
      session.stopAnswering();
      this.#connections.delete(socket);
      events.connectionClosed();
    });
  }
}

class SocketConnection implements NbdConnection {
  readonly #socket: Socket;
  readonly #limits: NbdLimits;

  constructor(socket: Socket, limits: NbdLimits) {
    // Else a full socket would not say when it has drained.
    assert(limits.unsentBytesMax >= socket.writableHighWaterMark, 'unsentBytesMax must be at least the socket high-water mark');
    this.#socket = socket;
    this.#limits = limits;
  }

  write(chunks: Buffer[], sent: (() => void) | null): boolean {
    const socket = this.#socket;
    const last = chunks.at(-1);
    if (chunks.length > 1) socket.cork();
    for (const chunk of chunks) {
      if (chunk === last && sent) socket.write(chunk, (error) => !error && sent());
      else socket.write(chunk);
    }
    if (chunks.length > 1) socket.uncork();
    return socket.writableLength < this.#limits.unsentBytesMax;
  }

  get isSent(): boolean {
    return this.#socket.writableLength === 0;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    const socket = this.#socket;
    socket.end();
    // A client that neither takes its last replies nor leaves would hold the server's closing for ever.
    const timer = setTimeout(() => socket.destroy(), this.#limits.closeTimeoutMs);
    socket.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/**
 * The socket is born in a directory that only we can enter, gets its mode there, and is then renamed to its place: nobody finds it half made, and
 * one that a crashed agent left is replaced in the same step. Returns its inode.
 */
async function bind(listener: Server, socketPath: string): Promise<number> {
  checkPath(socketPath);
  await refuseToReplaceAFile(socketPath);
  const birthplace = await mkdtemp(join(dirname(socketPath), '.nbd-'));
  try {
    const born = join(birthplace, 's');
    await listenOn(listener, born);
    await chmod(born, 0o600);
    const { ino } = await lstat(born);
    await rename(born, socketPath);
    return ino;
  } catch (error) {
    listener.close();
    throw error;
  } finally {
    await rm(birthplace, { recursive: true, force: true });
  }
}

function checkPath(socketPath: string): void {
  const bornBytes = Buffer.byteLength(join(dirname(socketPath), '.nbd-XXXXXX', 's'));
  const lengthBytes = Math.max(bornBytes, Buffer.byteLength(socketPath));
  if (lengthBytes <= SOCKET_PATH_BYTES_MAX) return;
  throw new RangeError(`the path of a socket must be at most ${SOCKET_PATH_BYTES_MAX} bytes; ${socketPath} needs ${lengthBytes}`);
}

async function refuseToReplaceAFile(socketPath: string): Promise<void> {
  const found = await lstat(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found === null || found.isSocket()) return;
  throw new OperatingError('Conflict', `serve NBD at ${socketPath}`, `${basename(socketPath)} is there and is not a socket; remove it`);
}

function listenOn(listener: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(path, () => {
      listener.off('error', reject);
      resolve();
    });
  });
}

/** Whoever has put another socket in its place meanwhile keeps it. */
function unlinkIfSame(path: string, inode: number): void {
  try {
    if (lstatSync(path).ino === inode) unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
