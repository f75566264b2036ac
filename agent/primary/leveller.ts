/**
 * Makes extents equal: on in-sync replicas what is in doubt (levelling), on learners what they miss (resync). One extent at a time under its lock:
 *
 *   lock -> digests of source and targets, behind all that was sent -> differing blocks from the source -> level on the targets
 *        -> restamp sent to everybody, if somebody counts -> unlock
 *
 * The restamp is an operation in flight like any other: nobody reads the extent until it is settled. The lock does not wait for that, for
 * what is settled before it may wait for another levelling of the same extent.
 *
 * It must never take a need away for which the replica has not answered under the same authority; whatever breaks leaves the need as it was.
 */
import type { Clock } from '../../core/clock.ts';
import { BLOCK_BYTES, EXTENT_BYTES, extentLength } from '../../core/extent.ts';
import type { LevelRun } from '../../core/wire/messages.ts';
import { type BlockRange, differingBlocks, levelRuns, rangeToRead } from './difference.ts';
import type { Ask, Peer, Reply } from './peer.ts';
import type { Replication } from './replication.ts';

/** Extents under way at once. */
export const LEVELS_MAX = 4;
/** What comparing an extent costs of the bandwidth limit, beside the blocks copied. */
const COMPARE_COST_BYTES = 64 * 1024;

type Digests = { stamp: number; digests: Buffer | null };
type Level = { extent: number; source: Peer; sourceLink: object; targets: Set<Peer>; inDoubt: boolean };

const asDigests = (reply: Reply): Digests => (reply.type === 'digests' ? reply : { stamp: 0, digests: null });

export class Leveller {
  readonly #replication: Replication;
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #bytesPerSecond: () => number;
  readonly #active = new Set<Level>();
  /** May go below zero: then nobody begins until time has paid for it. */
  #budgetBytes = 0;
  #budgetAtMs: number;

  constructor(replication: Replication, clock: Clock, bytesPerSecond: () => number, changed: () => void) {
    this.#replication = replication;
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#changed = changed;
    this.#budgetAtMs = clock.monotonicMs();
  }

  get isIdle(): boolean {
    return this.#active.size === 0;
  }

  /** Begins what may begin: first extents that I/O waits for, then what is in doubt, then what learners miss. */
  step(wanted: Iterable<number>): void {
    const source = this.#replication.authority;
    if (source?.state !== 'open' || !source.link) return;
    for (const extent of wanted) {
      if (this.#active.size >= LEVELS_MAX) return;
      if (this.#replication.gate.has(extent)) this.#begin(extent, source, source.link);
    }
    this.#refill();
    for (const peer of this.#inOrder()) {
      for (let extent = peer.need.next(0); extent >= 0; extent = peer.need.next(extent + 1)) {
        if (this.#active.size >= LEVELS_MAX || this.#budgetBytes <= 0) return;
        this.#begin(extent, source, source.link);
      }
    }
  }

  #inOrder(): Peer[] {
    const needy = [...this.#replication.peers.values()].filter((peer) => peer.state === 'open' && peer.need.size > 0);
    return needy.sort((a, b) => Number(this.#replication.counts(b)) - Number(this.#replication.counts(a)));
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs();
    const limit = this.#bytesPerSecond();
    this.#budgetBytes = Math.min(limit / 4, this.#budgetBytes + ((nowMs - this.#budgetAtMs) * limit) / 1000);
    this.#budgetAtMs = nowMs;
  }

  #begin(extent: number, source: Peer, sourceLink: object): void {
    if (this.#replication.locks.has(extent)) return;
    const open = [...this.#replication.peers.values()].filter((peer) => peer !== source && peer.state === 'open' && peer.need.has(extent));
    if (open.length === 0) return;
    const inDoubt = open.some((peer) => this.#replication.counts(peer));
    const level: Level = { extent, source, sourceLink, targets: new Set(open), inDoubt };
    this.#active.add(level);
    this.#replication.locks.add(extent);
    this.#budgetBytes -= COMPARE_COST_BYTES;
    this.#compare(level);
  }

  /** Asks the source and all targets; a target that is lost drops out, without the source there is nothing. */
  #askEach(level: Level, peers: Peer[], request: (peer: Peer) => Ask, then: (replies: Map<Peer, Reply>) => void): void {
    const replies = new Map<Peer, Reply>();
    let missing = peers.length;
    const arrived = () => {
      missing--;
      if (missing > 0) return;
      if (this.#isStill(level)) then(replies);
      else this.#end(level);
    };
    if (peers.length === 0) return then(replies);
    for (const peer of peers) {
      const onReply = (reply: Reply) => {
        replies.set(peer, reply);
        arrived();
      };
      const onLost = () => {
        level.targets.delete(peer);
        arrived();
      };
      peer.ask(request(peer), this.#clock.monotonicMs(), onReply, onLost);
    }
  }

  #isStill(level: Level): boolean {
    return this.#replication.authority === level.source && level.source.link === level.sourceLink && level.targets.size > 0;
  }

  #compare(level: Level): void {
    this.#askEach(
      level,
      [level.source, ...level.targets],
      () => ({ type: 'digest', extent: level.extent }),
      (replies) => {
        const sourceReply = replies.get(level.source);
        if (!sourceReply) return this.#end(level);
        const source = asDigests(sourceReply);
        const blocks = Math.ceil(this.#lengthOf(level) / BLOCK_BYTES);
        const differing = new Map<Peer, number[]>();
        for (const peer of level.targets) {
          const reply = replies.get(peer);
          if (reply) differing.set(peer, differingBlocks(source.digests, asDigests(reply).digests, blocks));
        }
        this.#fetch(level, source, differing);
      },
    );
  }

  #fetch(level: Level, source: Digests, differing: Map<Peer, number[]>): void {
    const all = [...new Set([...differing.values()].flat())].sort((a, b) => a - b);
    const range = rangeToRead(source.digests, all);
    if (range === null) return this.#send(level, source, differing, null, []);
    const offset = range.first * BLOCK_BYTES;
    const lengthBytes = Math.min((range.last + 1) * BLOCK_BYTES, this.#lengthOf(level)) - offset;
    this.#askEach(
      level,
      [level.source],
      () => ({ type: 'read', offsetBytes: level.extent * EXTENT_BYTES + offset, lengthBytes }),
      (replies) => {
        const reply = replies.get(level.source);
        if (reply?.type !== 'data') return this.#end(level);
        this.#send(level, source, differing, range, reply.chunks);
      },
    );
  }

  #send(level: Level, source: Digests, differing: Map<Peer, number[]>, range: BlockRange | null, data: readonly Buffer[]): void {
    const length = this.#lengthOf(level);
    const stamp = level.inDoubt ? Math.max(source.stamp, this.#replication.known.version) : source.stamp;
    const runsFor = (peer: Peer): LevelRun[] => levelRuns(source.digests, differing.get(peer) ?? [], range, data, length);
    const targets = [...level.targets];
    for (const peer of targets) this.#charge(peer, (differing.get(peer) ?? []).length * BLOCK_BYTES);
    this.#askEach(
      level,
      targets,
      (peer) => ({ type: 'level', extent: level.extent, stamp, runs: runsFor(peer) }),
      () => {
        for (const peer of level.targets) peer.need.delete(level.extent);
        this.#replication.regate();
        // Everybody stamps what was in doubt, so that whoever is absent finds it; under a later config again, as any operation.
        if (level.inDoubt) this.#replication.restamp([level.extent]);
        this.#end(level);
      },
    );
  }

  #charge(peer: Peer, copiedBytes: number): void {
    peer.copiedBytes += copiedBytes;
    this.#budgetBytes -= copiedBytes;
  }

  #lengthOf(level: Level): number {
    return extentLength(level.extent, this.#replication.sizeBytes);
  }

  #end(level: Level): void {
    if (!this.#active.delete(level)) return;
    this.#replication.locks.delete(level.extent);
    this.#changed();
  }
}
