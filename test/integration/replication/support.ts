/** Two real agents' ends on loopback: certificates of a real authority, a server that writes down what it hears, raw clients that keep no rule. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectPlain, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { connectOverNetwork, type ReplicationClientOptions } from '../../../agent/edge/replicationClient.ts';
import { ReplicationServer, type ReplicationServerOptions } from '../../../agent/edge/replicationServer.ts';
import type { Refusal, ReplicationEvents } from '../../../agent/replication/events.ts';
import type { Appointed, PrimaryLink, ReplicaLink } from '../../../agent/replication/link.ts';
import { silentLog } from '../../../core/log.ts';
import type { VersionRange } from '../../../core/versions.ts';
import type { FromReplica, Seal, ToReplica } from '../../../core/wire/messages.ts';
import { type Certificates, loadCertificates } from '../../../edge/tls.ts';
import { Authority } from '../../../tools/local/certificates.ts';
import { configWith, INSTANCE, member, UID } from '../../support/configs.ts';

export const HOST = '127.0.0.1';
/** node-a is the primary, the replica is on node-b. */
export const SEAL: Seal = { type: 'seal', volume: UID, replica: member(1).replica, epoch: 1, instance: INSTANCE, config: configWith() };
export const SEALED: FromReplica = { type: 'sealed', suspect: false, sizeBytes: 16 * 1024 * 1024, leaseRemainingMs: 0, resync: null };

/** Certificates by name and authority, made when first asked for. */
export class CertificateShelf {
  readonly #directory: string;
  readonly #made = new Map<string, Certificates>();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(): Promise<CertificateShelf> {
    return new CertificateShelf(await mkdtemp(path.join(tmpdir(), 'holdfast-certificates-')));
  }

  async of(commonName: string, authorityName = 'ours'): Promise<Certificates> {
    const key = `${authorityName}/${commonName}`;
    const known = this.#made.get(key);
    if (known) return known;
    const authority = await Authority.open(path.join(this.#directory, authorityName), authorityName);
    const directory = path.join(this.#directory, authorityName, commonName.replace(':', '-'));
    const made = await loadCertificates(await authority.issue(directory, { commonName, organizations: [] }), silentLog);
    this.#made.set(key, made);
    return made;
  }

  async remove(): Promise<void> {
    for (const certificates of this.#made.values()) certificates.close();
    await rm(this.#directory, { recursive: true });
  }
}

/** A replica's end: accepts every Seal that gets through and writes everything down. */
export class ReplicaEnd implements ReplicationEvents {
  readonly refusals: Refusal[] = [];
  readonly seals: Seal[] = [];
  readonly heard: ToReplica[] = [];
  readonly links: ReplicaLink[] = [];
  bursts = 0;
  sessionsClosed = 0;
  /** In the order in which a session heard them. */
  readonly order: string[] = [];
  opened = 0;
  readonly closedWith: string[] = [];
  /** Whom it takes a Seal of: left as it is, everybody who proved to be the primary that it names. */
  appointed: Appointed = (_, answered) => answered(null);
  /** What it does with a Seal, and with each message. */
  onSeal: (link: ReplicaLink) => void = (link) => link.send(SEALED);
  onMessage: (message: ToReplica, link: ReplicaLink) => void = () => undefined;
  onBurstEnd: (link: ReplicaLink) => void = () => undefined;
  server: ReplicationServer | null = null;

  static async listen(options: Pick<ReplicationServerOptions, 'certificates' | 'limits' | 'spoken'>): Promise<ReplicaEnd> {
    const end = new ReplicaEnd();
    end.server = await ReplicationServer.listen({
      host: HOST,
      port: 0,
      events: end,
      appointed: (seal, answered) => end.appointed(seal, answered),
      accept: (seal, link) => {
        end.seals.push(seal);
        end.links.push(link);
        end.onSeal(link);
        return {
          message: (message) => {
            end.heard.push(message);
            end.order.push(message.type);
            end.onMessage(message, link);
          },
          burstEnd: () => {
            end.bursts++;
            end.order.push('end of burst');
            end.onBurstEnd(link);
          },
          closed: () => {
            end.sessionsClosed++;
            end.order.push('closed');
          },
        };
      },
      ...options,
    });
    return end;
  }

  get port(): number {
    return this.server?.port ?? 0;
  }

  get rules(): string[] {
    return this.refusals.map((refusal) => refusal.rule);
  }

  connectionRefused(refusal: Refusal): void {
    this.refusals.push(refusal);
  }

  connectionOpened(): void {
    this.opened++;
  }

  connectionClosed(_peer: string, reason: string): void {
    this.closedWith.push(reason);
  }

  acceptFailed(error: Error): void {
    throw error;
  }
}

/** A primary's end that writes everything down. */
export class PrimaryEnd {
  readonly refusals: Refusal[] = [];
  readonly heard: FromReplica[] = [];
  bursts = 0;
  closedWith: string | null = null;
  readonly link: PrimaryLink;
  /** Whether anything was heard while a method of the link ran. */
  wasReentered = false;
  onMessage: (message: FromReplica) => void = () => undefined;
  #inMethod = false;

  /** `peerSpeaks`: as its registration says; left out: it says nothing. */
  constructor(
    options: Pick<ReplicationClientOptions, 'certificates' | 'limits' | 'spoken'> & {
      port: number | null;
      seal?: Seal;
      peerSpeaks?: VersionRange;
    },
  ) {
    const { port, seal, peerSpeaks: protocol, ...rest } = options;
    const connect = connectOverNetwork({
      resolve: () => (port === null ? null : { host: HOST, port, ...(protocol ? { protocol } : {}) }),
      events: { connectionRefused: (refusal) => this.refusals.push(refusal) },
      ...rest,
    });
    this.#inMethod = true;
    this.link = connect(member(1), seal ?? SEAL, {
      message: (message) => {
        this.#check();
        this.heard.push(message);
        this.onMessage(message);
      },
      burstEnd: () => {
        this.#check();
        this.bursts++;
      },
      closed: (reason) => {
        this.#check();
        this.closedWith = this.closedWith === null ? reason : `closed twice: ${reason}`;
      },
    });
    this.#inMethod = false;
  }

  send(message: ToReplica): void {
    this.#inMethod = true;
    this.link.send(message);
    this.#inMethod = false;
  }

  get types(): string[] {
    return this.heard.map((message) => message.type);
  }

  #check(): void {
    if (this.#inMethod) this.wasReentered = true;
  }
}

/** A client that keeps no rule of ours. */
export class RawClient {
  readonly socket: Socket;
  readonly received: Buffer[] = [];
  isSecure = false;
  isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('secureConnect', () => {
      this.isSecure = true;
    });
    socket.on('data', (chunk: Buffer) => this.received.push(chunk));
    // A connection that the server drops is what the tests are about.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  static plain(port: number): RawClient {
    return new RawClient(connectPlain({ host: HOST, port }));
  }

  /** Null: without a certificate of its own; whose the server is, it does not ask. */
  static tls(port: number, certificates: Certificates | null): RawClient {
    const own = certificates ? { cert: certificates.material.cert, key: certificates.material.key } : {};
    const socket: TLSSocket = connectTls({ host: HOST, port, rejectUnauthorized: false, ...own });
    return new RawClient(socket);
  }
}

/** Stands between the two ends: cuts the stream into pieces, or the connection in its middle. */
export class CuttingProxy {
  readonly #listener: Server;
  readonly #sockets: Socket[] = [];
  /** Bytes from the client after which the connection is cut. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  /** The stream is passed on in pieces of this length. */
  pieceBytes = Number.POSITIVE_INFINITY;
  #passedBytes = 0;

  private constructor(target: number) {
    this.#listener = createServer((client) => {
      const server = connectPlain({ host: HOST, port: target });
      for (const socket of [client, server]) {
        socket.setNoDelay(true);
        socket.on('error', () => undefined);
        this.#sockets.push(socket);
      }
      client.on('data', (chunk: Buffer) => this.#pass(chunk, server));
      server.on('data', (chunk: Buffer) => client.write(chunk));
      client.on('close', () => server.destroy());
      server.on('close', () => client.destroy());
    });
  }

  static async open(target: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target);
    await new Promise<void>((resolve) => proxy.#listener.listen(0, HOST, resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#listener.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Nothing is read any more, from either side. */
  stall(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#listener.close();
  }

  #pass(chunk: Buffer, server: Socket): void {
    const passed = chunk.subarray(0, Math.max(0, this.cutAfterBytes - this.#passedBytes));
    for (let at = 0; at < passed.length; at += this.pieceBytes) server.write(passed.subarray(at, at + this.pieceBytes));
    this.#passedBytes += passed.length;
    // What was passed is to arrive first, then the end.
    if (passed.length < chunk.length) server.end(() => this.cut());
  }
}
