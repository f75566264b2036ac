/**
 * A primary engine and replicas that answer when the test lets them: what was sent to each is a list of sentences, what each answers is up to the
 * test. Time moves when the test moves it.
 */
import type { BlockClient } from '../../agent/ports.ts';
import { Primary } from '../../agent/primary/primary.ts';
import { Witness } from '../../agent/primary/witness.ts';
import type { PrimaryLinkListener } from '../../agent/replication/link.ts';
import type { Member, PrimaryMode, Shard, VolumeConfig } from '../../core/config.ts';
import { BLOCK_BYTES, EXTENT_BYTES, ExtentSet, extentCount, shardBytes } from '../../core/extent.ts';
import { type ReplicaId, replicaId, volumeUid } from '../../core/ids.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Settings } from '../../core/settings.ts';
import { type FromReplica, LOG_ONLY, type ResyncProgress, type ToReplica } from '../../core/wire/messages.ts';
import { encodeBlock } from '../sim/layout.ts';
import type { FakeContent } from './fakeContent.ts';
import { FakeReads } from './fakeReads.ts';
import { instance } from './replicaBench.ts';

/** Of each shard, unless a test says otherwise. */
const SHARD_BYTES = 4 * EXTENT_BYTES;
const TICK_MS = 50;

export const SETTINGS: Settings = {
  heartbeatMs: 100,
  leaseMs: 1_000,
  replicaTimeoutMs: 2_000,
  ioTimeoutMs: 5_000,
  resyncBytesPerSecond: 1024 ** 3,
  scrubIntervalSeconds: 0,
  scrubBytesPerSecond: 1024 ** 3,
};

export const idOf = (letter: string): ReplicaId => replicaId(`000000000000000${letter}`);
const memberOf = (letter: string): Member => ({ replica: idOf(letter), node: `node-${letter}`, pool: 'pool' });

/** One replica, as a session sees it. */
export class FakeReplica {
  readonly letter: string;
  suspect = false;
  leaseRemainingMs = 0;
  /** Extents in its log; and those stamped since it was asked. */
  log: number[] = [];
  stamped: number[] = [];
  /** Extents stamped with a version, which are told only to who asks for that one or an earlier one. */
  readonly stamps = new Map<number, number>();
  /** How far it has caught up, as it was last told. */
  resync: ResyncProgress | null = null;
  /** Digests of an extent's first block: all others are zeroes. */
  digest: Buffer | null = null;
  /** What it really holds, if anything: then that is what it answers with. */
  content: FakeContent | null = null;
  /** Why it cannot grow. */
  growthProblem: string | null = null;
  /** Why it cannot keep a snapshot. */
  snapshotProblem: string | null = null;
  /** Kinds of messages that it does not answer now. */
  readonly mute = new Set<ToReplica['type']>();
  isReachable = true;
  bufferedBytes = 0;
  sizeBytes = SHARD_BYTES;
  listener: PrimaryLinkListener | null = null;
  /** All that it was sent, ever. */
  readonly heard: ToReplica[] = [];
  /** What it was sent and has not answered, in whatever session: when one has ended, its socket may still be sending. */
  readonly unread = new Set<ToReplica>();
  #unanswered: ToReplica[] = [];

  constructor(letter: string) {
    this.letter = letter;
  }

  get isConnected(): boolean {
    return this.listener !== null;
  }

  hear(message: ToReplica): void {
    this.heard.push(message);
    this.unread.add(message);
    this.#unanswered.push(message);
  }

  connected(listener: PrimaryLinkListener): void {
    this.listener = listener;
    this.#unanswered = [];
  }

  /** Answers what it may, in order; true if it said anything. */
  answer(): boolean {
    const { listener } = this;
    if (!listener) return false;
    const waiting = new Set<ToReplica>();
    // Operations are applied in their order: one that is muted holds up those behind it.
    let isHeldUp = false;
    for (const message of this.#unanswered) {
      if ('sequence' in message) isHeldUp ||= this.mute.has(message.type);
      if ('sequence' in message ? isHeldUp : this.mute.has(message.type)) waiting.add(message);
    }
    const now = this.#unanswered.filter((message) => !waiting.has(message));
    this.#unanswered = [...waiting];
    for (const message of now) this.unread.delete(message);
    const answers = now.flatMap((message) => this.#answerTo(message));
    for (const answer of answers) if (this.listener === listener) listener.message(answer);
    if (this.listener === listener && answers.length > 0) listener.burstEnd();
    return answers.length > 0;
  }

  breaks(): void {
    const { listener } = this;
    this.listener = null;
    this.isReachable = false;
    listener?.closed('connection reset');
  }

  /** What it was sent of these kinds, in words. */
  told(...types: ToReplica['type'][]): string[] {
    return this.heard.filter((message) => types.includes(message.type)).map(inWords);
  }

  #changedSince(since: number): number[] {
    if (since === LOG_ONLY) return this.log;
    return [...this.log, ...this.stamped, ...[...this.stamps].flatMap(([extent, version]) => (version >= since ? [extent] : []))];
  }

  #answerTo(message: ToReplica): FromReplica[] {
    const fromContent = this.content?.answerTo(message, this.sizeBytes) ?? null;
    if (fromContent) return [fromContent];
    const extents = (list: readonly number[]) => {
      const set = new ExtentSet(extentCount(this.sizeBytes));
      for (const extent of list) set.add(extent);
      return set;
    };
    switch (message.type) {
      case 'seal':
        return [
          {
            type: 'sealed',
            suspect: this.suspect,
            sizeBytes: this.sizeBytes,
            leaseRemainingMs: this.leaseRemainingMs,
            resync: this.resync,
          },
        ];
      case 'write':
      case 'zero':
      case 'restamp':
        return [{ type: 'applied', sequence: message.sequence }];
      case 'ping':
        return [{ type: 'pong', id: message.id }];
      case 'resize':
        if (this.growthProblem !== null) return [{ type: 'unable', id: message.id, message: this.growthProblem }];
        this.sizeBytes = Math.max(this.sizeBytes, message.sizeBytes);
        return [{ type: 'done', id: message.id }];
      case 'progress':
        this.resync = { since: message.since, version: message.version, below: message.below };
        return [{ type: 'done', id: message.id }];
      case 'snapshot':
        if (this.snapshotProblem !== null) return [{ type: 'unable', id: message.id, message: this.snapshotProblem }];
        return [{ type: 'done', id: message.id }];
      case 'flush':
      case 'level':
        return [{ type: 'done', id: message.id }];
      case 'summary':
        return [{ type: 'summaryDigest', id: message.id, digest: Buffer.alloc(16) }];
      case 'digest':
        return [{ type: 'digests', id: message.id, stamp: 1, digests: message.stampOnly ? null : this.digest }];
      case 'changed':
        return [{ type: 'changedSet', id: message.id, extents: extents(this.#changedSince(message.since)) }];
      case 'read':
        return [
          { type: 'data', id: message.id, chunks: [Buffer.alloc(message.lengthBytes, this.letter)], lengthBytes: message.lengthBytes },
        ];
      default:
        return [];
    }
  }
}

export function inWords(message: ToReplica): string {
  switch (message.type) {
    case 'write':
      return `write ${message.sequence} v${message.version}`;
    case 'restamp':
      return `restamp ${message.sequence} v${message.version} of ${message.extents}`;
    case 'level':
      return `level ${message.extent} of ${message.runs.map((run) => `${run.block}+${run.blocks}`)}`;
    case 'resize':
      return `resize to ${message.sizeBytes / EXTENT_BYTES} MiB`;
    case 'digest':
      return message.stampOnly ? `stamp of ${message.extent}` : `digest ${message.extent}`;
    case 'progress':
      return `since ${message.since} below ${message.below} v${message.version}`;
    case 'changed':
      return message.since === LOG_ONLY ? 'log' : `changed since ${message.since}`;
    default:
      return message.type;
  }
}

export class PrimaryBench {
  readonly replicas = new Map<string, FakeReplica>();
  readonly proposals: VolumeConfig[] = [];
  readonly events: string[] = [];
  /** Of each session with the replica on the primary's node. */
  readonly cached: FakeReads[] = [];
  readonly client: BlockClient;
  readonly primary: Primary;
  /** What each request of the client came to, in the order in which it was told. */
  readonly answers: string[] = [];
  config: VolumeConfig;
  nowMs = 1_000;

  /** `inSync` and `learners` are letters, shards with `/` between: a replica each, on the node of that letter; the primary is on node-a. */
  constructor(options: {
    inSync: string;
    learners?: string;
    sizeBytes?: number;
    minInSync?: number;
    mode?: PrimaryMode;
    settings?: Partial<Settings>;
    scrub?: ScrubState;
    /** Shared with others of its thread. */
    witness?: Witness;
    /** It is at rest no longer. */
    woke?: () => void;
    before?: (bench: PrimaryBench) => void;
  }) {
    const learners = (options.learners ?? '').split('/');
    const shards = options.inSync.split('/').map((inSync, shard): Shard => {
      const letters = [...inSync, ...(learners[shard] ?? '')];
      return { members: letters.map(memberOf), inSync: [...inSync].map(idOf) };
    });
    const sizeBytes = options.sizeBytes ?? SHARD_BYTES * shards.length;
    shards.forEach(({ members }, shard) => {
      for (const { node } of members) {
        const replica = new FakeReplica(node.slice(-1));
        replica.sizeBytes = shardBytes(sizeBytes, shards.length, shard);
        this.replicas.set(replica.letter, replica);
      }
    });
    this.config = {
      uid: volumeUid('volume-1'),
      name: 'volume',
      sizeBytes,
      minInSync: options.minInSync ?? 1,
      epoch: 5,
      version: 20,
      primary: { node: 'node-a', instance: instance(1), mode: options.mode ?? 'serve' },
      shards,
    };
    options.before?.(this);
    this.primary = new Primary({
      config: this.config,
      node: 'node-a',
      instance: instance(1),
      settings: () => ({ ...SETTINGS, ...options.settings }),
      connect: (member, seal, listener) => {
        const replica = this.#replica(member);
        if (replica.isReachable) {
          replica.connected(listener);
          replica.hear(seal);
        }
        return {
          send: (message) => {
            if (replica.listener === listener) replica.hear(message);
          },
          get bufferedBytes() {
            return replica.bufferedBytes;
          },
          close: () => {
            if (replica.listener === listener) replica.listener = null;
          },
        };
      },
      openReads: (member) => {
        const reads = new FakeReads(this.#replica(member).letter);
        this.cached.push(reads);
        return reads;
      },
      scrub: options.scrub ?? null,
      witness: options.witness ?? new Witness(),
      configPort: { propose: (_known, next) => this.proposals.push(next), recheck: () => this.events.push('recheck') },
      clock: { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs },
      events: {
        socket: (isOpen) => this.events.push(isOpen ? 'socket opens' : 'socket closes'),
        closed: (why) => this.events.push(why),
        reportChanged: () => undefined,
        woke: () => options.woke?.(),
      },
    });
    this.client = this.primary.device.connect();
  }

  replica(letter: string): FakeReplica {
    const replica = this.replicas.get(letter);
    if (!replica) throw new Error(`no replica ${letter}`);
    return replica;
  }

  /** Everybody answers what they may, until nothing is left to say. */
  settle(): void {
    for (let rounds = 0; rounds < 100; rounds++) {
      let isMoving = false;
      for (const replica of this.replicas.values()) isMoving = replica.answer() || isMoving;
      if (!isMoving) return;
    }
    throw new Error('the replicas never come to rest');
  }

  /** Lets time pass, tick by tick, with everybody answering what they may. */
  pass(durationMs: number): void {
    this.settle();
    for (const untilMs = this.nowMs + durationMs; this.nowMs < untilMs; ) {
      this.nowMs = Math.min(untilMs, this.nowMs + TICK_MS);
      this.primary.tick();
      this.settle();
    }
  }

  /** The last proposal is what stands in etcd now, or what `change` makes of the known config. */
  lands(change?: (config: VolumeConfig) => VolumeConfig): void {
    const next = change ? { ...change(this.config), version: this.config.version + 1 } : this.proposals.at(-1);
    if (!next) throw new Error('nothing was proposed');
    this.config = next;
    this.primary.observe(next);
  }

  /** The in-sync sets that were proposed, in letters, shards with `/` between. */
  proposed(): string[] {
    return this.proposals.map((config) => config.shards.map(({ inSync }) => inSync.map((id) => id.slice(-1)).join('')).join('/'));
  }

  write(block: number, name = `write ${block}`, forceUnitAccess = false, blocks = 1): void {
    const chunks = Array.from({ length: blocks }, (_, index) => encodeBlock(block + index));
    this.client.write(block * BLOCK_BYTES, chunks, blocks * BLOCK_BYTES, forceUnitAccess, (error) =>
      this.answers.push(`${name}: ${error?.code ?? 'done'}`),
    );
  }

  /** Says whose bytes came, in order. */
  read(block: number, blocks = 1): void {
    this.client.read(block * BLOCK_BYTES, blocks * BLOCK_BYTES, (error, chunks) => {
      const sources = [...new Set(Buffer.concat(chunks).toString('latin1'))].join('');
      this.answers.push(`read ${block}: ${error?.code ?? `from ${sources}`}`);
    });
  }

  /** Whose bytes are there without waiting; null: none. */
  readNow(block: number, blocks = 1): string | null {
    const target = Buffer.alloc(blocks * BLOCK_BYTES);
    return this.client.readNow(block * BLOCK_BYTES, target) ? [...new Set(target.toString('latin1'))].join('') : null;
  }

  flush(): void {
    this.client.flush((error) => this.answers.push(`flush: ${error?.code ?? 'done'}`));
  }

  #replica(member: Member): FakeReplica {
    return this.replica(member.node.slice(-1));
  }
}
