/**
 * Compares the in-sync replicas of a volume with each other, in the background, shard after shard, a few extents at a time:
 *
 *   summaries equal ------------------------------------------------> next
 *   summaries differ -> digests of each extent, those that differ -> lock -> nothing in flight there -> digests again
 *     -> blocks on which more than half agree: from one of those to the others, as a levelling (known version, restamp) -> unlock -> next
 *     -> blocks on which no majority agrees: counted, left alone
 *
 * What differs without the lock is mostly a write that one has and another has not yet: only what differs under it means anything. Where a repair breaks
 * off, the extent is in the repaired replica's log, and is levelled like any other: from the authority, also if that is the rotten one. So what is in doubt
 * with rot under it may spread, by a repair as by any write; it is in doubt for a few milliseconds.
 *
 * It works only while every counted replica is there, in sync, and owes nothing, and no learner catches up: what is in doubt is the leveller's. It must
 * never guess, nor hold a lock while it waits for anything but answers and what is in flight.
 */
import type { Clock } from '../../core/clock.ts';
import { BLOCK_BYTES, EXTENT_BYTES, extentCount, extentLength } from '../../core/extent.ts';
import { SCRUB_EXTENTS_TOLD_MAX, type ScrubPosition, type ScrubState } from '../../core/scrub.ts';
import type { Settings } from '../../core/settings.ts';
import type { LevelRun } from '../../core/wire/messages.ts';
import { digestBlocks, SummaryDigest, summaryKey } from '../replica/digest.ts';
import { Allowance } from './allowance.ts';
import { askEach } from './asking.ts';
import { allBlocks, digestOf } from './difference.ts';
import type { Ask, Peer, Reply } from './peer.ts';
import type { Replication } from './replication.ts';
import { isEqual, judge, type Repair, type Verdict } from './verdict.ts';

/** Extents of one summary: read by each replica, other messages between. */
export const SCRUB_RUN_EXTENTS = 4;
/** After something was in the way. */
export const SCRUB_PAUSE_MS = 1_000;
/** What looking at a run of zeroes costs of the bandwidth. */
const EMPTY_COST_BYTES = 64 * 1024;

/** Extents that are being compared, and by whom. `extent`: the one looked at; `isLocked`: under its lock; `isDraining`: which others use still. */
type Run = {
  replication: Replication;
  peers: readonly Peer[];
  links: readonly (object | null)[];
  extent: number;
  end: number;
  isLocked: boolean;
  isDraining: boolean;
};

export type ScrubberOptions = {
  replications: readonly Replication[];
  clock: Clock;
  settings: () => Settings;
  /** How far the primary before came. */
  state: ScrubState | null;
  /** The volume is served, and nothing that must not be disturbed is under way. */
  mayRun: () => boolean;
  changed: () => void;
  /** A difference was found, or all is compared. */
  reportChanged: () => void;
};

export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #clock: Clock;
  readonly #allowance: Allowance;
  #state: ScrubState | null;
  #run: Run | null = null;
  #waitsUntilMs = 0;

  constructor(options: ScrubberOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#state = options.state;
    this.#allowance = new Allowance(options.clock.monotonicMs());
  }

  /** Null: it was never begun. */
  get state(): ScrubState | null {
    return this.#state;
  }

  get isIdle(): boolean {
    return this.#run === null;
  }

  /** With every event. */
  step(): void {
    if (this.#run !== null) {
      // Only where no answer will tell: what is in flight may take for ever.
      if (this.#run.isDraining && !this.#options.mayRun()) this.#breakOff(this.#run);
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#waitsUntilMs || !this.#options.mayRun() || !this.#isDue()) return;
    this.#allowance.refill(nowMs, this.#options.settings().scrubBytesPerSecond);
    if (!this.#allowance.isLeft) return;
    if (this.#options.replications.every(isQuiet)) this.#begin();
    else this.#waitsUntilMs = nowMs + SCRUB_PAUSE_MS;
  }

  /** Under way, never done, or done long ago. The wall clock only says when; one that jumps costs a scrub too many or too late. */
  #isDue(): boolean {
    const intervalMs = this.#options.settings().scrubIntervalSeconds * 1_000;
    if (!(intervalMs > 0)) return false;
    if (this.#state === null || this.#state.endedAtMs === null) return true;
    return Math.abs(this.#clock.wallMs() - this.#state.startedAtMs) >= intervalMs;
  }

  #begin(): void {
    if (this.#state === null || this.#state.endedAtMs !== null) {
      const startedAtMs = this.#clock.wallMs();
      this.#state = { position: { shard: 0, extent: 0 }, startedAtMs, endedAtMs: null, repairedBlocks: 0, unresolvedBlocks: 0 };
    }
    const { replications } = this.#options;
    let { shard, extent } = this.#state.position;
    for (; shard < replications.length; shard++, extent = 0) {
      const replication = replications[shard];
      const peers = replication?.counted ?? [];
      const extents = extentCount(replication?.sizeBytes ?? 0);
      // One replica alone has nobody to be compared with.
      if (replication && peers.length > 1 && extent < extents) {
        this.#moveTo({ shard, extent });
        const end = Math.min(extents, extent + SCRUB_RUN_EXTENTS);
        this.#run = { replication, peers, links: peers.map((peer) => peer.link), extent, end, isLocked: false, isDraining: false };
        return this.#summarize(this.#run);
      }
    }
    this.#finish();
  }

  #moveTo(position: ScrubPosition): void {
    if (this.#state) this.#state = { ...this.#state, position };
  }

  #finish(): void {
    if (this.#state === null) return;
    const { replications } = this.#options;
    this.#state = { ...this.#state, position: { shard: replications.length, extent: 0 }, endedAtMs: this.#clock.wallMs() };
    this.#options.reportChanged();
  }

  #summarize(run: Run): void {
    const extents = run.end - run.extent;
    this.#ask(
      run,
      run.peers,
      () => ({ type: 'summary', extent: run.extent, extents }),
      (replies) => {
        const digests = replies.map((reply) => (reply.type === 'summaryDigest' ? reply.digest : Buffer.alloc(0)));
        const [first] = digests;
        this.#allowance.spend(first && this.#isZeroes(run, first) ? EMPTY_COST_BYTES : extents * EXTENT_BYTES);
        if (digests.every((digest) => first?.equals(digest))) this.#done(run);
        else this.#look(run);
      },
    );
  }

  /** What a run of nothing but zeroes comes to, which costs nobody any reading. */
  #isZeroes({ replication, extent, end }: Run, digest: Buffer): boolean {
    const { epoch, primary } = replication.known;
    const zeroes = new SummaryDigest(summaryKey(epoch, primary?.instance));
    for (let each = extent; each < end; each++) zeroes.addZeroes(extentLength(each, replication.sizeBytes));
    return zeroes.digest().equals(digest);
  }

  /** At the run's next extent, without its lock: what is equal needs none. */
  #look(run: Run): void {
    if (run.extent >= run.end) return this.#done(run);
    this.#digests(run, (digests) => {
      if (isEqual(digests, this.#blocks(run))) this.#lookAtNext(run);
      else this.#lock(run);
    });
  }

  #lookAtNext(run: Run): void {
    run.extent++;
    this.#look(run);
  }

  #lock(run: Run): void {
    const { locks } = run.replication;
    if (locks.has(run.extent)) return this.#breakOff(run);
    locks.add(run.extent);
    run.isLocked = true;
    this.#drain(run);
  }

  /** What is in flight there becomes settled; nothing new is let through. */
  #drain(run: Run): void {
    const { inFlight } = run.replication;
    const inTheWay = inFlight.lastOverlapping(run.extent * EXTENT_BYTES, this.#lengthBytes(run));
    run.isDraining = inTheWay !== null;
    if (inTheWay) {
      inTheWay.waiters ??= new Set();
      inTheWay.waiters.add(() => {
        if (this.#goesOn(run)) this.#drain(run);
      });
      return;
    }
    this.#digests(run, (digests) => this.#judge(run, digests));
  }

  #judge(run: Run, digests: readonly (Buffer | null)[]): void {
    const verdict = judge(digests, this.#blocks(run));
    this.#tellUnresolved(run, verdict);
    if (verdict.repairs.length === 0) return this.#unlock(run);
    const givers = [...new Set(verdict.repairs.map(({ good }) => good))];
    const peers = givers.flatMap((index) => run.peers[index] ?? []);
    const request: Ask = { type: 'read', offsetBytes: run.extent * EXTENT_BYTES, lengthBytes: this.#lengthBytes(run) };
    this.#ask(
      run,
      peers,
      () => request,
      (replies) => {
        const data = new Map(givers.map((index, at) => [index, Buffer.concat(chunksOf(replies[at]))]));
        // What was read must be what the majority has: a disk that answers differently each time repairs nobody.
        const isSound = verdict.repairs.every(({ block, good }) => {
          return digestOf(digestBlocks(data.get(good) ?? Buffer.alloc(0)), block).equals(digestOf(digests[good] ?? null, block));
        });
        if (isSound) this.#repair(run, verdict.repairs, data);
        else this.#breakOff(run);
      },
    );
  }

  #repair(run: Run, repairs: readonly Repair[], data: ReadonlyMap<number, Buffer>): void {
    const { replication, extent } = run;
    const bad = [...new Set(repairs.flatMap((repair) => repair.bad))];
    const peers = bad.flatMap((index) => run.peers[index] ?? []);
    const runsFor = (index: number) => repairs.filter((repair) => repair.bad.includes(index)).map((repair) => runOf(repair, data));
    const request = (peer: Peer): Ask => {
      return { type: 'level', extent, stamp: replication.known.version, runs: runsFor(run.peers.indexOf(peer)) };
    };
    askEach(peers, request, this.#clock.monotonicMs(), (replies) => {
      const repaired = [...replies.keys()].reduce((sum, peer) => sum + runsFor(run.peers.indexOf(peer)).length, 0);
      if (this.#state) this.#state = { ...this.#state, repairedBlocks: this.#state.repairedBlocks + repaired };
      // As after a levelling: nobody reads it until everybody has stamped it, and whoever is absent finds it.
      replication.restamp([extent]);
      this.#options.reportChanged();
      this.#unlock(run);
    });
  }

  #tellUnresolved({ replication, extent }: Run, { unresolved }: Verdict): void {
    if (unresolved.length === 0 || this.#state === null) return;
    const told = this.#state.unresolvedExtents ?? [];
    const unresolvedExtents = told.length < SCRUB_EXTENTS_TOLD_MAX ? [...told, { shard: replication.shardIndex, extent }] : told;
    this.#state = { ...this.#state, unresolvedBlocks: this.#state.unresolvedBlocks + unresolved.length, unresolvedExtents };
    this.#options.reportChanged();
  }

  #unlock(run: Run): void {
    this.#release(run);
    if (this.#goesOn(run)) this.#lookAtNext(run);
    this.#options.changed();
  }

  #release(run: Run): void {
    if (run.isLocked) run.replication.locks.delete(run.extent);
    run.isLocked = false;
  }

  #digests(run: Run, then: (digests: readonly (Buffer | null)[]) => void): void {
    this.#allowance.spend(EXTENT_BYTES);
    this.#ask(
      run,
      run.peers,
      () => ({ type: 'digest', extent: run.extent, stampOnly: false }),
      (replies) => then(replies.map((reply) => (reply.type === 'digests' ? reply.digests : null))),
    );
  }

  /** All of them, in their order, or the run is broken off. */
  #ask(run: Run, peers: readonly Peer[], request: () => Ask, then: (replies: Reply[]) => void): void {
    askEach(peers, request, this.#clock.monotonicMs(), (byPeer) => {
      const replies = peers.flatMap((peer) => byPeer.get(peer) ?? []);
      if (this.#goesOn(run, replies.length === peers.length)) then(replies);
    });
  }

  /** Whether the run's own shard is as it was at its beginning; else the run is over. */
  #goesOn(run: Run, isComplete = true): boolean {
    if (this.#run !== run) return false;
    const isSame = run.peers.every((peer, index) => peer.link === run.links[index]);
    if (isComplete && isSame && isQuiet(run.replication) && this.#options.mayRun()) return true;
    this.#breakOff(run);
    return false;
  }

  /** The position stays: it is looked at again. */
  #breakOff(run: Run): void {
    this.#release(run);
    this.#run = null;
    this.#waitsUntilMs = this.#clock.monotonicMs() + SCRUB_PAUSE_MS;
    this.#options.changed();
  }

  #done(run: Run): void {
    this.#moveTo({ shard: run.replication.shardIndex, extent: run.end });
    this.#run = null;
    this.#options.changed();
  }

  #lengthBytes({ replication, extent }: Run): number {
    return extentLength(extent, replication.sizeBytes);
  }

  #blocks(run: Run): number {
    return allBlocks(this.#lengthBytes(run));
  }
}

/** Every replica that counts is there, in sync, as large as and like the others, as far as anybody knows; and no learner takes their time. */
function isQuiet(replication: Replication): boolean {
  const { authority, counted, gate, peers, shard } = replication;
  if (authority?.state !== 'open' || gate.size > 0 || counted.length !== shard.inSync.length) return false;
  for (const peer of peers.values()) {
    if (!replication.isInSync(peer)) {
      if (peer.isUp) return false;
    } else if (peer.state !== 'open' || !peer.isTrusted || peer.need.size > 0 || peer.sizeBytes !== authority.sizeBytes) return false;
  }
  return true;
}

const chunksOf = (reply: Reply | undefined): readonly Buffer[] => (reply?.type === 'data' ? reply.chunks : []);

function runOf({ block, good, isZero }: Repair, data: ReadonlyMap<number, Buffer>): LevelRun {
  const bytes = data.get(good)?.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
  return { block, blocks: 1, data: isZero || !bytes ? null : [bytes] };
}
