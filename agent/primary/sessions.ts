/**
 * The sessions of one shard: opens one to every member that is wanted, hears what comes in, ends those that break, that are silent or that do not keep
 * to the protocol. Who counts meanwhile is Replication's to know.
 */
import type { Clock } from '../../core/clock.ts';
import type { InstanceId, NodeName, ReplicaId } from '../../core/ids.ts';
import type { Settings } from '../../core/settings.ts';
import type { FromReplica } from '../../core/wire/messages.ts';
import type { OpenReads } from '../ports.ts';
import type { Connect } from '../replication/link.ts';
import type { Peer, Trouble } from './peer.ts';
import type { Replication } from './replication.ts';
import type { Witness } from './witness.ts';

type Sealed = Extract<FromReplica, { type: 'sealed' }>;

export type SessionsOptions = {
  epoch: number;
  instance: InstanceId;
  clock: Clock;
  connect: Connect;
  openReads: OpenReads;
  /** A replica claims to know a later config. */
  recheck: () => void;
  /** The leases were given back: no session is opened any more, and no lease is asked for. */
  isReleased: () => boolean;
  changed: () => void;
  /** The common burst, acknowledgements and data: nothing else happened. */
  burstEnd: (replication: Replication) => void;
  reportChanged: () => void;
  witness: Witness;
};

export class Sessions {
  readonly #replication: Replication;
  readonly #options: SessionsOptions;
  readonly #clock: Clock;
  /** The in-sync set that this epoch began with: one of its leases is waited for. */
  readonly #promotedWith: readonly ReplicaId[];
  #mayStartAtMs = Number.POSITIVE_INFINITY;

  constructor(replication: Replication, options: SessionsOptions) {
    this.#replication = replication;
    this.#options = options;
    this.#clock = options.clock;
    this.#promotedWith = [...replication.shard.inSync];
  }

  /** When the leases that one sealed replica of the set of the promotion had granted have run out: an earlier primary needed all of them. */
  get mayStartAtMs(): number {
    return this.#mayStartAtMs;
  }

  reachable(node: NodeName): void {
    for (const peer of this.#replication.peers.values()) {
      if (peer.member.node !== node) continue;
      // A dial that is under way was of the one before, or of nobody: it may not end for long.
      if (peer.state === 'sealing') this.drop(peer, 'its agent has come, it is dialled anew');
      peer.retryAtMs = this.#clock.monotonicMs();
    }
  }

  connectDown(): void {
    if (this.#options.isReleased()) return;
    const nowMs = this.#clock.monotonicMs();
    for (const peer of this.#replication.peers.values()) {
      if (peer.state !== 'down' || nowMs < peer.retryAtMs) continue;
      // Leaving, and out: it is not wanted back.
      if (peer.member.leaving && !this.#replication.counts(peer)) continue;
      this.#connect(peer, nowMs);
    }
  }

  /** `isPatient`: nobody's silence counts now. */
  tick(nowMs: number, settings: Settings, isPatient: boolean, mayClean: (peer: Peer) => boolean): void {
    const { replicaTimeoutMs, heartbeatMs, leaseMs } = settings;
    this.#replication.growAgain(nowMs);
    for (const peer of this.#replication.peers.values()) {
      if (!isPatient && peer.silentForMs(nowMs) > replicaTimeoutMs) this.drop(peer, `silent for ${replicaTimeoutMs} ms`);
    }
    this.ping(nowMs, heartbeatMs, leaseMs, mayClean);
  }

  /** Whoever was not asked for a lease within `heartbeatMs` is asked. */
  ping(nowMs: number, heartbeatMs: number, leaseMs: number, mayClean: (peer: Peer) => boolean): void {
    if (this.#options.isReleased()) return;
    const { settled } = this.#replication.inFlight;
    for (const peer of this.#replication.peers.values()) {
      if (peer.isUp && peer.ping(nowMs, heartbeatMs, settled, leaseMs, mayClean(peer))) this.#options.witness.asked(peer.member, nowMs);
    }
  }

  drop(peer: Peer, reason: string, code: Trouble['code'] = 'broken'): void {
    if (peer.state === 'down') return;
    peer.trouble = { code, message: reason };
    peer.down(this.#clock.monotonicMs());
    // Counted before its joining was proposed: it is a learner again, whatever else is proposed. Once that is out, it counts until the outcome is known.
    if (this.#replication.joining === peer && !this.#replication.isProposed(peer)) this.#replication.joining = null;
    this.#replication.recount();
    this.#options.reportChanged();
    this.#options.changed();
  }

  /** Gives all leases back: nobody is answered any more. */
  release(): void {
    for (const peer of this.#replication.peers.values()) if (peer.isUp) peer.send({ type: 'release' });
  }

  /** At once, without a word. */
  end(): void {
    for (const peer of this.#replication.peers.values()) peer.down(this.#clock.monotonicMs());
  }

  #connect(peer: Peer, nowMs: number): void {
    const { known } = this.#replication;
    const { connect, epoch, instance } = this.#options;
    const isCurrent = () => peer.link === link;
    const link = connect(
      peer.member,
      { type: 'seal', volume: known.uid, replica: peer.member.replica, epoch, instance, config: known },
      {
        message: (message) => {
          if (isCurrent()) this.#message(peer, message);
        },
        burstEnd: () => {
          if (isCurrent()) this.#options.burstEnd(this.#replication);
        },
        closed: (reason) => {
          if (isCurrent()) this.drop(peer, reason);
          this.#options.changed();
        },
      },
    );
    peer.connecting(link, nowMs);
  }

  #message(peer: Peer, message: FromReplica): void {
    const nowMs = this.#clock.monotonicMs();
    switch (message.type) {
      case 'sealed':
        return this.#sealed(peer, message, nowMs);
      case 'refused':
        if (message.code === 'fenced' || message.code === 'newerConfig') {
          peer.refusedAhead(message.promisedEpoch, message.seenVersion, nowMs);
          this.#options.recheck();
        }
        return this.drop(peer, message.message, message.code);
      case 'failed':
        return this.drop(peer, message.message, 'failed');
      case 'applied':
        return peer.hasApplied(message.sequence, this.#replication.inFlight.last, nowMs);
      case 'pong':
        peer.pong(message.id);
        this.#options.witness.answered(peer.member, nowMs);
        return this.#replication.refreshLease();
      default:
        if (!peer.reply(message)) this.drop(peer, `an answer to nothing that was asked: ${message.type} ${message.id}`);
    }
  }

  #sealed(peer: Peer, sealed: Sealed, nowMs: number): void {
    if (peer.state !== 'sealing') return this.drop(peer, 'sealed twice');
    const { sizeBytes, leaseRemainingMs } = sealed;
    if (sizeBytes < peer.sizeBytes) return this.drop(peer, `it has ${sizeBytes} bytes, and had ${peer.sizeBytes}`, 'failed');
    if (this.#promotedWith.includes(peer.member.replica)) this.#mayStartAtMs = Math.min(this.#mayStartAtMs, nowMs + leaseRemainingMs);
    peer.sizeBytes = sizeBytes;
    this.#grow(peer, sealed);
    this.#options.changed();
  }

  /**
   * One that is too small takes part when it has the room: then nothing that it is sent lies beyond. The config may name more meanwhile. One that counts and has
   * no room to grow takes part as it is, for nothing was ever offered that it has no room for (see Growth): a disk that is full must not cost what is on it.
   */
  #grow(peer: Peer, sealed: Sealed): void {
    if (peer.sizeBytes >= this.#replication.wantedBytes) return this.#takesPart(peer, sealed);
    peer.growing();
    this.#replication.askToGrow(peer, (problem) => {
      if (problem === null) this.#grow(peer, sealed);
      else if (this.#replication.counts(peer)) this.#takesPart(peer, sealed);
      else this.drop(peer, problem);
      this.#options.changed();
    });
  }

  #takesPart(peer: Peer, { suspect, resync }: Sealed): void {
    const { inFlight } = this.#replication;
    const counts = this.#replication.counts(peer);
    peer.sealedAt(suspect, counts ? inFlight.settled : inFlight.last, inFlight.last);
    peer.resync = resync;
    peer.reads = this.#replication.isLocal(peer) ? this.#options.openReads(peer.member) : null;
    this.#replication.recount();
    if (counts) this.#replication.resend(peer);
  }
}
