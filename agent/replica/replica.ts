/**
 * One replica: its promise, its lease, and the one session it listens to. Synchronous; no sockets, no clock of its own.
 *
 *   closed --Seal--> promising --durable--> open --later Seal, higher epoch seen, link closed--> closed
 *   any --I/O error--> failed (for good; durable before anybody is told)
 *
 * It must never answer anything for an epoch below the one it promised, nor answer a Seal while something taken in an earlier session could
 * still be applied.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName } from '../../core/ids.ts';
import type { FromReplica, Seal } from '../../core/wire/messages.ts';
import type { Done, IoError, IoErrorCode, ReplicaMeta, ReplicaStore, SnapshotRequest } from '../ports.ts';
import type { PrimaryIdentity as Holder, ReplicaLink, ReplicaSession } from '../replication/link.ts';
import type { Patience } from './heat.ts';
import { MetaWriter } from './meta.ts';
import { Session } from './session.ts';
import type { NextTurn } from './summary.ts';

/** The log is cleaned no more often than this: each time costs a flush. */
export const CLEAN_INTERVAL_MS = 2_000;
/** A replica keeps a lease this much longer than the primary believes in it: room for clocks that run apart. */
export const LEASE_DRIFT = 1.1;
/** `invalid`: more than its file system lets a file be. */
const PASSING: readonly IoErrorCode[] = ['noSpace', 'invalid'];

export interface ReplicaEvents {
  failed(reason: string): void;
  sessionOpened(epoch: number, peer: string): void;
  sessionEnded(reason: string): void;
  protocolError(rule: string, peer: string): void;
}

type Refused = Extract<FromReplica, { type: 'refused' }>;
/** Nulls: to nobody, or not known to whom. */
type Promised = { epoch: number; instance: InstanceId | null; node: NodeName | null };
/** What is to be made of a Seal before anybody is asked about its sender (`judge`). */
export type SealJudgement = 'refused' | 'promised' | 'unknown';
/** Holder null: whoever had one from the process before this. */
type Lease = { holder: Holder | null; untilMs: number };

const isSame = (holder: Holder | null, other: Holder): boolean => holder?.epoch === other.epoch && holder.instance === other.instance;

/** What a link hears with that was refused: nothing. */
const DEAF: ReplicaSession = { message: () => undefined, burstEnd: () => undefined, closed: () => undefined };

/** Of which node the promised instance is, as a config of that epoch says. */
const nodeOf = ({ primary }: VolumeConfig, instance: InstanceId | null): NodeName | null =>
  primary !== null && primary.instance === instance ? primary.node : null;

function promisedIn({ promisedEpoch: epoch, promisedInstance: instance, config }: ReplicaMeta): Promised {
  return { epoch, instance, node: config?.epoch === epoch ? nodeOf(config, instance) : null };
}

/** The later of the two configs; one that has the replica in sync also ends what was noted of its catching up. */
function withConfig(meta: ReplicaMeta, other: VolumeConfig): ReplicaMeta {
  const { config: mine, resync, replica } = meta;
  const config = mine && mine.version >= other.version ? mine : other;
  const isInSync = config.shards.some((shard) => shard.inSync.includes(replica));
  return { ...meta, config, resync: isInSync ? null : resync };
}

export type ReplicaOptions = {
  store: ReplicaStore;
  clock: Clock;
  events: ReplicaEvents;
  /** What may wait is done when others had their turn; left out: with the ticks. */
  nextTurn?: NextTurn;
  /** Left out: the usual. */
  patience?: Patience;
};

export class Replica {
  readonly #store: ReplicaStore;
  readonly #clock: Clock;
  readonly #events: ReplicaEvents;
  readonly #meta: MetaWriter;
  readonly #nextTurn: NextTurn | null;
  readonly #patience: Patience | undefined;
  #session: Session | null = null;
  /** In force from when it is made; told to anybody only when durable. */
  #promised: Promised;
  /** Leases granted and not run out: to this session's primary, and to earlier ones that may still believe in theirs. */
  #leases: Lease[];
  #failed: string | null;
  /** A snapshot is being kept, and what waits for its end: the answer to the latest Seal. */
  #isKeeping = false;
  #whenKept: (() => void) | null = null;
  #cleaning = false;
  #cleanedAtMs = 0;
  #closed = false;

  constructor(options: ReplicaOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#meta = new MetaWriter(options.store);
    this.#nextTurn = options.nextTurn ?? null;
    this.#patience = options.patience;
    const { promisedEpoch, failed } = options.store.meta;
    this.#promised = promisedIn(options.store.meta);
    this.#failed = failed;
    // The process before this one may have granted a lease a moment ago.
    const untilMs = this.#clock.monotonicMs() + options.store.meta.longestLeaseMs * LEASE_DRIFT;
    this.#leases = promisedEpoch === 0 ? [] : [{ holder: null, untilMs }];
  }

  get failed(): string | null {
    return this.#failed;
  }

  /**
   * For who must know whether the leader has appointed whoever sends this Seal: `refused` it is in any case; `promised` this very epoch was to this very process of
   * that node, and what was promised was known to be of the leader then, so nobody need be asked. Changes nothing.
   */
  judge(seal: Seal): SealJudgement {
    if (this.#refusalOf(seal)) return 'refused';
    const { epoch, instance, node } = this.#promised;
    const isSame = seal.epoch === epoch && seal.instance === instance && node !== null && seal.config.primary?.node === node;
    return isSame ? 'promised' : 'unknown';
  }

  /** A primary opens a session. It is answered when the promise is durable: a crash before leaves an unanswered Seal and perhaps a promise. */
  accept(seal: Seal, link: ReplicaLink): ReplicaSession {
    const refusal = this.#refusalOf(seal);
    if (refusal) {
      link.send(refusal);
      link.close(refusal.message);
      return DEAF;
    }
    this.#endSession('another session was opened');
    const session = new Session({
      replica: this,
      store: this.#store,
      link,
      epoch: seal.epoch,
      nowMs: () => this.#clock.monotonicMs(),
      nextTurn: this.#nextTurn,
      patience: this.#patience,
      protocolError: (rule) => this.#events.protocolError(rule, link.peer),
    });
    this.#session = session;
    const open = () => {
      if (this.#session !== session) return;
      if (this.#isKeeping) {
        this.#whenKept = open;
        return;
      }
      this.#events.sessionOpened(seal.epoch, link.peer);
      const { suspect, sizeBytes, resync } = this.#store.meta;
      session.open({ type: 'sealed', suspect, sizeBytes, leaseRemainingMs: this.#leaseRemainingMs(seal), resync });
    };
    this.#promise(seal.epoch, seal.instance, seal.config, open);
    return session;
  }

  /** A config seen by the agent itself: also a primary that does not reach us is fenced by it. */
  observe(config: VolumeConfig): void {
    if (this.#failed !== null || this.#closed) return;
    if (config.epoch > this.#promised.epoch) {
      this.#endSession(`epoch ${config.epoch} has begun`);
      this.#promise(config.epoch, config.primary?.instance ?? null, config, () => undefined);
    } else if (config.version > (this.#store.meta.config?.version ?? 0)) {
      this.#meta.change((meta) => withConfig(meta, config), this.#failOnError);
    }
  }

  /** Nothing is to leave the log, and nothing is worked off by and by. */
  get isResting(): boolean {
    const session = this.#session;
    if (!session?.isOpen || this.#failed !== null) return true;
    return session.isResting && this.#store.intents.size === 0 && !this.#store.meta.suspect;
  }

  tick(): void {
    const session = this.#session;
    session?.tick();
    const nowMs = this.#clock.monotonicMs();
    if (!session?.isOpen || this.#failed !== null || this.#cleaning || nowMs - this.#cleanedAtMs < CLEAN_INTERVAL_MS) return;
    this.#cleanedAtMs = nowMs;
    if (session.mayClean && this.#store.meta.suspect) this.#clearSuspicion(session);
    const extents = session.beginClean(nowMs);
    if (extents.length === 0) return;
    this.#cleaning = true;
    const mayLeave = (extent: number) => this.#session === session && session.mayLeave(extent);
    this.#store.clean(extents, mayLeave, (error) => {
      this.#cleaning = false;
      if (error) this.fail(error.message);
      else if (this.#session === session) session.endClean(extents);
    });
  }

  /**
   * Grants a lease to the open session's primary, from now; never takes a longer one back. Those of earlier primaries run on. A lease longer than
   * any before is noted durably first: a crash right after leaves a note that makes the next primary wait too long, never too short.
   */
  grantLease(session: Session, holder: Holder, leaseMs: number, granted: () => void): void {
    const grant = () => {
      if (this.#session !== session) return;
      const nowMs = this.#clock.monotonicMs();
      const before = this.#leases.find((lease) => isSame(lease.holder, holder))?.untilMs ?? 0;
      const others = this.#leases.filter((lease) => lease.untilMs > nowMs && !isSame(lease.holder, holder));
      this.#leases = [...others, { holder, untilMs: Math.max(before, nowMs + leaseMs * LEASE_DRIFT) }];
      granted();
    };
    if (leaseMs <= this.#store.meta.longestLeaseMs) return grant();
    this.#meta.change(
      (meta) => ({ ...meta, longestLeaseMs: Math.max(meta.longestLeaseMs, leaseMs) }),
      (error) => {
        if (error) this.ioFailed(session, error);
        else grant();
      },
    );
  }

  /**
   * Keeps a snapshot. No later session begins before it has ended: a file of very many pieces takes its time to be shared, and a write to it meanwhile would
   * wait in the kernel, with this pool's thread and all its other replicas, as if the disk had hung.
   */
  keep(request: SnapshotRequest, done: Done): void {
    this.#isKeeping = true;
    this.#store.snapshot(request, (error) => {
      this.#isKeeping = false;
      const open = this.#whenKept;
      this.#whenKept = null;
      done(error);
      open?.();
    });
  }

  changeMeta(change: (meta: ReplicaMeta) => ReplicaMeta, done: Done): void {
    this.#meta.change(change, done);
  }

  /** The primary has told that it answers nobody any more. */
  voidLease(session: Session): void {
    const holder = this.holderOf(session);
    if (holder) this.#leases = this.#leases.filter((lease) => !isSame(lease.holder, holder));
  }

  holderOf(session: Session): Holder | null {
    return this.#session === session && this.#promised.instance ? { epoch: session.epoch, instance: this.#promised.instance } : null;
  }

  sessionClosed(session: Session, reason: string): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.#events.sessionEnded(reason);
  }

  /**
   * A full disk is not a broken one: the session ends, the extent stays in the log, and the next session is a new try. The primary goes on without
   * this replica if it may; else writes wait, and nothing is lost. So it is with what its file system refuses. Anything else is for good.
   */
  ioFailed(session: Session, error: IoError): void {
    if (!PASSING.includes(error.code)) return this.fail(error.message);
    session.stop();
    if (this.#session !== session) return;
    session.tellFailed(error.message);
    this.#endSession(error.message);
  }

  /**
   * For good. Durable first, then told: a crash between leaves a replica that knows it and has not said so. Not once it is being closed: then the store refuses
   * whatever still comes, which is no failure, and what fails in earnest it notes itself.
   */
  fail(reason: string): void {
    if (this.#failed !== null || this.#closed) return;
    this.#failed = reason;
    const session = this.#session;
    session?.stop();
    this.#meta.change(
      (meta): ReplicaMeta => ({ ...meta, failed: meta.failed ?? reason }),
      () => {
        if (this.#session === session && session) {
          session.tellFailed(reason);
          this.#endSession(`the replica failed: ${reason}`);
        }
        this.#events.failed(reason);
      },
    );
  }

  close(done: () => void): void {
    this.#closed = true;
    this.#endSession('the agent is stopping');
    this.#store.close(() => done());
  }

  #refusalOf(seal: Seal): Refused | null {
    const seenVersion = this.#store.meta.config?.version ?? 0;
    const refuse = (code: Refused['code'], message: string): Refused => ({
      type: 'refused',
      code,
      message,
      promisedEpoch: this.#promised.epoch,
      seenVersion,
    });
    if (this.#closed) return refuse('unknownReplica', 'the agent is stopping');
    if (this.#failed !== null) return refuse('failed', this.#failed);
    if (seal.volume !== this.#store.meta.volume)
      return refuse('unknownReplica', `this replica belongs to volume ${this.#store.meta.volume}`);
    const { epoch, instance } = this.#promised;
    if (seal.epoch < epoch) return refuse('fenced', `epoch ${epoch} is promised, not ${seal.epoch}`);
    if (seal.epoch === epoch && instance !== null && instance !== seal.instance) {
      return refuse('fenced', `epoch ${epoch} is promised to instance ${instance}`);
    }
    if (seal.config.version < seenVersion)
      return refuse('newerConfig', `config version ${seenVersion} was seen, offered is ${seal.config.version}`);
    return null;
  }

  #promise(epoch: number, instance: InstanceId | null, config: VolumeConfig, then: () => void): void {
    this.#promised = { epoch, instance, node: nodeOf(config, instance) };
    const { promisedEpoch, promisedInstance } = this.#store.meta;
    const known = (this.#store.meta.config?.version ?? -1) >= config.version;
    if (promisedEpoch === epoch && promisedInstance === instance && known) {
      then();
      return;
    }
    this.#meta.change(
      // Never backwards: changes are applied in the order they were made, and only a higher promise gets here.
      (meta) => ({ ...withConfig(meta, config), promisedEpoch: epoch, promisedInstance: instance }),
      (error) => {
        // Not durable, so not answered. A full disk lets the next Seal try again.
        if (!error) then();
        else if (this.#session) this.ioFailed(this.#session, error);
        else this.#failOnError(error);
      },
    );
  }

  /** What was not noted on a full disk is noted with the next change. */
  readonly #failOnError = (error: IoError | null): void => {
    if (error && !PASSING.includes(error.code)) this.fail(error.message);
  };

  #clearSuspicion(session: Session): void {
    this.#store.flush((error) => {
      if (error) this.fail(error.message);
      else if (this.#session === session && session.mayClean) this.#meta.change((meta) => ({ ...meta, suspect: false }), this.#failOnError);
    });
  }

  #leaseRemainingMs(seal: Holder): number {
    const others = this.#leases.filter((lease) => !isSame(lease.holder, seal));
    const untilMs = others.reduce((latest, lease) => Math.max(latest, lease.untilMs), 0);
    return Math.max(0, Math.ceil(untilMs - this.#clock.monotonicMs()));
  }

  #endSession(reason: string): void {
    const session = this.#session;
    if (!session) return;
    this.#session = null;
    session.end(reason);
    this.#events.sessionEnded(reason);
  }
}
