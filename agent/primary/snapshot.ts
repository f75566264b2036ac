/**
 * Snapshots of a volume: a barrier through all shards, at which every in-sync replica keeps what it has.
 *
 *   idle --asked for, ready--> flushing --everybody has flushed--> draining --nothing in flight, in doubt, locked or proposed--> keeping --all have kept it--> idle
 *   draining, keeping --too long, a session lost, another config, the primary ends--> idle, given up
 *
 * The flush is for the writers' sake: what replicas have cached is written out before anybody waits for it, and the barrier has only the rest to wait for.
 * While the barrier is up (draining, keeping) no new operation goes out and nothing new is copied; reads, flushes and leases go on. All that was acknowledged is settled then, in every
 * shard, and nothing that was sent is still under way: what the replicas keep is the volume as it was at one moment. Writes go on as soon as all have kept it,
 * or it is given up: what was kept never changes, and counts only once it is recorded, by this attempt.
 *
 * It must never call an attempt good of which a replica was asked in a session that ended, or under a config that is not that of its beginning.
 */
import { assert } from '../../core/assert.ts';
import type { Clock } from '../../core/clock.ts';
import type { SnapshotReplica } from '../../core/snapshot.ts';
import type { SnapshotRequest } from '../ports.ts';
import type { Knowledge } from './knowledge.ts';
import type { Peer } from './peer.ts';
import type { PrimaryShard } from './shard.ts';

/** How long writers wait for one at most; a client's own patience may be shorter. */
export const SNAPSHOT_BARRIER_MS = 5_000;
/** How long one waits for the primary to be ready. */
export const SNAPSHOT_WAIT_MS = 30_000;
/** Those that wait for the one before. */
export const SNAPSHOTS_WAITING_MAX = 16;
/** Of a client's patience, what a barrier may take. */
const PATIENCE_SHARE = 0.5;

/** What was kept, to be recorded; or why nothing was. `sizeBytes`: of the volume. */
export type SnapshotOutcome = { epoch: number; sizeBytes: number; replicas: SnapshotReplica[]; problem: null } | { problem: string };
export type SnapshotDone = (outcome: SnapshotOutcome) => void;

type Waiting = { request: SnapshotRequest; done: SnapshotDone; untilMs: number };
/** `version`: of the config under which the replicas were asked; null: they were not yet. */
type Barrier = Waiting & { version: number | null; missing: Set<Peer>; replicas: SnapshotReplica[] };

export type SnapshotsOptions = {
  knowledge: Knowledge;
  shards: readonly PrimaryShard[];
  clock: Clock;
  /** 0: clients wait for ever. */
  ioTimeoutMs: () => number;
  /** What the volume's clients are offered. */
  sizeBytes: () => number;
  changed: () => void;
};

export class Snapshots {
  readonly #options: SnapshotsOptions;
  #waiting: Waiting[] = [];
  /** Whom the next one waits for, that its barrier be short; null: it has not begun to. */
  #flushing: Set<Peer> | null = null;
  #barrier: Barrier | null = null;
  /** Why there will be none any more. */
  #ended: string | null = null;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** Nothing new may be sent or copied. */
  get isUp(): boolean {
    return this.#barrier !== null;
  }

  /** The replicas have been asked: the config must stay what it is. */
  get isKeeping(): boolean {
    return this.#barrier !== null && this.#barrier.version !== null;
  }

  get isIdle(): boolean {
    return this.#barrier === null && this.#waiting.length === 0;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  request(request: SnapshotRequest, done: SnapshotDone): void {
    if (this.#ended !== null) return done({ problem: this.#ended });
    if (this.#waiting.length >= SNAPSHOTS_WAITING_MAX) return done({ problem: `more than ${SNAPSHOTS_WAITING_MAX} snapshots wait` });
    this.#waiting.push({ request, done, untilMs: this.#nowMs + SNAPSHOT_WAIT_MS });
  }

  /** The primary ends, or lets go. */
  end(reason: string): void {
    this.#ended ??= reason;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#flushing = null;
    if (this.#barrier) this.#finish(this.#barrier, { problem: reason });
    for (const { done } of waiting) done({ problem: reason });
  }

  /** With every event: begins what may begin, asks when nothing moves any more, gives up what takes too long. */
  step(isReady: boolean): void {
    this.#expire();
    if (isReady && this.#barrier === null && this.#waiting.length > 0) this.#prepare();
    const barrier = this.#barrier;
    if (barrier === null) return;
    const { version } = this.#options.knowledge.known;
    if (barrier.version !== null && barrier.version !== version) this.#giveUp(barrier, 'the config has changed meanwhile');
    else if (this.#nowMs >= barrier.untilMs) this.#giveUp(barrier, this.#lateness(barrier));
    else if (barrier.version === null && isReady && this.#isStill()) this.#ask(barrier, version);
  }

  get #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #expire(): void {
    const late = this.#waiting.filter(({ untilMs }) => this.#nowMs >= untilMs);
    if (late.length === 0) return;
    this.#flushing = null;
    this.#waiting = this.#waiting.filter((one) => !late.includes(one));
    for (const { done } of late) done({ problem: `the volume was not ready for it within ${SNAPSHOT_WAIT_MS} ms` });
  }

  /** Those that are lost meanwhile are not waited for: the barrier tells what becomes of it. */
  #prepare(): void {
    if (this.#flushing?.size === 0) return this.#begin();
    if (this.#flushing !== null) return;
    const flushing = new Set<Peer>();
    this.#flushing = flushing;
    for (const { replication } of this.#options.shards) for (const peer of replication.counted) if (peer.mayFlush) flushing.add(peer);
    for (const peer of [...flushing]) {
      const ended = () => {
        flushing.delete(peer);
        if (flushing.size === 0) this.#options.changed();
      };
      peer.ask({ type: 'flush' }, this.#nowMs, ended, ended);
    }
    if (flushing.size === 0) this.#begin();
  }

  #begin(): void {
    this.#flushing = null;
    const next = this.#waiting.shift();
    if (!next) return;
    const ioTimeoutMs = this.#options.ioTimeoutMs();
    const boundMs = ioTimeoutMs === 0 ? SNAPSHOT_BARRIER_MS : Math.min(SNAPSHOT_BARRIER_MS, ioTimeoutMs * PATIENCE_SHARE);
    this.#barrier = { ...next, untilMs: this.#nowMs + boundMs, version: null, missing: new Set(), replicas: [] };
  }

  /** Every in-sync replica holds the same, has all that was sent, and is there to be asked. */
  #isStill(): boolean {
    const { knowledge, shards } = this.#options;
    if (knowledge.proposal !== null) return false;
    return shards.every(
      ({ isSettled, isSealed, replication: { gate, locks } }) => isSettled && isSealed && gate.size === 0 && locks.size === 0,
    );
  }

  #ask(barrier: Barrier, version: number): void {
    barrier.version = version;
    const { shards } = this.#options;
    const asked: Peer[] = [];
    for (const { replication } of shards) {
      const { shard, shardIndex, peers } = replication;
      for (const replica of shard.inSync) {
        const peer = peers.get(replica);
        assert(peer, 'an in-sync replica is a member');
        const { node, pool } = peer.member;
        barrier.replicas.push({ shard: shardIndex, replica, node, pool });
        barrier.missing.add(peer);
        asked.push(peer);
      }
    }
    // Behind all that was sent there. One that is lost ends the attempt: it can never be called good.
    for (const peer of asked) {
      if (this.#barrier !== barrier) return;
      peer.ask(
        { type: 'snapshot', ...barrier.request },
        this.#nowMs,
        (reply) => this.#answered(barrier, peer, reply.type === 'unable' ? reply.message : null),
        () => this.#giveUp(barrier, `the session of replica ${peer.member.replica} on ${peer.member.node} has ended`),
      );
    }
  }

  #answered(barrier: Barrier, peer: Peer, problem: string | null): void {
    if (this.#barrier !== barrier) return;
    if (problem !== null) return this.#giveUp(barrier, `${peer.member.node}: ${problem}`);
    barrier.missing.delete(peer);
    if (barrier.missing.size > 0) return;
    const { knowledge, sizeBytes } = this.#options;
    const { known } = knowledge;
    if (known.version !== barrier.version) return this.#giveUp(barrier, 'the config has changed meanwhile');
    this.#finish(barrier, { epoch: known.epoch, sizeBytes: sizeBytes(), replicas: barrier.replicas, problem: null });
  }

  #lateness({ version, missing }: Barrier): string {
    if (version === null) return 'writes in flight were not settled, or replicas not there, in time';
    return `not kept in time by ${[...missing].map((peer) => peer.member.node).join(', ')}`;
  }

  #giveUp(barrier: Barrier, problem: string): void {
    if (this.#barrier === barrier) this.#finish(barrier, { problem });
  }

  /** Writes go on. */
  #finish(barrier: Barrier, outcome: SnapshotOutcome): void {
    this.#barrier = null;
    barrier.done(outcome);
    this.#options.changed();
  }
}
