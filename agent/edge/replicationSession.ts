/**
 * One connection at the replica's end, from its first byte: waits for the Seal, checks whose it is and has it found out whether the leader appointed him, then
 * carries the session. Must never hand on a Seal before that is known, nor anything that breaks a rule of the protocol, nor anything behind it.
 */
import type { Socket } from 'node:net';
import type { VersionRange } from '../../core/versions.ts';
import type { BlockPool } from '../../core/wire/blockPool.ts';
import { decoderToReplica, type FrameDecoder } from '../../core/wire/decode.ts';
import { Encoder } from '../../core/wire/encode.ts';
import type { FromReplica, Seal, ToReplica } from '../../core/wire/messages.ts';
import { formatPeerName, type PeerName } from '../../edge/tls.ts';
import type { ConnectionRule, ReplicationEvents } from '../replication/events.ts';
import type { ReplicationLimits } from '../replication/limits.ts';
import type { Accept, Appointed, AppointmentRefusal, ReplicaLink, ReplicaSession } from '../replication/link.ts';
import type { Kept, Receiver } from './directSocket.ts';
import { FrameSocket, type FrameSocketOwner } from './replicationSocket.ts';

/** What the peer's certificate says; null name: of nobody that we know. `plain`: TLS is off. */
export type Proved = PeerName | 'plain' | null;

export type IncomingOptions = {
  readonly socket: Socket;
  /** Null: the socket is read as a stream. */
  readonly receiver: Receiver | null;
  readonly blocks: BlockPool;
  readonly proved: Proved;
  readonly appointed: Appointed;
  readonly accept: Accept;
  readonly events: ReplicationEvents;
  readonly limits: ReplicationLimits;
  /** The versions of the protocol that are taken. */
  readonly spoken: VersionRange;
};

const nameOf = (proved: Proved, socket: Socket): string =>
  proved === null || proved === 'plain' ? (socket.remoteAddress ?? 'unknown') : formatPeerName(proved);

/** greeting --Seal of the peer's own--> asking --the leader appointed him--> open     any --lost, broke a rule, close()--> closed */
export class IncomingSession implements ReplicaLink, FrameSocketOwner {
  readonly peer: string;
  readonly #options: IncomingOptions;
  readonly #frames: FrameSocket;
  readonly #decoder: FrameDecoder<ToReplica>;
  readonly #sealTimer: NodeJS.Timeout;
  #state: 'greeting' | 'asking' | 'open' | 'closed' = 'greeting';
  #encoder: Encoder | null = null;
  #session: ReplicaSession | null = null;

  constructor(options: IncomingOptions) {
    const { socket, receiver, blocks, proved, limits, spoken } = options;
    this.peer = nameOf(proved, socket);
    this.#options = options;
    this.#decoder = decoderToReplica((message) => this.#heard(message), receiver ? blocks : null, spoken);
    // What a replica sends is its own, and read for this answer alone.
    this.#frames = new FrameSocket(socket, limits, this, receiver, (chunks) => blocks.give(chunks));
    this.#sealTimer = setTimeout(() => this.#refuse('sealTimeout', `no Seal within ${limits.sealTimeoutMs} ms`), limits.sealTimeoutMs);
  }

  send(message: FromReplica): void {
    if (this.#state !== 'open' || !this.#encoder) return;
    this.#frames.write(this.#encoder.encode(message));
    if (this.#frames.bufferedBytes > this.#options.limits.unsentBytesMax) this.#overflow();
  }

  close(reason: string): void {
    if (this.#state === 'closed') return;
    this.#frames.close();
    this.#end(reason);
  }

  /** What was handed over with these is applied, or will never be. A body is its message's alone, and a level's lies in pieces. */
  release(chunks: readonly Buffer[]): void {
    this.#options.blocks.giveCut(chunks);
  }

  room(): Buffer | null {
    return this.#decoder.room();
  }

  filled(bytes: number): void {
    const violation = this.#decoder.filled(bytes);
    if (violation) this.#refuse(violation.rule, violation.message);
  }

  received(chunk: Buffer): void {
    const violation = this.#decoder.push(chunk);
    if (violation) this.#refuse(violation.rule, violation.message);
  }

  kept(): Kept {
    const isHeld = this.#decoder.isWithinSlices || this.#session?.holds !== false;
    if (!isHeld) return 'nothing';
    return this.#decoder.keeps ? 'chunk' : 'earlier';
  }

  burstEnd(): void {
    if (this.#state === 'open') this.#session?.burstEnd();
  }

  lost(reason: string): void {
    if (this.#state === 'closed') return;
    const session = this.#session;
    this.#end(reason);
    session?.closed();
  }

  #heard(message: ToReplica): void {
    if (message.type === 'seal') this.#sealed(message);
    else if (this.#state === 'asking') this.#refuse('order', `${message.type} before the Seal was answered`);
    else this.#session?.message(message);
  }

  #sealed(seal: Seal): void {
    const broken = this.#ruleOfPeer(seal);
    if (broken) return this.#refuse('peer', broken);
    clearTimeout(this.#sealTimer);
    this.#state = 'asking';
    this.#options.appointed(seal, (refusal) => this.#open(seal, refusal));
  }

  #open(seal: Seal, refusal: AppointmentRefusal | null): void {
    if (this.#state !== 'asking') return;
    if (refusal) return this.#refuse(refusal.rule, refusal.message);
    this.#state = 'open';
    this.#encoder = new Encoder(seal, null, this.#decoder.session?.protocolVersion);
    this.#options.events.connectionOpened(this.peer);
    this.#session = this.#options.accept(seal, this);
  }

  #ruleOfPeer(seal: Seal): string | null {
    const { proved } = this.#options;
    const node = seal.config.primary?.node;
    if (proved === 'plain') return null;
    if (proved?.role === 'agent' && proved.name === node) return null;
    return `a Seal of primary ${node} from ${proved ? this.peer : 'nobody'}`;
  }

  #overflow(): void {
    // Later: the caller is in the middle of sending.
    const message = `more than ${this.#options.limits.unsentBytesMax} bytes wait to be sent`;
    process.nextTick(() => this.#refuse('unsentBytesMax', message));
  }

  /** The peer is told why, once it is known who that is: else its log would say of a wrong certificate or version that the connection broke. */
  #refuse(rule: ConnectionRule, message: string): void {
    if (this.#state === 'closed') return;
    this.#options.events.connectionRefused({ peer: this.peer, rule, message });
    const offered = this.#decoder.session;
    if (offered && rule !== 'unsentBytesMax') {
      const encoder = new Encoder(offered, null, offered.protocolVersion);
      this.#frames.write(encoder.encode({ type: 'refused', code: 'protocol', message, promisedEpoch: 0, seenVersion: 0 }));
      this.#frames.close();
    } else this.#frames.destroy();
    this.lost(message);
  }

  #end(reason: string): void {
    if (this.#state === 'open') this.#options.events.connectionClosed(this.peer, reason);
    this.#state = 'closed';
    clearTimeout(this.#sealTimer);
    this.#decoder.stop();
  }
}
