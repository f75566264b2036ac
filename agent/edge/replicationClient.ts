/**
 * A primary's way to replicas on other nodes: one connection a session, the Seal first. Must never send a byte to a peer whose certificate is not that of the
 * member's node (unless TLS is off, for benchmarks).
 */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Member } from '../../core/config.ts';
import { messageOf } from '../../core/errors.ts';
import { commonVersion, formatRange, PROTOCOL, rangeOf, type VersionRange } from '../../core/versions.ts';
import type { BlockPool } from '../../core/wire/blockPool.ts';
import { bytesOf } from '../../core/wire/chunks.ts';
import { decoderFromReplica, type FrameDecoder } from '../../core/wire/decode.ts';
import { Encoder } from '../../core/wire/encode.ts';
import type { FromReplica, Seal, ToReplica } from '../../core/wire/messages.ts';
import { type Frame, SharedFrame } from '../../core/wire/sharedFrame.ts';
import { type Certificates, formatPeerName, peerName } from '../../edge/tls.ts';
import type { ConnectionRule, ReplicationEvents } from '../replication/events.ts';
import { DEFAULT_LIMITS, type ReplicationLimits } from '../replication/limits.ts';
import type { Connect, PrimaryLink, PrimaryLinkListener } from '../replication/link.ts';
import { type Kept, Receiver } from './directSocket.ts';
import { FrameSocket, type FrameSocketOwner } from './replicationSocket.ts';
import { widenSendBuffer } from './sendBuffer.ts';

/**
 * `path`: a unix socket of this very agent, in a directory that nobody else may enter: no TLS there, and no name to prove. `protocol`: what the agent there speaks; left
 * out: what agents spoke before they said so.
 */
export type PeerAddress = { readonly host: string; readonly port: number; readonly protocol?: VersionRange } | { readonly path: string };

export type ReplicationClientOptions = {
  /** Where the member's agent answers; null: not known yet. Asked at each connect. */
  readonly resolve: (member: Member) => PeerAddress | null;
  /** Null: plain TCP, where nobody proves anything. For benchmarks only. */
  readonly certificates: Pick<Certificates, 'context'> | null;
  readonly events: Pick<ReplicationEvents, 'connectionRefused'>;
  /** Where long answers go; whoever had them gives them back. */
  readonly blocks?: BlockPool;
  readonly limits?: Partial<ReplicationLimits>;
  /** What we speak; left out: all that we know. */
  readonly spoken?: VersionRange;
};

export function connectOverNetwork(options: ReplicationClientOptions): Connect {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const shared = new SharedFrame();
  return (member, seal, listener) => new NetworkLink(options, limits, shared, member, seal, listener);
}

/** connecting --the peer proved its name--> open     any --lost, broke a rule, close()--> closed */
class NetworkLink implements PrimaryLink, FrameSocketOwner {
  readonly #options: ReplicationClientOptions;
  readonly #limits: ReplicationLimits;
  readonly #member: Member;
  readonly #listener: PrimaryLinkListener;
  readonly #encoder: Encoder;
  readonly #decoder: FrameDecoder<FromReplica>;
  #state: 'connecting' | 'open' | 'closed' = 'connecting';
  #socket: Socket | null = null;
  #receiver: Receiver | null = null;
  #frames: FrameSocket | null = null;
  #connectTimer: NodeJS.Timeout | null = null;
  /** Sent before the connection stands. */
  #pending: Frame[] = [];
  #pendingBytes = 0;

  constructor(
    options: ReplicationClientOptions,
    limits: ReplicationLimits,
    shared: SharedFrame,
    member: Member,
    seal: Seal,
    listener: PrimaryLinkListener,
  ) {
    this.#options = options;
    this.#limits = limits;
    this.#member = member;
    this.#listener = listener;
    const address = options.resolve(member);
    const { spoken = PROTOCOL } = options;
    const theirs = address === null || 'path' in address ? spoken : rangeOf(address.protocol);
    const protocolVersion = commonVersion(spoken, theirs);
    this.#encoder = new Encoder(seal, shared, protocolVersion ?? spoken.highest);
    const session = { ...seal, protocolVersion: protocolVersion ?? spoken.highest };
    this.#decoder = decoderFromReplica(session, (message) => this.#listener.message(message), options.blocks ?? null);
    this.send(seal);
    if (protocolVersion === null) this.#refuseLater('protocolVersion', nothingInCommon(member, spoken, theirs));
    else if (address) this.#connect(address);
    else process.nextTick(() => this.#fail(`no address of ${member.node} is known`));
  }

  get bufferedBytes(): number {
    return this.#frames ? this.#frames.bufferedBytes : this.#pendingBytes;
  }

  send(message: ToReplica): void {
    if (this.#state === 'closed') return;
    const frame = this.#encoder.encode(message);
    if (this.#frames) this.#frames.write(frame);
    else this.#keep(frame);
    if (this.bufferedBytes > this.#limits.unsentBytesMax) this.#overflow();
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#end();
    if (this.#frames) this.#frames.close();
    else this.#socket?.destroy();
  }

  room(): Buffer | null {
    return this.#decoder.room();
  }

  filled(bytes: number): void {
    const violation = this.#decoder.filled(bytes);
    if (violation && this.#state === 'open') this.#refuse(violation.rule, violation.message);
  }

  received(chunk: Buffer): void {
    const violation = this.#decoder.push(chunk);
    if (violation && this.#state === 'open') this.#refuse(violation.rule, violation.message);
  }

  kept(): Kept {
    return this.#decoder.keeps ? 'chunk' : 'earlier';
  }

  burstEnd(): void {
    if (this.#state === 'open') this.#listener.burstEnd();
  }

  lost(reason: string): void {
    this.#fail(reason);
  }

  #keep(frame: Frame): void {
    this.#pending.push(frame);
    this.#pendingBytes += bytesOf(frame);
  }

  #connect(address: PeerAddress): void {
    const certificates = 'path' in address ? null : this.#options.certificates;
    const { connectTimeoutMs } = this.#limits;
    const where = `${this.#member.node} at ${'path' in address ? address.path : `${address.host}:${address.port}`}`;
    // The name is checked when the connection stands, before anything is sent: it is the node's, not the host's, which may be any address.
    const socket = certificates
      ? connectTls({
          ...placeOf(address),
          secureContext: certificates.context,
          rejectUnauthorized: true,
          checkServerIdentity: () => undefined,
        })
      : this.#connectPlain(address);
    this.#socket = socket;
    this.#connectTimer = setTimeout(() => this.#fail(`no connection to ${where} within ${connectTimeoutMs} ms`), connectTimeoutMs);
    socket.on('error', (error) => this.#notConnected(socket, `no connection to ${where}: ${messageOf(error)}`));
    socket.once(certificates ? 'secureConnect' : 'connect', () => this.#stands(socket, certificates !== null));
  }

  #connectPlain(address: PeerAddress): Socket {
    this.#receiver = new Receiver();
    const socket = connectPlain({ ...placeOf(address), onread: this.#receiver.onread });
    if ('path' in address) socket.once('connect', () => void widenSendBuffer(socket));
    return socket;
  }

  /** Later errors are the FrameSocket's. */
  #notConnected(socket: Socket, message: string): void {
    if (this.#state !== 'connecting') return;
    if ('authorizationError' in socket && socket.authorizationError) this.#refuse('handshake', message);
    else this.#fail(message);
  }

  #stands(socket: Socket, mustProve: boolean): void {
    if (this.#state !== 'connecting') return;
    const broken = mustProve ? this.#ruleOfName(socket as TLSSocket) : null;
    if (broken) return this.#refuse('peer', broken);
    this.#stopTimer();
    this.#state = 'open';
    this.#frames = new FrameSocket(socket, this.#limits, this, this.#receiver);
    for (const frame of this.#pending) this.#frames.write(frame);
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #ruleOfName(socket: TLSSocket): string | null {
    const peer = peerName(socket);
    if (peer?.role === 'agent' && peer.name === this.#member.node) return null;
    const found = peer ? formatPeerName(peer) : 'nobody of ours';
    return `the peer at ${socket.remoteAddress} proved to be ${found}, not agent:${this.#member.node}`;
  }

  #overflow(): void {
    this.#refuseLater('unsentBytesMax', `more than ${this.#limits.unsentBytesMax} bytes wait to be sent`);
  }

  /** The caller is in the middle of sending, or has not got its link yet. */
  #refuseLater(rule: ConnectionRule, message: string): void {
    process.nextTick(() => this.#refuse(rule, message));
  }

  #refuse(rule: ConnectionRule, message: string): void {
    if (this.#state === 'closed') return;
    this.#options.events.connectionRefused({ peer: `agent:${this.#member.node}`, rule, message });
    this.#fail(message);
  }

  #fail(reason: string): void {
    if (this.#state === 'closed') return;
    this.#end();
    this.#frames?.destroy();
    this.#socket?.destroy();
    this.#listener.closed(reason);
  }

  #end(): void {
    this.#state = 'closed';
    this.#stopTimer();
    this.#decoder.stop();
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #stopTimer(): void {
    if (this.#connectTimer) clearTimeout(this.#connectTimer);
  }
}

const placeOf = (address: PeerAddress) => ('path' in address ? { path: address.path } : { host: address.host, port: address.port });

const nothingInCommon = ({ node }: Member, ours: VersionRange, theirs: VersionRange): string =>
  `${node} speaks version ${formatRange(theirs)} of the replication protocol, this agent ${formatRange(ours)}: none in common`;
