/**
 * One volume's primary, for one epoch: what holds for all of its shards together.
 *
 *   sealing --every in-sync replica of every shard answered or was dropped--> waiting --in each, a lease of before ran out--> ready
 *   any --told to let go, or nothing left to do--> closing --all settled, leases void, primary: null written--> closed
 *   any --a config of another epoch or instance--> closed, without another word
 *
 * Every event ends in `#maintain`. It must never answer a client once a later epoch may have begun; see Frontend and the leases.
 */
import type { Clock } from '../../core/clock.ts';
import { isLossUnseen, type PrimaryMode, type VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { BlockDevice, IoError, SnapshotRequest } from '../ports.ts';
import type { ConfigPort } from '../replication/link.ts';
import { PROGRESS_PACE } from './catchUp.ts';
import { GIVEN_AWAY, LOST } from './endings.ts';
import { Frontend } from './frontend.ts';
import { offerableBytes } from './growth.ts';
import { Heartbeats } from './heartbeats.ts';
import { InSyncSet } from './inSyncSet.ts';
import { Knowledge } from './knowledge.ts';
import { type Load, loadOf } from './load.ts';
import type { PrimaryEnd, PrimaryOptions } from './options.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';
import { type PrimaryPhase, type PrimaryReport, reportOf } from './report.ts';
import { Scrubber } from './scrubber.ts';
import type { SessionsOptions } from './sessions.ts';
import { PrimaryShard, settle } from './shard.ts';
import { type SnapshotDone, Snapshots } from './snapshot.ts';
import { clearSuspicion, isAllSuspect, tellLoss } from './suspicion.ts';
import { Witness } from './witness.ts';

/** Rounds of one `#maintain`: each begins something new, so it ends long before; the rest is the next event's. */
const ROUNDS_MAX = 100;
/** How long a primary stays that was made for work in the background: a snapshot is asked for when it is seen to be there. */
const BACKGROUND_MS = 2_000;

export class Primary {
  readonly #options: PrimaryOptions;
  readonly #clock: Clock;
  readonly #witness: Witness;
  readonly #epoch: number;
  readonly #knowledge: Knowledge;
  readonly #shards: readonly PrimaryShard[];
  readonly #frontend: Frontend;
  readonly #heartbeats: Heartbeats;
  readonly #inSyncSet: InSyncSet;
  readonly #snapshots: Snapshots;
  readonly #scrubber: Scrubber;
  #phase: PrimaryPhase = 'sealing';
  #socketOpen = false;
  #lettingGo = false;
  #released = false;
  #isGivenUp = false;
  /** It was ready: a loss from here on must not go unsaid. */
  #hasServed = false;
  #readyAtMs = 0;
  #maintaining = false;
  #again = false;
  /** How many shards share what copying may take. */
  #resyncing = 1;

  constructor(options: PrimaryOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#witness = options.witness ?? new Witness();
    this.#epoch = options.config.epoch;
    this.#knowledge = new Knowledge(options.config);
    this.#shards = options.config.shards.map((_, index) => this.#makeShard(index));
    this.#snapshots = new Snapshots({
      knowledge: this.#knowledge,
      shards: this.#shards,
      clock: options.clock,
      ioTimeoutMs: () => options.settings().ioTimeoutMs,
      sizeBytes: () => this.#frontend.sizeBytes,
      changed: () => this.#maintain(),
    });
    const mayClean = this.#mayClean.bind(this);
    this.#heartbeats = new Heartbeats({ ...options, witness: this.#witness, shards: this.#shards, mayClean, mayRest: () => this.#mayRest });
    this.#frontend = new Frontend({
      name: options.config.name,
      uid: options.config.uid,
      replications: this.#replications,
      ...options,
      holdsOperations: () => this.#snapshots.isUp,
      requested: (nowMs) => this.#heartbeats.requested(nowMs),
      question: { mayAsk: (peer) => peer.isUp, ask: (...asked) => this.#confirm(...asked) },
    });
    this.#useLeases(options.settings().leaseMs);
    this.#frontend.throttle.set(options.config.limits);
    this.#scrubber = new Scrubber({
      replications: this.#replications,
      clock: options.clock,
      settings: options.settings,
      state: options.scrub ?? null,
      mayRun: () => this.#phase === 'ready' && this.#mode === 'serve' && this.#snapshots.isIdle,
      changed: () => this.#maintain(),
      reportChanged: () => options.events.reportChanged(),
    });
    const propose: ConfigPort['propose'] = (known, next) => options.configPort.propose(known, next);
    this.#inSyncSet = new InSyncSet({ knowledge: this.#knowledge, shards: this.#shards, clock: options.clock, propose });
    this.#maintain();
  }

  get device(): BlockDevice {
    return this.#frontend;
  }

  get phase(): PrimaryPhase {
    return this.#phase;
  }

  get #replications(): Replication[] {
    return this.#shards.map((shard) => shard.replication);
  }

  get #mode(): PrimaryMode {
    return this.#lettingGo ? 'release' : (this.#knowledge.known.primary?.mode ?? 'release');
  }

  /** A later config of this volume; of which it does not matter who made it. */
  observe(config: VolumeConfig): void {
    if (this.#phase === 'closed' || config.version <= this.#knowledge.known.version) return;
    const { node, instance } = this.#options;
    const isMine = config.epoch === this.#epoch && config.primary?.node === node && config.primary.instance === instance;
    if (!isMine) {
      const hasLetGo = config.epoch === this.#epoch && config.primary === null && this.#released;
      const reason = hasLetGo
        ? 'all is settled, the leases are void'
        : `epoch ${config.epoch}, version ${config.version}: the primary is another`;
      return this.#end(hasLetGo ? 'released' : 'fenced', reason);
    }
    // Where each byte lies follows from their number: a volume keeps it for ever.
    if (config.shards.length !== this.#shards.length)
      return this.#end('lost', `${config.shards.length} shards, not ${this.#shards.length}`);
    // Nothing may be settled or sent between the parts of the change: first all of it, in every shard, then what follows from it.
    this.#maintaining = true;
    this.#adopt(config);
    this.#maintaining = false;
    this.#maintain();
  }

  tick(): void {
    if (this.#phase === 'closed') return;
    this.#useLeases(this.#options.settings().leaseMs);
    this.#heartbeats.tick(() => {
      this.#frontend.expire(this.#options.settings().ioTimeoutMs);
      this.#work();
    });
  }

  /** Ticks may come less often. */
  get isResting(): boolean {
    return this.#heartbeats.isResting;
  }

  report(): PrimaryReport {
    return reportOf({
      replications: this.#replications,
      phase: this.#phase,
      isSocketOpen: this.#socketOpen,
      isLeased: this.#frontend.replies.mayBegin || this.#heartbeats.excusesLeases,
      sizeBytes: this.#frontend.sizeBytes,
      nowMs: this.#clock.monotonicMs(),
    });
  }

  /** What it keeps at this moment, beside the maxima. */
  load(): Load[] {
    return loadOf(this.#replications, this.#frontend, this.#snapshots);
  }

  /** How far the replicas are compared; apart from the report, for it changes all the time. Null: never begun. */
  get scrub(): ScrubState | null {
    return this.#scrubber.state;
  }

  /** An agent has come to that node: replicas there are dialled at once, not when their turn would come. */
  reachable(node: NodeName): void {
    for (const shard of this.#shards) shard.sessions.reachable(node);
    this.#maintain();
  }

  letGo(): void {
    this.#lettingGo = true;
    this.#maintain();
  }

  /** Keeps the volume as it is at one moment, on every in-sync replica. `done` is told once, also when this primary ends before. */
  snapshot(request: SnapshotRequest, done: SnapshotDone): void {
    this.#snapshots.request(request, done);
    this.#maintain();
  }

  stop(): void {
    this.#end('lost', 'the agent stopped it');
  }

  #useLeases(leaseMs: number): void {
    this.#knowledge.needsLeases = leaseMs > 0;
    this.#frontend.replies.useLeases(leaseMs);
  }

  /** Served, and nothing is under way that is not a shard's own. */
  get #mayRest(): boolean {
    const isDone = this.#knowledge.proposal === null && this.#frontend.sizeBytes >= this.#knowledge.sizeBytes;
    return this.#socketOpen && isDone && this.#frontend.isIdle && this.#snapshots.isIdle && this.#scrubber.isIdle;
  }

  #mayClean(shard: PrimaryShard | undefined, peer: Peer): boolean {
    return this.#phase === 'ready' && shard !== undefined && shard.mayClean(peer);
  }

  /** Whether it has promised anybody newer. It says what every ping says. */
  #confirm(peer: Peer, { shardIndex, inFlight }: Replication, answered: () => void): boolean {
    return peer.confirm(this.#clock.monotonicMs(), inFlight.settled, this.#mayClean(this.#shards[shardIndex], peer), answered);
  }

  #makeShard(index: number): PrimaryShard {
    const { clock, node, instance, connect, configPort, settings, events, openReads } = this.#options;
    const sessions: SessionsOptions = {
      epoch: this.#epoch,
      instance,
      clock,
      connect,
      openReads: openReads ?? (() => null),
      recheck: () => configPort.recheck(),
      isReleased: () => this.#released,
      changed: () => this.#maintain(),
      burstEnd: (replication) => this.#burstEnd(replication),
      reportChanged: () => events.reportChanged(),
      witness: this.#witness,
    };
    const progressPace = this.#options.progressPace ?? PROGRESS_PACE;
    const resyncBytesPerSecond = () => settings().resyncBytesPerSecond / this.#resyncing;
    return new PrimaryShard({ knowledge: this.#knowledge, index, clock, localNode: node, resyncBytesPerSecond, progressPace, sessions });
  }

  #adopt(config: VolumeConfig): void {
    const before = this.#shards.map((shard) => shard.possiblyInSync);
    this.#knowledge.adopt(config);
    this.#frontend.throttle.set(config.limits);
    this.#shards.forEach((shard, index) => {
      shard.adopted(before[index] ?? []);
    });
    this.#options.events.reportChanged();
  }

  /** The common burst, acknowledgements and data, settles and answers; whatever else happened in it has asked for more by itself. */
  #burstEnd(replication: Replication): void {
    if (this.#phase !== 'ready' || this.#maintaining || this.#snapshots.isUp) return this.#maintain();
    settle(replication);
    this.#frontend.step();
  }

  /** What ends every event: once, however often something changes on the way. */
  #maintain(): void {
    this.#heartbeats.stirred();
    this.#work();
  }

  #work(): void {
    this.#again = true;
    if (this.#maintaining) return;
    this.#maintaining = true;
    for (let rounds = 0; this.#again && this.#phase !== 'closed' && rounds < ROUNDS_MAX; rounds++) {
      this.#again = false;
      this.#round();
    }
    this.#maintaining = false;
  }

  /** The same in the same order, for all shards: none is ahead of the others. */
  #round(): void {
    for (const shard of this.#shards) shard.connectAndLoad();
    if (this.#endsByLoss()) return this.#close();
    for (const { replication } of this.#shards) replication.chooseAuthority();
    this.#grow();
    this.#advance();
    for (const { replication } of this.#shards) settle(replication);
    this.#snapshots.step(this.#phase === 'ready');
    this.#frontend.step();
    this.#level();
    if (this.#phase === 'ready') for (const { replication } of this.#shards) clearSuspicion(replication);
    this.#scrubber.step();
    if (!this.#released && !this.#snapshots.isKeeping)
      this.#inSyncSet.step({ isPromoting: this.#phase === 'sealing', hasServed: this.#hasServed });
    this.#close();
  }

  /** While a snapshot waits for nothing to move, only what is in doubt is made equal. */
  #level(): void {
    this.#resyncing = Math.max(1, this.#shards.filter((shard) => shard.isResyncing).length);
    for (const shard of this.#shards) {
      if (this.#snapshots.isUp && shard.replication.gate.size === 0) continue;
      shard.level(this.#frontend.wantedExtents(shard.replication));
    }
  }

  /** A loss that may still be told is; one under a primary that has served ends it: the clients of the next epoch attach knowing. */
  #endsByLoss(): boolean {
    if (!this.#hasServed) for (const { replication } of this.#shards) tellLoss(replication);
    else if (this.#shards.some(({ replication }) => isAllSuspect(replication))) this.#giveUp();
    return this.#isGivenUp;
  }

  /** No client of this epoch may go on. The leader is told by `primary: null`, and promotes anew; what is in flight was never acknowledged. */
  #giveUp(): void {
    if (this.#isGivenUp) return;
    this.#isGivenUp = true;
    this.#beginClosing(LOST);
  }

  /** Offers what everybody has room for by now. */
  #grow(): void {
    const { sizeBytes } = this.#knowledge;
    const offerable = this.#frontend.sizeBytes < sizeBytes ? offerableBytes(this.#replications, sizeBytes) : null;
    if (offerable === null || offerable <= this.#frontend.sizeBytes) return;
    this.#frontend.offer(offerable);
    this.#options.events.reportChanged();
  }

  /** Until it is ready, one that comes back may have lost power meanwhile, and so all of them: a loss is to stand, and to be seen, before anybody is served. */
  #seal(): void {
    if (this.#phase !== 'sealing' && this.#phase !== 'waiting') return;
    const isSealed = !this.#knowledge.proposal && this.#shards.every((shard) => shard.isSealed);
    if (isSealed !== (this.#phase === 'waiting')) this.#become(isSealed ? 'waiting' : 'sealing');
  }

  #advance(): void {
    this.#seal();
    const mayStart = this.#shards.every((shard) => shard.mayStart) && this.#frontend.replies.mayBegin;
    if (this.#phase === 'waiting' && mayStart) this.#become('ready');
    const mayServe = this.#frontend.sizeBytes > 0 && !isLossUnseen(this.#knowledge.known);
    const wantsSocket = this.#phase === 'ready' && this.#mode === 'serve' && mayServe;
    if (wantsSocket === this.#socketOpen) return;
    this.#socketOpen = wantsSocket;
    if (wantsSocket) this.#frontend.open();
    else this.#frontend.close(isLossUnseen(this.#knowledge.known) ? LOST : GIVEN_AWAY);
    this.#options.events.socket(wantsSocket);
    this.#options.events.reportChanged();
  }

  /** Lets go when told to, or in the background when nothing is left to do. */
  #close(): void {
    const { known, proposal } = this.#knowledge;
    if (this.#phase !== 'closing') {
      if (this.#mode !== 'release' && !this.#isIdle) return;
      this.#beginClosing(GIVEN_AWAY);
    }
    const isSettled = this.#isGivenUp || (this.#scrubber.isIdle && this.#shards.every((shard) => shard.isSettled));
    if (proposal || !isSettled) return;
    this.#release();
    this.#inSyncSet.propose({ ...known, version: known.version + 1, primary: null });
  }

  /** In the background, with nothing left to do; one that came for what is to be done gives the leader a while to say what else there is. */
  get #isIdle(): boolean {
    if (this.#phase !== 'ready' || this.#mode !== 'background' || !this.#snapshots.isIdle) return false;
    const isNew = this.#options.config.primary?.mode === 'background' && this.#clock.monotonicMs() - this.#readyAtMs < BACKGROUND_MS;
    const hasGrown = this.#frontend.sizeBytes >= this.#knowledge.sizeBytes;
    return !isNew && hasGrown && this.#shards.every((shard) => shard.isWhole);
  }

  #beginClosing(why: IoError): void {
    this.#snapshots.end(why.message);
    this.#become('closing');
    this.#frontend.close(why);
    if (this.#socketOpen) this.#options.events.socket(false);
    this.#socketOpen = false;
  }

  /** From here on nobody is answered, so the leases are given back. */
  #release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#frontend.silence();
    for (const { sessions } of this.#shards) sessions.release();
  }

  #become(phase: PrimaryPhase): void {
    this.#phase = phase;
    if (phase === 'ready') {
      this.#hasServed = true;
      this.#readyAtMs = this.#clock.monotonicMs();
    }
    this.#options.events.reportChanged();
  }

  #end(why: PrimaryEnd, reason: string): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#frontend.silence();
    this.#snapshots.end(reason);
    for (const { sessions } of this.#shards) sessions.end();
    this.#options.events.closed(why, reason);
  }
}
