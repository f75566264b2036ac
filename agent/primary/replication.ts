/**
 * The replication of one shard, in the shard's own offsets: who counts, what is in flight to them, and which extents are still to be levelled. Synchronous; owns its state alone.
 *
 * It must never settle an operation that somebody who counts has not applied, nor let an extent in need be read or written.
 */
import type { Clock } from '../../core/clock.ts';
import { countedReplicas, type Member, type Shard, type VolumeConfig } from '../../core/config.ts';
import { ExtentSet, extentCount, firstExtent, lastExtent, shardBytes } from '../../core/extent.ts';
import type { ReplicaId } from '../../core/ids.ts';
import { type Operation, RESTAMP_EXTENTS_MAX } from '../../core/wire/messages.ts';
import type { WriteDone } from '../ports.ts';
import { touchedExtents } from '../replica/apply.ts';
import { Courtesy } from './courtesy.ts';
import { InFlight, type InFlightOperation } from './inFlight.ts';
import type { Knowledge } from './knowledge.ts';
import { Peer, type Reply } from './peer.ts';

/** Of one shard. */
export const OPERATIONS_IN_FLIGHT_MAX = 4_096;
/** Of the volume, all shards together. */
export const BYTES_IN_FLIGHT_MAX = 128 * 1024 * 1024;
/** A learner that lags further behind loses its session; it comes back by comparing. Of a volume of one shard; several share it, down to a minimum. */
export const LEARNER_BACKLOG_BYTES_MAX = 256 * 1024 * 1024;
const LEARNER_BACKLOG_BYTES_MIN = 16 * 1024 * 1024;

/** After a replica had no room to grow. */
const GROW_AGAIN_MS = 10_000;

type OperationBody = Operation extends infer Each
  ? Each extends Operation
    ? Omit<Each, 'sequence' | 'settled' | 'version'>
    : never
  : never;

export class Replication {
  readonly shardIndex: number;
  readonly peers = new Map<ReplicaId, Peer>();
  readonly inFlight = new InFlight();
  /** Extents being levelled or copied: no new operation touches them. */
  readonly locks = new Set<number>();
  /** Extents that somebody who counts still needs: in doubt. */
  readonly gate: ExtentSet;
  /** The in-sync replica whose content is the truth wherever the gate is up. */
  authority: Peer | null = null;
  counted: Peer[] = [];
  /** The learner that counts already, its joining not proposed yet. */
  joining: Peer | null = null;
  /** Between clients and copying. */
  readonly courtesy = new Courtesy();
  readonly #knowledge: Knowledge;
  readonly #clock: Clock;
  readonly #localNode: string;
  readonly #dropSession: (peer: Peer, reason: string) => void;
  readonly #backlogBytesMax: number;
  #sizeBytes: number;
  #leaseUntilMs = 0;

  constructor(options: {
    knowledge: Knowledge;
    shardIndex: number;
    clock: Clock;
    localNode: string;
    dropSession: (peer: Peer, reason: string) => void;
  }) {
    this.#knowledge = options.knowledge;
    this.shardIndex = options.shardIndex;
    this.#clock = options.clock;
    this.#localNode = options.localNode;
    this.#dropSession = options.dropSession;
    this.#backlogBytesMax = Math.max(LEARNER_BACKLOG_BYTES_MIN, LEARNER_BACKLOG_BYTES_MAX / this.known.shards.length);
    this.#sizeBytes = this.wantedBytes;
    this.gate = new ExtentSet(extentCount(this.#sizeBytes));
    this.syncMembers();
  }

  /** The volume's config, the same for every shard. */
  get known(): VolumeConfig {
    return this.#knowledge.known;
  }

  get needsLeases(): boolean {
    return this.#knowledge.needsLeases;
  }

  /** How large this shard's replicas shall be. */
  get wantedBytes(): number {
    return shardBytes(this.#knowledge.sizeBytes, this.known.shards.length, this.shardIndex);
  }

  /** What everybody who is there has room for; nothing was ever written beyond it. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get shard(): Shard {
    return this.known.shards[this.shardIndex] ?? { members: [], inSync: [] };
  }

  isInSync(peer: Peer): boolean {
    return this.shard.inSync.includes(peer.member.replica);
  }

  isLocal(peer: Peer): boolean {
    return peer.member.node === this.#localNode;
  }

  /** The in-sync set of the compare-and-set that is out; empty if none is. */
  get proposedInSync(): readonly ReplicaId[] {
    return this.#knowledge.proposal?.shards[this.shardIndex]?.inSync ?? [];
  }

  isProposed(peer: Peer): boolean {
    return this.proposedInSync.includes(peer.member.replica);
  }

  counts(peer: Peer): boolean {
    return this.counted.includes(peer);
  }

  /** Makes a peer for each member, and forgets those that are members no more. Returns the latter. */
  syncMembers(): Peer[] {
    const members = new Map<ReplicaId, Member>(this.shard.members.map((member) => [member.replica, member]));
    const removed: Peer[] = [];
    for (const [replica, peer] of this.peers) {
      const member = members.get(replica);
      if (member) peer.member = member;
      else {
        removed.push(peer);
        this.peers.delete(replica);
      }
    }
    for (const [replica, member] of members) {
      if (!this.peers.has(replica)) this.peers.set(replica, new Peer(member, this.gate.extents, this.#clock.monotonicMs()));
    }
    this.recount();
    return removed;
  }

  /** Whoever either value of the config holds, and who is about to join, counts. Call after any change of these or of somebody's need. */
  recount(): void {
    const replicas = countedReplicas(this.shard.inSync, this.proposedInSync);
    if (this.joining) replicas.add(this.joining.member.replica);
    this.counted = [...this.peers.values()].filter((peer) => replicas.has(peer.member.replica));
    this.regate();
    this.refreshLease();
    this.#resize();
  }

  /** Whoever is there is asked for the room that the config names; what a replica is sent in the new part waits until all have it (see Growth). */
  grow(): void {
    this.gate.grow(extentCount(this.wantedBytes));
    for (const peer of this.peers.values()) {
      peer.need.grow(this.gate.extents);
      if (peer.isUp) this.askToGrow(peer, (problem) => this.#grown(peer, problem));
    }
  }

  /** Those that had no room to grow are asked again now and then: somebody may have made some. */
  growAgain(nowMs: number): void {
    for (const peer of this.peers.values()) {
      if (peer.isUp && nowMs >= peer.growAgainAtMs) this.askToGrow(peer, (problem) => this.#grown(peer, problem));
    }
  }

  /** One that counts stays as it is, and so does what is offered; a learner would only keep the others from growing. */
  #grown(peer: Peer, problem: string | null): void {
    if (problem !== null && !this.counts(peer)) this.#dropSession(peer, problem);
    else this.recount();
  }

  /** Calls back when it has the room, at once if it had it; or with why it cannot have it. */
  askToGrow(peer: Peer, then: (problem: string | null) => void): void {
    const sizeBytes = this.wantedBytes;
    peer.growAgainAtMs = Number.POSITIVE_INFINITY;
    if (peer.sizeBytes >= sizeBytes) return then(null);
    const grown = (reply: Reply) => {
      if (reply.type === 'unable') {
        peer.growAgainAtMs = this.#clock.monotonicMs() + GROW_AGAIN_MS;
        peer.growthTrouble = reply.message;
        return then(reply.message);
      }
      peer.sizeBytes = Math.max(peer.sizeBytes, sizeBytes);
      peer.growthTrouble = null;
      then(null);
    };
    peer.ask({ type: 'resize', sizeBytes }, this.#clock.monotonicMs(), grown, () => undefined);
  }

  #resize(): void {
    let least = this.wantedBytes;
    for (const peer of this.peers.values()) if (peer.isUp) least = Math.min(least, peer.sizeBytes);
    this.#sizeBytes = least;
  }

  regate(): void {
    this.gate.clear();
    for (const peer of this.counted) if (peer !== this.authority && peer.need.size > 0) this.gate.addAll(peer.need);
  }

  refreshLease(): void {
    this.#leaseUntilMs = this.counted.reduce((until, peer) => Math.min(until, peer.leaseUntilMs), Number.POSITIVE_INFINITY);
    if (this.counted.length === 0) this.#leaseUntilMs = 0;
  }

  /** Until then everyone who counts has promised not to answer anybody newer. */
  get leaseUntilMs(): number {
    return this.#leaseUntilMs;
  }

  /** Every replica that counts is there, and what it needs is known. */
  isLoaded(): boolean {
    return this.authority !== null && this.counted.every((peer) => peer.state === 'open' || (peer.wasLoaded && peer.state === 'down'));
  }

  /** May an operation or a read on this range go out now? The size of a range is bounded by the wire's maxima. */
  isAdmissible(offsetBytes: number, lengthBytes: number): boolean {
    if (!this.isLoaded()) return false;
    if (this.gate.size === 0 && this.locks.size === 0) return true;
    const last = lastExtent(offsetBytes, lengthBytes);
    for (let extent = firstExtent(offsetBytes); extent <= last; extent++) if (this.gate.has(extent) || this.locks.has(extent)) return false;
    return true;
  }

  /** For one more operation; what the bytes of all shards come to is the frontend's to know. */
  get hasRoom(): boolean {
    return this.inFlight.count < OPERATIONS_IN_FLIGHT_MAX;
  }

  /** Gives an operation its place in the order and sends it to everybody who is there, counted or not. */
  submit(body: OperationBody, done: WriteDone | null, version = this.known.version): InFlightOperation {
    const nowMs = this.#clock.monotonicMs();
    const sequence = this.inFlight.last + 1;
    const operation = { ...body, sequence, settled: this.inFlight.settled, version } as Operation;
    const entry: InFlightOperation = { operation, barrier: sequence, done, waiters: null };
    this.inFlight.add(entry);
    let local: Peer | null = null;
    for (const peer of this.peers.values()) {
      if (!peer.isUp) continue;
      peer.owes(sequence, nowMs);
      // The others' bytes are on their way while the local replica writes.
      if (this.isLocal(peer)) local = peer;
      else peer.send(operation);
    }
    local?.send(operation);
    this.#dropBacklogged();
    return entry;
  }

  /** Only when everybody has been sent the operation: what follows from a lost session may send the next. */
  #dropBacklogged(): void {
    if (this.counted.length === this.peers.size) return;
    for (const peer of [...this.peers.values()]) {
      if (this.counts(peer) || (peer.link?.bufferedBytes ?? 0) <= this.#backlogBytesMax) continue;
      this.#dropSession(peer, `the learner is more than ${this.#backlogBytesMax} bytes behind`);
    }
  }

  /**
   * What was in flight when its session began is settled. A learner was not sent that, and has it by a copy, of which it knows no sequence: until then what it
   * has there is in doubt, and neither leaves its log nor is done. Else it would hold alone, unknown to anybody, what is lost with all who were sent it.
   */
  knowsAllInDoubt(peer: Peer): boolean {
    return this.inFlight.settled >= peer.sealedBehind;
  }

  /** To a replica that counts and has come back: all that is in flight, in order, before anything else. */
  resend(peer: Peer): void {
    const nowMs = this.#clock.monotonicMs();
    for (const entry of this.inFlight) {
      peer.send({ ...entry.operation, settled: this.inFlight.settled });
      peer.owes(entry.operation.sequence, nowMs);
    }
  }

  /** A replica has left: what is in flight is stamped with the version under which it did, before it is settled. */
  restampInFlight(): void {
    const { version } = this.known;
    const last = this.restamp(this.inFlight.extentsToRestamp(version));
    if (last > 0) this.inFlight.raiseBarriers(version, last);
  }

  /** Stamps extents with the known version, on everybody. Returns the sequence of the last operation that does; 0: nothing to stamp. */
  restamp(extents: Iterable<number>): number {
    const all = [...extents];
    let last = 0;
    for (let start = 0; start < all.length; start += RESTAMP_EXTENTS_MAX) {
      last = this.submit({ type: 'restamp', extents: all.slice(start, start + RESTAMP_EXTENTS_MAX) }, null).operation.sequence;
    }
    return last;
  }

  /**
   * Has everybody who is there note durably that a config later than the known one may come: an operation of that version that stamps nothing. Returns its
   * sequence. See Joining for why.
   */
  announce(): number {
    return this.submit({ type: 'restamp', extents: [] }, null, this.known.version + 1).operation.sequence;
  }

  /** Whether all that count and are there have applied that operation. */
  isAnnounced(sequence: number): boolean {
    return this.counted.every((peer) => peer.state !== 'open' || peer.applied >= sequence);
  }

  /** Takes off the front all that everyone who counts has. Returns what was settled, in order. */
  settle(): InFlightOperation[] {
    const settled: InFlightOperation[] = [];
    if (this.inFlight.count === 0 || this.counted.length === 0) return settled;
    // While somebody's need is unknown nothing is settled: it may need what is in flight.
    if (!this.counted.every((peer) => peer.wasLoaded && (peer.state === 'open' || peer.state === 'down'))) return settled;
    const applied = this.counted.reduce((least, peer) => Math.min(least, peer.applied), Number.POSITIVE_INFINITY);
    for (let front = this.inFlight.front(); front && front.barrier <= applied; front = this.inFlight.front()) {
      if (this.#isInDoubt(front.operation)) break;
      this.inFlight.removeFront();
      settled.push(front);
    }
    return settled;
  }

  /**
   * Nobody reads or sends its data any more: it was sent in the sessions that are open now and in no other, and all of them have applied it. A session that
   * ended since may still be sending it; one of a replica that is a member no more, too, but then the config is another. Who was away all the while has nothing.
   */
  isFree(operation: Operation): boolean {
    const { sequence, version } = operation;
    if (operation.type !== 'write' || version !== this.known.version) return false;
    for (const peer of this.peers.values()) if (peer.sentBefore >= sequence || (peer.isUp && peer.applied < sequence)) return false;
    return true;
  }

  /** An operation on an extent that somebody who counts still needs waits for the levelling. A restamp does not: the levelling waits for it. */
  #isInDoubt(operation: Operation): boolean {
    if (this.gate.size === 0 || operation.type === 'restamp') return false;
    return touchedExtents(operation).some((extent) => this.gate.has(extent));
  }

  /** Where to read: the local replica if it is in sync, else any other that is. */
  readSource(): Peer | null {
    let found: Peer | null = null;
    for (const peer of this.peers.values()) {
      if (peer.state !== 'open' || !this.isInSync(peer)) continue;
      if (this.isLocal(peer)) return peer;
      found ??= peer;
    }
    return found;
  }

  /** Whether a range can be read now by whoever has waited for nothing: whatever else touches it is settled, and nothing of it is in doubt or being copied. */
  isStill(offsetBytes: number, lengthBytes: number): boolean {
    return this.isAdmissible(offsetBytes, lengthBytes) && this.inFlight.lastOverlapping(offsetBytes, lengthBytes) === null;
  }

  /**
   * Sees to it that somebody is the authority. What was in doubt is in doubt against the new one, for learners that copied it too.
   */
  chooseAuthority(): void {
    const current = this.authority;
    if (current && current.state === 'open' && this.isInSync(current)) return;
    const able = [...this.peers.values()].filter((peer) => peer.state === 'open' && this.isInSync(peer) && peer.isTrusted);
    const rank = (peer: Peer) => peer.need.size * 2 + (this.isLocal(peer) ? 0 : 1);
    const next = able.sort((a, b) => rank(a) - rank(b))[0] ?? null;
    if (!next) {
      this.authority = null;
      return this.regate();
    }
    const doubt = this.gate.copy();
    doubt.addAll(next.need);
    this.authority = next;
    for (const peer of this.peers.values()) if (peer !== next && (this.counts(peer) || peer.state === 'open')) peer.need.addAll(doubt);
    next.need.clear();
    this.regate();
  }
}
