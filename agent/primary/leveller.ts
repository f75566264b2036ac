/**
 * Makes extents equal: on in-sync replicas what is in doubt (levelling), on learners what they miss (resync). One extent at a time under its lock:
 *
 *   lock -> digests of source and targets, behind all that was sent -> differing blocks from the source -> level on the targets
 *        -> restamp sent to everybody, if somebody counts -> unlock
 *
 * The restamp is an operation in flight like any other: nobody reads the extent until it is settled. The lock does not wait for that, for
 * what is settled before it may wait for another levelling of the same extent.
 *
 * It must never take a need away for which the replica has not answered under the same source; whatever breaks leaves the need as it was.
 */
import type { Clock } from '../../core/clock.ts';
import { BLOCK_BYTES, EXTENT_BYTES, extentLength } from '../../core/extent.ts';
import { threadBlocks } from '../../core/wire/blockPool.ts';
import { joined } from '../../core/wire/chunks.ts';
import type { LevelRun } from '../../core/wire/messages.ts';
import { Allowance } from './allowance.ts';
import { askEach } from './asking.ts';
import type { ProgressPace } from './catchUp.ts';
import { allBlocks, differingBlocks, levelRuns, rangeToRead, writtenRuns } from './difference.ts';
import type { Ask, Peer, Reply } from './peer.ts';
import { tellProgress } from './progress.ts';
import type { Replication } from './replication.ts';
import { leastBusySource, mayGive } from './source.ts';
import type { WriteBack } from './writeBack.ts';

/** Extents under way at once. */
export const LEVELS_MAX = 4;
/**
 * What only learners miss: so many extents at once, and so much that a learner has not made durable. Less while clients have requests: each extent holds a
 * replica up for as long as a MiB takes, and all that is not durable yet holds up whoever syncs beside it (see WriteBack).
 */
type Pace = { levels: number; unflushedBytes: number };
export const PACE_ALONE: Pace = { levels: LEVELS_MAX, unflushedBytes: 32 * 1024 * 1024 };
export const PACE_BESIDE_CLIENTS: Pace = { levels: 1, unflushedBytes: 1 * 1024 * 1024 };
/** Clients that were heard so recently have requests. */
const CLIENTS_HEARD_MS = 100;
/** What comparing an extent costs of the bandwidth limit, beside the blocks copied. */
const COMPARE_COST_BYTES = 64 * 1024;

type Digests = { stamp: number; digests: Buffer | null };
type Level = {
  extent: number;
  source: Peer;
  sourceLink: object;
  targets: Set<Peer>;
  /** Somebody counted is among the targets: everybody stamps it. */
  inDoubt: boolean;
};

/** What was told of a session is told anew of the next one. */
const ignoreLost = (): void => undefined;

const asDigests = (reply: Reply): Digests => (reply.type === 'digests' ? reply : { stamp: 0, digests: null });

export type LevellerOptions = {
  replication: Replication;
  clock: Clock;
  bytesPerSecond: () => number;
  progressPace: ProgressPace;
  changed: () => void;
};

export class Leveller {
  readonly #replication: Replication;
  readonly #clock: Clock;
  readonly #options: LevellerOptions;
  readonly #active = new Set<Level>();
  readonly #allowance: Allowance;
  /** Its own reads, and what it has seen of all requests: whatever is more is the clients'. */
  #readsAsked = 0;
  #requestsSeen = 0;
  #clientsHeardAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: LevellerOptions) {
    const { replication, clock } = options;
    this.#replication = replication;
    this.#clock = clock;
    this.#options = options;
    this.#allowance = new Allowance(clock.monotonicMs());
  }

  get isIdle(): boolean {
    return this.#active.size === 0;
  }

  /** Begins what may begin: first extents that I/O waits for, then what is in doubt, then what learners miss. */
  step(wanted: Iterable<number>): void {
    if (this.#replication.authority?.state !== 'open') return;
    tellProgress(this.#replication, this.#clock.monotonicMs(), this.#options.progressPace);
    for (const extent of wanted) {
      if (this.#active.size >= LEVELS_MAX) return;
      if (this.#replication.gate.has(extent)) this.#begin(extent);
    }
    this.#allowance.refill(this.#clock.monotonicMs(), this.#options.bytesPerSecond());
    const hearsClients = this.#hearsClients();
    const pace = hearsClients ? PACE_BESIDE_CLIENTS : PACE_ALONE;
    const needy = this.#inOrder();
    const isPaused = this.#writeBack(pace) || !this.#mayCopy(needy, hearsClients);
    for (const peer of needy) {
      if (this.#replication.counts(peer)) this.#beginFor(peer, LEVELS_MAX);
      else if (!isPaused) this.#beginFor(peer, pace.levels);
    }
  }

  /** What is in doubt holds clients up, and waits for nobody. */
  #mayCopy(needy: readonly Peer[], hearsClients: boolean): boolean {
    const { courtesy } = this.#replication;
    const nowMs = this.#clock.monotonicMs();
    if (!needy.every((peer) => this.#replication.counts(peer))) return courtesy.mayCopy(nowMs, hearsClients);
    if (this.isIdle) courtesy.idle(nowMs);
    return true;
  }

  /** In the order of extents, until `most` are under way: a learner's cursor rises with them. */
  #beginFor(peer: Peer, most: number): void {
    for (let extent = peer.need.next(0); extent >= 0; extent = peer.need.next(extent + 1)) {
      if (this.#active.size >= most || !this.#allowance.isLeft) return;
      this.#begin(extent);
    }
  }

  /** Learners make durable what they were given, piece by piece. True: one has too much of it; an extent is copied to all who miss it, so all wait. */
  #writeBack({ unflushedBytes }: Pace): boolean {
    const { peers } = this.#replication;
    let isPaused = false;
    for (const peer of peers.values()) {
      const writeBack = peer.catchUp?.writeBack;
      if (!writeBack || peer.state !== 'open' || this.#replication.counts(peer)) continue;
      if (writeBack.begins(unflushedBytes))
        peer.ask({ type: 'flush' }, this.#clock.monotonicMs(), () => this.#flushed(writeBack), ignoreLost);
      if (writeBack.isFull(unflushedBytes)) isPaused = true;
    }
    return isPaused;
  }

  #flushed(writeBack: WriteBack): void {
    writeBack.ended();
    this.#options.changed();
  }

  /** Operations and reads since the last look: a levelling's own restamps are for clients that wait, and count as theirs. */
  #hearsClients(): boolean {
    const nowMs = this.#clock.monotonicMs();
    let requests = this.#replication.inFlight.last - this.#readsAsked;
    for (const peer of this.#replication.peers.values()) requests += peer.readsAsked;
    if (requests !== this.#requestsSeen) this.#clientsHeardAtMs = nowMs;
    this.#requestsSeen = requests;
    return nowMs - this.#clientsHeardAtMs < CLIENTS_HEARD_MS;
  }

  #inOrder(): Peer[] {
    const needy = [...this.#replication.peers.values()].filter((peer) => peer.state === 'open' && peer.need.size > 0);
    return needy.sort((a, b) => Number(this.#replication.counts(b)) - Number(this.#replication.counts(a)));
  }

  #begin(extent: number): void {
    if (this.#replication.locks.has(extent)) return;
    const source = leastBusySource(this.#replication, extent);
    if (!source?.link) return;
    const open = [...this.#replication.peers.values()].filter((peer) => peer !== source && peer.state === 'open' && peer.need.has(extent));
    if (open.length === 0) return;
    const inDoubt = open.some((peer) => this.#replication.counts(peer));
    const level: Level = { extent, source, sourceLink: source.link, targets: new Set(open), inDoubt };
    this.#active.add(level);
    this.#replication.locks.add(extent);
    this.#allowance.spend(COMPARE_COST_BYTES);
    if (!inDoubt && open.every((peer) => peer.catchUp?.isNew)) this.#compareNew(level);
    else this.#compare(level);
  }

  /** Asks the source and all targets; a target that is lost drops out, without the source there is nothing. */
  #ask(level: Level, peers: readonly Peer[], request: (peer: Peer) => Ask, then: (replies: Map<Peer, Reply>) => void): void {
    askEach(peers, request, this.#clock.monotonicMs(), (replies) => {
      for (const peer of peers) if (!replies.has(peer)) level.targets.delete(peer);
      const sourceAnswered = replies.has(level.source) || !peers.includes(level.source);
      if (sourceAnswered && this.#isStill(level)) then(replies);
      else this.#end(level);
    });
  }

  #isStill({ source, sourceLink, targets, extent }: Level): boolean {
    return source.link === sourceLink && targets.size > 0 && mayGive(this.#replication, source, extent);
  }

  /**
   * A replica that never was in sync has nothing of most extents, and says so at once. Then the source reads and sends the extent, and need not digest
   * it first: that costs a replica as much time as all the rest, in which it answers nobody.
   */
  #compareNew(level: Level): void {
    const request = (peer: Peer): Ask => ({ type: 'digest', extent: level.extent, stampOnly: peer === level.source });
    this.#ask(level, [level.source, ...level.targets], request, (replies) => {
      const hasNothing = [...level.targets].every((peer) => asDigests(replies.get(peer) as Reply).digests === null);
      if (!hasNothing) return this.#compare(level);
      const { stamp } = asDigests(replies.get(level.source) as Reply);
      this.#read(level, 0, this.#lengthOf(level), (chunks) => {
        const runs = writtenRuns(joined(chunks));
        this.#send(level, stamp, () => runs, chunks);
      });
    });
  }

  #compare(level: Level): void {
    const request = (): Ask => ({ type: 'digest', extent: level.extent, stampOnly: false });
    this.#ask(level, [level.source, ...level.targets], request, (replies) => {
      const source = asDigests(replies.get(level.source) as Reply);
      const blocks = allBlocks(this.#lengthOf(level));
      const differing = new Map<Peer, number[]>();
      for (const peer of level.targets) {
        differing.set(peer, differingBlocks(source.digests, asDigests(replies.get(peer) as Reply).digests, blocks));
      }
      this.#fetch(level, source, differing);
    });
  }

  #fetch(level: Level, source: Digests, differing: Map<Peer, number[]>): void {
    const all = [...new Set([...differing.values()].flat())].sort((a, b) => a - b);
    const range = rangeToRead(source.digests, all);
    const length = this.#lengthOf(level);
    const send = (data: readonly Buffer[]) => {
      const runsFor = (peer: Peer) => levelRuns(source.digests, differing.get(peer) ?? [], range, data, length);
      this.#send(level, source.stamp, runsFor, data);
    };
    if (range === null) return send([]);
    const offset = range.first * BLOCK_BYTES;
    this.#read(level, offset, Math.min((range.last + 1) * BLOCK_BYTES, length) - offset, send);
  }

  #read(level: Level, offset: number, lengthBytes: number, then: (chunks: readonly Buffer[]) => void): void {
    const request = (): Ask => ({ type: 'read', offsetBytes: level.extent * EXTENT_BYTES + offset, lengthBytes });
    this.#readsAsked++;
    this.#ask(level, [level.source], request, (replies) => {
      const reply = replies.get(level.source);
      then(reply?.type === 'data' ? reply.chunks : []);
    });
  }

  /** `read`: what the source gave, of which the runs are parts. */
  #send(level: Level, sourceStamp: number, runsFor: (peer: Peer) => readonly LevelRun[], read: readonly Buffer[]): void {
    const stamp = level.inDoubt ? Math.max(sourceStamp, this.#replication.known.version) : sourceStamp;
    const asked = level.targets.size;
    const request = (peer: Peer): Ask => {
      const runs = runsFor(peer);
      const bytes = runs.reduce((sum, { blocks }) => sum + blocks * BLOCK_BYTES, 0);
      this.#allowance.spend(bytes);
      peer.catchUp?.writeBack.copied(bytes);
      return { type: 'level', extent: level.extent, stamp, runs };
    };
    this.#ask(level, [...level.targets], request, () => {
      // Who has answered has all of it, so no socket sends any more of it; one that was lost may have left some to the kernel.
      if (level.targets.size === asked) threadBlocks.giveCut(read);
      for (const peer of level.targets) peer.need.delete(level.extent);
      this.#replication.regate();
      // Everybody stamps what was in doubt, so that whoever is absent finds it; under a later config again, as any operation.
      if (level.inDoubt) this.#replication.restamp([level.extent]);
      this.#end(level);
    });
  }

  #lengthOf(level: Level): number {
    return extentLength(level.extent, this.#replication.sizeBytes);
  }

  #end(level: Level): void {
    if (!this.#active.delete(level)) return;
    this.#replication.locks.delete(level.extent);
    this.#options.changed();
  }
}
