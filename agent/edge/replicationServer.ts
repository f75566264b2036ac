/**
 * The replication port: takes the sessions that primaries open to the replicas here. Must never hand a Seal on whose sender is not the node that the Seal's
 * config names as primary (unless TLS is off, for benchmarks), or of whom nobody has said that the leader appointed him, and must never let one connection's fault touch another.
 */
import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { messageOf } from '../../core/errors.ts';
import { PROTOCOL, type VersionRange } from '../../core/versions.ts';
import { threadBlocks } from '../../core/wire/blockPool.ts';
import { type Certificates, peerName } from '../../edge/tls.ts';
import type { ReplicationEvents } from '../replication/events.ts';
import { DEFAULT_LIMITS, type ReplicationLimits } from '../replication/limits.ts';
import type { Accept, Appointed } from '../replication/link.ts';
import { Receiver, readDirectly } from './directSocket.ts';
import { IncomingSession, type Proved } from './replicationSession.ts';
import { widenSendBuffer } from './sendBuffer.ts';

export type ReplicationServerOptions = {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Null: plain TCP, where nobody proves anything. For benchmarks only. */
  readonly certificates: Pick<Certificates, 'material' | 'onRenewed'> | null;
  /** A unix socket in a directory that only this agent may enter, instead of host and port: whoever connects is this node's agent, without TLS. */
  readonly local?: { readonly path: string; readonly node: string };
  readonly appointed: Appointed;
  readonly accept: Accept;
  readonly events: ReplicationEvents;
  readonly limits?: Partial<ReplicationLimits>;
  /** What we speak; left out: all that we know. */
  readonly spoken?: VersionRange;
};

const tlsOptions = ({ ca, cert, key }: Certificates['material']): TlsOptions => ({
  ca,
  cert,
  key,
  minVersion: 'TLSv1.3',
  requestCert: true,
  rejectUnauthorized: true,
});

export class ReplicationServer {
  readonly #options: ReplicationServerOptions;
  readonly #limits: ReplicationLimits;
  readonly #listener: Server;
  readonly #forgetRenewals: () => void;
  readonly #sockets = new Set<Socket>();

  /** Resolves when primaries can connect. */
  static async listen(options: ReplicationServerOptions): Promise<ReplicationServer> {
    const server = new ReplicationServer(options);
    await listenOn(server.#listener, options);
    server.#listener.on('error', (error) => options.events.acceptFailed(error));
    return server;
  }

  private constructor(options: ReplicationServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const { certificates, local } = options;
    if (certificates && !local) {
      const listener = createTlsServer({ ...tlsOptions(certificates.material), handshakeTimeout: this.#limits.sealTimeoutMs });
      this.#forgetRenewals = certificates.onRenewed(() => listener.setSecureContext(tlsOptions(certificates.material)));
      listener.on('connection', (socket: Socket) => this.#track(socket));
      listener.on('secureConnection', (socket) => this.#accept(socket, null, peerName(socket)));
      listener.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket));
      this.#listener = listener;
    } else {
      this.#forgetRenewals = () => undefined;
      const proved: Proved = local ? { role: 'agent', name: local.node } : 'plain';
      this.#listener = createPlainServer({ pauseOnConnect: true }, (socket) => this.#acceptPlain(socket, proved));
    }
    this.#listener.maxConnections = this.#limits.connectionsMax;
    this.#listener.on('drop', (dropped) => {
      const message = `more than ${this.#limits.connectionsMax} connections`;
      options.events.connectionRefused({ peer: dropped?.remoteAddress ?? 'unknown', rule: 'connectionsMax', message });
    });
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Also those that have not proved anything yet. */
  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Ends every session; resolves when no connection is left. */
  async close(): Promise<void> {
    this.#forgetRenewals();
    const closed = [new Promise<void>((resolve) => this.#listener.close(() => resolve()))];
    for (const socket of this.#sockets) {
      closed.push(new Promise((resolve) => socket.once('close', () => resolve())));
      socket.destroy();
    }
    await Promise.all(closed);
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #acceptPlain(accepted: Socket, proved: Proved): void {
    const receiver = new Receiver();
    const socket = readDirectly(accepted, receiver, false);
    if (this.#options.local) void widenSendBuffer(socket);
    this.#track(socket);
    this.#accept(socket, receiver, proved);
  }

  #accept(socket: Socket, receiver: Receiver | null, proved: Proved): void {
    const { appointed, accept, events, spoken = PROTOCOL } = this.#options;
    new IncomingSession({ socket, receiver, blocks: threadBlocks, proved, appointed, accept, events, limits: this.#limits, spoken });
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    const peer = socket.remoteAddress ?? 'unknown';
    this.#options.events.connectionRefused({ peer, rule: 'handshake', message: messageOf(error) });
    socket.destroy();
  }
}

function listenOn(listener: Server, { host, port, local }: ReplicationServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(local ? { path: local.path } : { host, port }, () => {
      listener.off('error', reject);
      resolve();
    });
  });
}
