/**
 * When replicas are asked for leases and whether they still answer, and how little of it is enough while a volume is at rest: nobody has asked for anything
 * for a while, nothing is under way, and every replica knows all that there is to tell. Then replicas are asked only as often as their silence must be noticed,
 * so leases run out in between, and one volume asks for all that have replicas in the same pools (`witness.ts`); the first request asks for them anew, in the same bytes as what it sends itself, and is answered one round trip later as ever.
 *
 * It must never hold silence against a replica while the primary itself stood still, nor rest while anything is under way.
 */
import type { Clock } from '../../core/clock.ts';
import type { Settings } from '../../core/settings.ts';
import type { PrimaryEvents } from './options.ts';
import type { Peer } from './peer.ts';
import type { PrimaryShard } from './shard.ts';
import type { Witness } from './witness.ts';

/** Between two ticks further apart than this the process stood still: nobody's silence counts. */
const STANDSTILL_MS = 500;
/** After the last thing that happened: who pauses between bursts finds the leases there. */
export const REST_AFTER_MS = 1_000;
/** For so long, or half of `replicaTimeoutMs`, nothing is looked at. */
export const REST_MS_MAX = 2_500;
/** So often each session is asked by itself, though its pool answers others: it alone may be broken. */
export const ASK_ALONE_MS = 60_000;
/** The first request has asked for leases: so long nobody is told that they are missing. */
const WAKING_MS = 1_000;

export type HeartbeatsOptions = {
  shards: readonly PrimaryShard[];
  clock: Clock;
  settings: () => Settings;
  witness: Witness;
  mayClean: (shard: PrimaryShard, peer: Peer) => boolean;
  /** Nothing that is the volume's is under way; what is a shard's is looked at here. */
  mayRest: () => boolean;
  events: Pick<PrimaryEvents, 'woke'>;
};

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #clock: Clock;
  #tickAtMs: number;
  /** Until then nobody's silence counts: the primary itself stood still for as long. A broken connection always does. */
  #patientUntilMs = 0;
  #isResting = false;
  /** When a resting volume is looked at next. */
  #restsUntilMs = 0;
  #activeAtMs: number;
  /** When this volume asked by itself last. */
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #wokenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#tickAtMs = options.clock.monotonicMs();
    this.#activeAtMs = this.#tickAtMs;
  }

  /** Nothing happens until it is looked at next, or woken. */
  get isResting(): boolean {
    return this.#isResting;
  }

  /** At rest, or leases were asked for a moment ago: that they are missing holds up nobody. */
  get excusesLeases(): boolean {
    return this.#isResting || this.#clock.monotonicMs() - this.#wokenAtMs < WAKING_MS;
  }

  /** A client asks for something, before it is sent. */
  requested(nowMs: number): void {
    this.#activeAtMs = nowMs;
    if (!this.#isResting) return;
    this.#wake();
    this.#wokenAtMs = nowMs;
    const { shards, settings, mayClean } = this.#options;
    for (const shard of shards) shard.sessions.ping(nowMs, 0, settings().leaseMs, (peer) => mayClean(shard, peer));
  }

  /** Something happened that is no answer to a ping. */
  stirred(): void {
    if (this.#isResting) this.#wake();
    this.#activeAtMs = this.#clock.monotonicMs();
  }

  /** Whoever ticks may have planned a long pause. */
  #wake(): void {
    this.#isResting = false;
    this.#options.events.woke?.();
  }

  /** Pings, and drops who is silent; then `work`, which does all that time brings. At rest: nothing of it. */
  tick(work: () => void): void {
    const { shards, settings, mayClean, mayRest } = this.#options;
    const nowMs = this.#clock.monotonicMs();
    const { replicaTimeoutMs } = settings();
    const stoodStillMs = nowMs - this.#tickAtMs;
    if (stoodStillMs > STANDSTILL_MS) this.#patientUntilMs = nowMs + Math.min(stoodStillMs, replicaTimeoutMs);
    this.#tickAtMs = nowMs;
    const isRestful = mayRest();
    if (this.#isResting && isRestful) {
      if (nowMs >= this.#restsUntilMs) this.#restsUntilMs = this.#vouchedUntilMs(nowMs);
      if (nowMs < this.#restsUntilMs) return;
    }
    this.#askedAtMs = nowMs;
    // Before this tick's own pings go out: those of before must be answered.
    const maySleep = isRestful && nowMs - this.#activeAtMs >= REST_AFTER_MS && shards.every((shard) => this.#isSteady(shard));
    this.#isResting = false;
    for (const shard of shards) shard.sessions.tick(nowMs, settings(), nowMs < this.#patientUntilMs, (peer) => mayClean(shard, peer));
    work();
    // Unless something has happened in this tick.
    this.#isResting = maySleep && this.#activeAtMs < nowMs;
    this.#restsUntilMs = nowMs + this.#restMs;
  }

  get #restMs(): number {
    const { heartbeatMs, replicaTimeoutMs } = this.#options.settings();
    return Math.max(heartbeatMs, Math.min(REST_MS_MAX, replicaTimeoutMs / 2));
  }

  /** Until when every pool here is vouched for by others that ask it; whoever is not there, or owes an answer, is nobody's to vouch for. */
  #vouchedUntilMs(nowMs: number): number {
    const { shards, witness, settings } = this.#options;
    let untilMs = this.#askedAtMs + ASK_ALONE_MS;
    for (const { replication } of shards) {
      for (const peer of replication.peers.values()) {
        if (peer.state !== 'open' || !peer.hasAnswered) return nowMs;
        untilMs = Math.min(untilMs, witness.vouchesUntilMs(peer.member, this.#restMs, settings().heartbeatMs));
      }
    }
    return untilMs;
  }

  /** Nothing is under way; everybody who counts is there, in sync, and was told all there is behind the last thing that happened; others are not there at all. */
  #isSteady(shard: PrimaryShard): boolean {
    const { replication } = shard;
    const { inFlight, gate, locks, joining, peers } = replication;
    if (inFlight.count > 0 || gate.size > 0 || locks.size > 0 || joining) return false;
    for (const peer of peers.values()) {
      if (peer.state === 'down' && !replication.counts(peer)) continue;
      if (peer.state !== 'open' || !replication.isInSync(peer) || peer.member.leaving) return false;
      if (!peer.knows(inFlight.settled, this.#options.mayClean(shard, peer), this.#activeAtMs)) return false;
    }
    return true;
  }
}
