/**
 * One member of the volume as its primary sees it: the session, what was asked there, and what the replica still needs.
 *
 *   down --connect--> sealing --Sealed--> loading --its log is known--> open
 *                               |--Sealed, too small--> growing --it has the room--> loading
 *   any --closed, refused, silent--> down
 *
 * In `growing` it is sent nothing that changes it: it may lie in what it has no room for. In `loading` it is sent all that happens already; only in `open` is it known which extents it needs.
 */
import type { Member } from '../../core/config.ts';
import { ExtentSet } from '../../core/extent.ts';
import type { FromReplica, RefusalCode, Request, ResyncProgress, ToReplica } from '../../core/wire/messages.ts';
import type { LocalReads } from '../ports.ts';
import type { PrimaryLink } from '../replication/link.ts';
import type { CatchUp } from './catchUp.ts';

export type PeerState = 'down' | 'sealing' | 'growing' | 'loading' | 'open';
/** Why there is no session. */
export type Trouble = { code: RefusalCode | 'broken'; message: string };
export type Reply = Exclude<FromReplica, { type: 'sealed' | 'refused' | 'applied' | 'pong' | 'failed' }>;
/** A request without its id. */
export type Ask = Request extends infer Each ? (Each extends Request ? Omit<Each, 'id'> : never) : never;

/** `answered`: told when the replica has answered this ping or a later one. */
type Ping = { id: number; sentAtMs: number; leaseMs: number; answered: (() => void) | null };
type Outstanding = { kind: Request['type']; sentAtMs: number; onReply: (reply: Reply) => void; onLost: () => void };

const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 2_000;
export const PINGS_MAX = 64;
/** A primary believes in a lease this much shorter than it asked for: room for clocks that run apart. */
const LEASE_BELIEF = 0.95;
/** What must be durable before it is answered may take as long as a disk is busy; other answers may not. */
const FLUSH_PATIENCE = 10;
/** What a replica may say that it cannot do, and be as sound as before. */
const REFUSABLE: ReadonlySet<Request['type']> = new Set(['resize', 'snapshot'] as const);
const FLUSHING: ReadonlySet<Request['type']> = new Set(['flush', 'progress', 'resize', 'snapshot'] as const);

export class Peer {
  member: Member;
  state: PeerState = 'down';
  link: PrimaryLink | null = null;
  downSinceMs: number;
  retryAtMs: number;
  trouble: Trouble | null = null;
  /** What it refused a Seal for: a later epoch promised, a later config seen. Until it is sealed; whoever knows better must not be dropped. */
  ahead: { epoch: number; version: number; sinceMs: number } | null = null;
  /** Whether it lost power unflushed; null: not known yet. */
  suspect: boolean | null = null;
  /** A suspect whose loss was told before anybody was served: what it holds is the truth now. */
  isLossTold = false;
  /** Its log was read in this epoch: what it had in doubt at the promotion is in everybody's need. */
  wasLoaded = false;
  /** Extents to be made as on the authority before this replica's content means anything. */
  readonly need: ExtentSet;
  /** What it said of an earlier catching up when this session began. */
  resync: ResyncProgress | null = null;
  /** Of a learner in this session. */
  catchUp: CatchUp | null = null;
  /** The room that it has said it has; 0: it never said. */
  sizeBytes = 0;
  /** It had no room to grow: when it is asked again. */
  growAgainAtMs = Number.POSITIVE_INFINITY;
  /** What it said then; null: it grew since, or was never asked in vain. */
  growthTrouble: string | null = null;
  /** Of a local one in this session: its bytes without asking it. */
  reads: LocalReads | null = null;
  /** How often it was ever asked to read, by anybody. */
  readsAsked = 0;
  /** All operations up to this one are applied there. */
  applied = 0;
  /** The last operation when its session was opened. */
  sealedBehind = 0;
  /** The last operation that was sent in a session that has ended since, which may be sending it still. */
  sentBefore = 0;
  leaseUntilMs = 0;
  #retryMs = RETRY_FIRST_MS;
  #connectingSinceMs = 0;
  #nextId = 1;
  /** The last operation that was sent. */
  #sent = 0;
  readonly #outstanding = new Map<number, Outstanding>();
  #pings: Ping[] = [];
  #pingedAtMs = Number.NEGATIVE_INFINITY;
  /** What the last ping said. */
  #told = { settled: 0, mayClean: false };
  /** Since when it owes us an application. */
  #behindSinceMs = Number.POSITIVE_INFINITY;

  constructor(member: Member, extents: number, nowMs: number) {
    this.member = member;
    this.need = new ExtentSet(extents);
    this.downSinceMs = nowMs;
    this.retryAtMs = nowMs;
  }

  /** How much it has been asked that it has not answered. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** Pings that it has not answered. */
  get pingsOut(): number {
    return this.#pings.length;
  }

  /** Operations go to it. */
  get isUp(): boolean {
    return this.state === 'loading' || this.state === 'open';
  }

  /** What it holds may be given to others, and may be all that is left. */
  get isTrusted(): boolean {
    return this.suspect === false || this.isLossTold;
  }

  /** A flush there covers all that was acknowledged: what a power loss took must be back first. */
  get mayFlush(): boolean {
    if (!this.isUp) return false;
    return this.suspect === false || (this.state === 'open' && this.need.size === 0);
  }

  send(message: ToReplica): void {
    this.link?.send(message);
  }

  ask(request: Ask, nowMs: number, onReply: (reply: Reply) => void, onLost: () => void): void {
    if (!this.isUp && this.state !== 'growing') return onLost();
    const id = this.#nextId++;
    this.#outstanding.set(id, { kind: request.type, sentAtMs: nowMs, onReply, onLost });
    if (request.type === 'read') this.readsAsked++;
    this.send({ ...request, id } as Request);
  }

  /** False if nothing was asked by that id: the peer breaks the protocol. */
  reply(reply: Reply): boolean {
    const asked = this.#outstanding.get(reply.id);
    const answers = asked && (REPLY_TO[asked.kind] === reply.type || (REFUSABLE.has(asked.kind) && reply.type === 'unable'));
    if (!answers) return false;
    this.#outstanding.delete(reply.id);
    asked.onReply(reply);
    return true;
  }

  /** False: it was asked a moment ago, or too much is asked already. */
  ping(nowMs: number, heartbeatMs: number, settled: number, leaseMs: number, mayClean: boolean): boolean {
    if (nowMs - this.#pingedAtMs < heartbeatMs) return false;
    if (!this.#sendPing({ sentAtMs: nowMs, leaseMs, answered: null }, settled, mayClean)) return false;
    this.#pingedAtMs = nowMs;
    return true;
  }

  /** Every ping of this session. */
  get hasAnswered(): boolean {
    return this.#pings.length === 0;
  }

  /** Asks whether it has promised anybody newer: one that has does not answer. No lease is asked for. False: too much is asked already. */
  confirm(nowMs: number, settled: number, mayClean: boolean, answered: () => void): boolean {
    return this.#sendPing({ sentAtMs: nowMs, leaseMs: 0, answered }, settled, mayClean);
  }

  /** It was told so behind all that happened until `sinceMs`, and has answered. */
  knows(settled: number, mayClean: boolean, sinceMs: number): boolean {
    const { length } = this.#pings;
    return length === 0 && this.#pingedAtMs > sinceMs && this.#told.settled === settled && this.#told.mayClean === mayClean;
  }

  #sendPing(ping: Omit<Ping, 'id'>, settled: number, mayClean: boolean): boolean {
    if (this.#pings.length >= PINGS_MAX) return false;
    this.#told = { settled, mayClean };
    const id = this.#nextId++;
    this.#pings.push({ id, ...ping });
    this.send({ type: 'ping', id, settled, leaseMs: ping.leaseMs, mayClean });
    return true;
  }

  /** The lease counts from when it was asked for, and is as long as was asked for: the setting may be another by now. */
  pong(id: number): void {
    const asked = this.#pings.find((ping) => ping.id === id);
    if (!asked) return;
    const answered = this.#pings.filter((ping) => ping.id <= id);
    this.#pings = this.#pings.filter((ping) => ping.id > id);
    this.leaseUntilMs = Math.max(this.leaseUntilMs, asked.sentAtMs + asked.leaseMs * LEASE_BELIEF);
    for (const ping of answered) ping.answered?.();
  }

  /** Says that operations up to `sequence` were sent. */
  owes(sequence: number, nowMs: number): void {
    this.#sent = Math.max(this.#sent, sequence);
    if (sequence > this.applied && this.#behindSinceMs === Number.POSITIVE_INFINITY) this.#behindSinceMs = nowMs;
  }

  hasApplied(sequence: number, last: number, nowMs: number): void {
    this.applied = Math.max(this.applied, Math.min(sequence, last));
    this.#behindSinceMs = this.applied < last ? nowMs : Number.POSITIVE_INFINITY;
  }

  /** For how long it has owed an answer to anything. */
  silentForMs(nowMs: number): number {
    let since = Math.min(this.#behindSinceMs, this.#pings[0]?.sentAtMs ?? Number.POSITIVE_INFINITY);
    if (this.state === 'sealing') since = Math.min(since, this.#connectingSinceMs);
    for (const asked of this.#outstanding.values()) {
      const ageMs = nowMs - asked.sentAtMs;
      since = Math.min(since, nowMs - (FLUSHING.has(asked.kind) ? ageMs / FLUSH_PATIENCE : ageMs));
    }
    return Math.max(0, nowMs - since);
  }

  connecting(link: PrimaryLink, nowMs: number): void {
    this.link = link;
    this.state = 'sealing';
    this.#connectingSinceMs = nowMs;
  }

  growing(): void {
    this.state = 'growing';
  }

  refusedAhead(epoch: number, version: number, nowMs: number): void {
    this.ahead = { epoch, version, sinceMs: this.ahead?.sinceMs ?? nowMs };
  }

  /** It promised, or saw, more than this primary knows. What it saw the primary may have heard of since; what it promised is for another. */
  knowsBetter({ epoch, version }: { epoch: number; version: number }): boolean {
    return this.ahead !== null && (this.ahead.epoch > epoch || this.ahead.version > version);
  }

  sealedAt(suspect: boolean, appliedUpTo: number, last: number): void {
    this.state = 'loading';
    this.trouble = null;
    this.ahead = null;
    this.suspect = suspect;
    this.isLossTold = false;
    this.catchUp = null;
    this.applied = appliedUpTo;
    this.sealedBehind = last;
    this.#retryMs = RETRY_FIRST_MS;
  }

  opened(): void {
    this.state = 'open';
  }

  /** The session is over. What was asked there is lost; a lease that was granted stays granted. */
  down(nowMs: number): void {
    if (this.state === 'down') return;
    if (this.state !== 'sealing') this.downSinceMs = nowMs;
    this.state = 'down';
    this.sentBefore = this.#sent;
    this.link?.close();
    this.link = null;
    this.reads?.close();
    this.reads = null;
    this.retryAtMs = nowMs + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    this.#pings = [];
    this.#pingedAtMs = Number.NEGATIVE_INFINITY;
    this.#behindSinceMs = Number.POSITIVE_INFINITY;
    const lost = [...this.#outstanding.values()];
    this.#outstanding.clear();
    for (const asked of lost) asked.onLost();
  }
}

const REPLY_TO: Record<Request['type'], Reply['type']> = {
  read: 'data',
  flush: 'done',
  level: 'done',
  digest: 'digests',
  changed: 'changedSet',
  allocation: 'allocationMap',
  resize: 'done',
  progress: 'done',
  summary: 'summaryDigest',
  snapshot: 'done',
};
