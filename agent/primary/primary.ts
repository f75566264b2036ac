/**
 * One volume's primary, for one epoch.
 *
 *   sealing --every in-sync replica answered or was dropped--> waiting --a lease of before ran out--> ready
 *   any --told to let go, or nothing left to do--> closing --all settled, leases void, primary: null written--> closed
 *   any --a config of another epoch or instance--> closed, without another word
 *
 * Every event ends in `#maintain`. It must never answer a client once a later epoch may have begun; see Frontend and the leases.
 */
import type { Clock } from '../../core/clock.ts';
import type { PrimaryMode, VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName, ReplicaId } from '../../core/ids.ts';
import type { Settings } from '../../core/settings.ts';
import type { FromReplica } from '../../core/wire/messages.ts';
import type { BlockDevice } from '../ports.ts';
import type { ConfigPort, Connect } from '../replication/link.ts';
import { Frontend } from './frontend.ts';
import { InSyncSet, type Stage } from './inSyncSet.ts';
import { Leveller } from './leveller.ts';
import { Loader } from './loading.ts';
import type { Peer, Trouble } from './peer.ts';
import { Replication } from './replication.ts';
import { type PrimaryPhase, type PrimaryReport, reportOf } from './report.ts';
import { clearSuspicion, isAllSuspect, tellLoss } from './suspicion.ts';

/** Between two ticks further apart than this the process stood still: nobody's silence counts. */
const STANDSTILL_MS = 500;
/** Rounds of one `#maintain`: each begins something new, so it ends long before; the rest is the next event's. */
const ROUNDS_MAX = 100;

/** released: `primary: null` is written. fenced: a later config names another. lost: the agent stopped it. */
export type PrimaryEnd = 'released' | 'fenced' | 'lost';

export interface PrimaryEvents {
  /** True: serve `device` on the NBD socket now. False: close it, answering waiting requests with ESHUTDOWN. */
  socket(open: boolean): void;
  /** Its last event. After fenced and lost, connections must be dropped without answering anything more. */
  closed(why: PrimaryEnd, reason: string): void;
  reportChanged(): void;
}

export type PrimaryOptions = {
  config: VolumeConfig;
  node: NodeName;
  instance: InstanceId;
  settings: () => Settings;
  connect: Connect;
  configPort: ConfigPort;
  clock: Clock;
  events: PrimaryEvents;
};

export class Primary {
  readonly #options: PrimaryOptions;
  readonly #clock: Clock;
  readonly #epoch: number;
  readonly #replication: Replication;
  readonly #frontend: Frontend;
  readonly #loader: Loader;
  readonly #leveller: Leveller;
  readonly #inSyncSet: InSyncSet;
  /** The in-sync set that this epoch began with: one of its leases is waited for. */
  readonly #promotedWith: readonly ReplicaId[];
  /** When the leases that one sealed replica of that set had granted have run out: an earlier primary needed all of them. */
  #mayStartAtMs = Number.POSITIVE_INFINITY;
  #phase: PrimaryPhase = 'sealing';
  #socketOpen = false;
  #lettingGo = false;
  #released = false;
  #isGivenUp = false;
  /** It was ready: a loss from here on must not go unsaid. */
  #hasServed = false;
  #maintaining = false;
  #again = false;
  #tickAtMs: number;
  /** Until then nobody's silence counts: the primary itself stood still for as long. A broken connection always does. */
  #patientUntilMs = 0;

  constructor(options: PrimaryOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#epoch = options.config.epoch;
    this.#tickAtMs = this.#clock.monotonicMs();
    this.#replication = new Replication({
      config: options.config,
      shardIndex: 0,
      clock: options.clock,
      localNode: options.node,
      dropSession: (peer, reason) => this.#dropSession(peer, reason),
    });
    this.#promotedWith = [...this.#replication.shard.inSync];
    this.#frontend = new Frontend(this.#replication, options.clock);
    const changed = () => this.#maintain();
    this.#loader = new Loader(this.#replication, options.clock, changed);
    this.#leveller = new Leveller(this.#replication, options.clock, () => options.settings().resyncBytesPerSecond, changed);
    const propose: ConfigPort['propose'] = (known, next) => options.configPort.propose(known, next);
    this.#inSyncSet = new InSyncSet({ replication: this.#replication, clock: options.clock, propose, changed });
    this.#maintain();
  }

  get device(): BlockDevice {
    return this.#frontend;
  }

  get phase(): PrimaryPhase {
    return this.#phase;
  }

  get #stage(): Stage {
    return { isPromoting: this.#phase === 'sealing', hasServed: this.#hasServed };
  }

  get #mode(): PrimaryMode {
    return this.#lettingGo ? 'release' : (this.#replication.known.primary?.mode ?? 'release');
  }

  /** A later config of this volume; of which it does not matter who made it. */
  observe(config: VolumeConfig): void {
    const { known } = this.#replication;
    if (this.#phase === 'closed' || config.version <= known.version) return;
    const { node, instance } = this.#options;
    const isMine = config.epoch === this.#epoch && config.primary?.node === node && config.primary.instance === instance;
    if (!isMine) {
      const hasLetGo = config.epoch === this.#epoch && config.primary === null && this.#released;
      const reason = hasLetGo
        ? 'all is settled, the leases are void'
        : `epoch ${config.epoch}, version ${config.version}: the primary is another`;
      return this.#end(hasLetGo ? 'released' : 'fenced', reason);
    }
    // Nothing may be settled or sent between the parts of the change: first all of it, then what follows from it.
    this.#maintaining = true;
    this.#adopt(config);
    this.#maintaining = false;
    this.#maintain();
  }

  tick(): void {
    if (this.#phase === 'closed') return;
    const nowMs = this.#clock.monotonicMs();
    const { replicaTimeoutMs, ioTimeoutMs, heartbeatMs, leaseMs } = this.#options.settings();
    const stoodStillMs = nowMs - this.#tickAtMs;
    if (stoodStillMs > STANDSTILL_MS) this.#patientUntilMs = nowMs + Math.min(stoodStillMs, replicaTimeoutMs);
    this.#tickAtMs = nowMs;
    const { settled } = this.#replication.inFlight;
    for (const peer of this.#replication.peers.values()) {
      if (nowMs >= this.#patientUntilMs && peer.silentForMs(nowMs) > replicaTimeoutMs)
        this.#dropSession(peer, `silent for ${replicaTimeoutMs} ms`);
      // A ping asks for a lease: once the leases were given back, none is asked for.
      if (peer.isUp && !this.#released) peer.ping(nowMs, heartbeatMs, settled, leaseMs, this.#mayClean(peer));
    }
    this.#frontend.expire(ioTimeoutMs);
    this.#maintain();
  }

  report(): PrimaryReport {
    return reportOf(this.#replication, this.#phase, this.#socketOpen, this.#clock.monotonicMs());
  }

  letGo(): void {
    this.#lettingGo = true;
    this.#maintain();
  }

  stop(): void {
    this.#end('lost', 'the agent stopped it');
  }

  #mayClean(peer: Peer): boolean {
    const levelled = this.#phase === 'ready' && this.#replication.gate.size === 0;
    return levelled && peer.state === 'open' && peer.need.size === 0;
  }

  #adopt(config: VolumeConfig): void {
    const replication = this.#replication;
    const before = [...replication.shard.inSync, ...replication.proposedInSync];
    replication.known = config;
    replication.proposal = null;
    replication.joining = null;
    for (const removed of replication.syncMembers()) {
      removed.down(this.#clock.monotonicMs());
    }
    const after = replication.shard.inSync;
    const gone = before.filter((replica) => !after.includes(replica));
    for (const replica of gone) {
      const peer = replication.peers.get(replica);
      // It comes back as a learner, by a session of its own: what it was sent in this one is not known to have arrived.
      if (peer) {
        peer.wasLoaded = false;
        this.#dropSession(peer, 'left the in-sync set');
      }
    }
    for (const peer of replication.peers.values()) {
      if (peer.member.leaving && !replication.isInSync(peer)) this.#dropSession(peer, 'leaves the volume');
    }
    replication.recount();
    if (gone.length > 0) replication.restampInFlight();
    this.#options.events.reportChanged();
  }

  /** The common burst, acknowledgements and data, settles and answers; whatever else happened in it has asked for more by itself. */
  #burstEnd(): void {
    if (this.#phase !== 'ready' || this.#maintaining) return this.#maintain();
    this.#settle();
    this.#frontend.step();
  }

  /** What ends every event: once, however often something changes on the way. */
  #maintain(): void {
    this.#again = true;
    if (this.#maintaining) return;
    this.#maintaining = true;
    for (let rounds = 0; this.#again && this.#phase !== 'closed' && rounds < ROUNDS_MAX; rounds++) {
      this.#again = false;
      this.#connectDown();
      this.#loader.step();
      if (this.#endsByLoss()) {
        this.#close();
        break;
      }
      this.#replication.chooseAuthority();
      this.#advance();
      this.#settle();
      this.#frontend.step();
      this.#leveller.step(this.#frontend.wantedExtents());
      if (this.#phase === 'ready') clearSuspicion(this.#replication);
      if (!this.#released) this.#inSyncSet.step(this.#stage);
      this.#close();
    }
    this.#maintaining = false;
  }

  /** A loss that may still be told is; one under a primary that has served ends it: the clients of the next epoch attach knowing. */
  #endsByLoss(): boolean {
    if (!this.#hasServed) tellLoss(this.#replication);
    else if (isAllSuspect(this.#replication)) this.#giveUp('every in-sync replica lost power: what was not flushed may be gone');
    return this.#isGivenUp;
  }

  /** No client of this epoch may go on. The leader is told by `primary: null`, and promotes anew; what is in flight was never acknowledged. */
  #giveUp(reason: string): void {
    if (this.#isGivenUp) return;
    this.#isGivenUp = true;
    this.#beginClosing(reason);
  }

  #connectDown(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const peer of this.#replication.peers.values()) {
      if (peer.state !== 'down' || nowMs < peer.retryAtMs || this.#released) continue;
      // Leaving, and out: it is not wanted back.
      if (peer.member.leaving && !this.#replication.counts(peer)) continue;
      this.#connect(peer, nowMs);
    }
  }

  #connect(peer: Peer, nowMs: number): void {
    const { known } = this.#replication;
    const { instance, connect } = this.#options;
    const isCurrent = () => peer.link === link;
    const link = connect(
      peer.member,
      { type: 'seal', volume: known.uid, replica: peer.member.replica, epoch: this.#epoch, instance, config: known },
      {
        message: (message) => {
          if (isCurrent()) this.#message(peer, message);
        },
        burstEnd: () => {
          if (isCurrent()) this.#burstEnd();
        },
        closed: (reason) => {
          if (isCurrent()) this.#dropSession(peer, reason);
          this.#maintain();
        },
      },
    );
    peer.connecting(link, nowMs);
  }

  #message(peer: Peer, message: FromReplica): void {
    const nowMs = this.#clock.monotonicMs();
    switch (message.type) {
      case 'sealed':
        return this.#sealed(peer, message.suspect, message.leaseRemainingMs, nowMs);
      case 'refused':
        if (message.code === 'fenced' || message.code === 'newerConfig') this.#options.configPort.recheck();
        return this.#dropSession(peer, message.message, message.code);
      case 'failed':
        return this.#dropSession(peer, message.message, 'failed');
      case 'applied':
        return peer.hasApplied(message.sequence, this.#replication.inFlight.last, nowMs);
      case 'pong':
        peer.pong(message.id);
        return this.#replication.refreshLease();
      default:
        if (!peer.reply(message)) this.#dropSession(peer, `an answer to nothing that was asked: ${message.type} ${message.id}`);
    }
  }

  #sealed(peer: Peer, suspect: boolean, leaseRemainingMs: number, nowMs: number): void {
    if (peer.state !== 'sealing') return this.#dropSession(peer, 'sealed twice');
    const { inFlight } = this.#replication;
    const counts = this.#replication.counts(peer);
    peer.sealedAt(nowMs, suspect, leaseRemainingMs, counts ? inFlight.settled : inFlight.last);
    if (this.#promotedWith.includes(peer.member.replica)) this.#mayStartAtMs = Math.min(this.#mayStartAtMs, nowMs + leaseRemainingMs);
    if (counts) this.#replication.resend(peer);
    this.#maintain();
  }

  #dropSession(peer: Peer, reason: string, code: Trouble['code'] = 'broken'): void {
    if (peer.state === 'down') return;
    peer.trouble = { code, message: reason };
    peer.down(this.#clock.monotonicMs());
    // Counted before its joining was proposed: it is a learner again, whatever else is proposed. Once that is out, it counts until the outcome is known.
    if (this.#replication.joining === peer && !this.#replication.isProposed(peer)) this.#replication.joining = null;
    this.#replication.recount();
    this.#options.events.reportChanged();
    this.#maintain();
  }

  #advance(): void {
    const replication = this.#replication;
    if (this.#phase === 'sealing') {
      const inSync = replication.shard.inSync.map((replica) => replication.peers.get(replica));
      const isSealed = !replication.proposal && inSync.every((peer) => peer?.state === 'open') && replication.authority !== null;
      if (!isSealed) return;
      this.#become('waiting');
    }
    const mayStart = this.#clock.monotonicMs() >= this.#mayStartAtMs && replication.isLeased();
    if (this.#phase === 'waiting' && mayStart) this.#become('ready');
    const wantsSocket = this.#phase === 'ready' && this.#mode === 'serve';
    if (wantsSocket === this.#socketOpen) return;
    this.#socketOpen = wantsSocket;
    if (wantsSocket) this.#frontend.open();
    else this.#frontend.close('the volume is detached');
    this.#options.events.socket(wantsSocket);
    this.#options.events.reportChanged();
  }

  #settle(): void {
    for (const entry of this.#replication.settle()) {
      entry.done?.(null);
      if (entry.waiters) for (const waiter of entry.waiters) waiter();
    }
  }

  /** Lets go when told to, or in the background when nothing is left to do. */
  #close(): void {
    const replication = this.#replication;
    if (this.#phase !== 'closing') {
      const isIdle = this.#phase === 'ready' && this.#mode === 'background' && this.#nothingLeft();
      if (this.#mode !== 'release' && !isIdle) return;
      this.#beginClosing('the volume is detached');
    }
    const isSettled = this.#isGivenUp || (replication.inFlight.count === 0 && this.#leveller.isIdle);
    if (replication.proposal || !isSettled) return;
    this.#release();
    this.#inSyncSet.propose({ ...replication.known, version: replication.known.version + 1, primary: null });
  }

  #beginClosing(reason: string): void {
    this.#become('closing');
    this.#frontend.close(reason);
    if (this.#socketOpen) this.#options.events.socket(false);
    this.#socketOpen = false;
  }

  /** From here on nobody is answered, so the leases are given back. */
  #release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#frontend.silence();
    for (const peer of this.#replication.peers.values()) if (peer.isUp) peer.send({ type: 'release' });
  }

  #nothingLeft(): boolean {
    const { peers, gate } = this.#replication;
    if (gate.size > 0) return false;
    return [...peers.values()].every((peer) =>
      peer.member.leaving ? !this.#replication.isInSync(peer) : this.#replication.isInSync(peer),
    );
  }

  #become(phase: PrimaryPhase): void {
    this.#phase = phase;
    if (phase === 'ready') this.#hasServed = true;
    this.#options.events.reportChanged();
  }

  #end(why: PrimaryEnd, reason: string): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#frontend.silence();
    for (const peer of this.#replication.peers.values()) peer.down(this.#clock.monotonicMs());
    this.#options.events.closed(why, reason);
  }
}
