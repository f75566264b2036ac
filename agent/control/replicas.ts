/**
 * The replicas that this node holds: an engine for each whose files are sound, a reason for each that is not served. Makes and removes them for the
 * leader's tasks, and gives every Seal to the one it is for. Must never serve a replica again that has failed, nor remove files that an engine
 * still has open.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { ReplicaId, VolumeUid } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { FailedReplica, PoolReport } from '../../core/machine.ts';
import type { TaskSpec } from '../../core/task.ts';
import type { RefusalCode, Seal } from '../../core/wire/messages.ts';
import type { ReplicaMeta, ReplicaStore } from '../ports.ts';
import type { ReplicaLink, ReplicaSession } from '../replication/link.ts';
import type { MakeReplica, ReplicaEngine } from './engines.ts';

export type NewReplica = Pick<ReplicaMeta, 'volume' | 'volumeName' | 'replica' | 'sizeBytes'>;

/** One pool, whose lock this process holds. */
export interface PoolPort {
  readonly name: string;
  report(): PoolReport;
  /** Made if it is not there; resolves with its files, opened, or with what went wrong in words. */
  create(replica: NewReplica): Promise<{ store: ReplicaStore } | { problem: string }>;
  /** Its files must be closed. Also for damaged ones, and for those that are not there. Resolves with null or what went wrong in words. */
  remove(replica: ReplicaId): Promise<string | null>;
  /** No replica of it is trusted any more, and none is to be placed on it. */
  quarantine(reason: string): void;
}

/** What was found in a pool when it was opened. `volume` is null where the files do not tell. */
export type FoundReplica =
  | { pool: PoolPort; replica: ReplicaId; volume: VolumeUid; store: ReplicaStore }
  | { pool: PoolPort; replica: ReplicaId; volume: VolumeUid | null; damage: string };

export type ReplicasOptions = {
  pools: ReadonlyMap<string, PoolPort>;
  makeReplica: MakeReplica;
  clock: Clock;
  log: Log;
  /** The latest config of a volume, if one was seen. */
  configOf: (volume: VolumeUid) => VolumeConfig | null;
  /** Replicas that configs say are here with data: in sync, or out of sync after having been in. */
  expected: () => Iterable<{ volume: VolumeUid; replica: ReplicaId }>;
  /** A member of which volume's config a replica is, as far as configs were seen. */
  volumeOf: (replica: ReplicaId) => VolumeUid | null;
  protocolError: (rule: string) => void;
};

type Held = {
  pool: PoolPort;
  replica: ReplicaId;
  volume: VolumeUid | null;
  engine: ReplicaEngine | null;
  failure: string | null;
  isBeingRemoved: boolean;
};

const DEAF: ReplicaSession = { message: () => undefined, burstEnd: () => undefined, closed: () => undefined };

export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #held = new Map<ReplicaId, Held>();
  /** What the pools held is known: what is not there is missing. */
  #isComplete = false;
  #isClosed = false;

  constructor(options: ReplicasOptions) {
    this.#options = options;
  }

  /** Once, with what the pools held when they were opened. */
  found(replicas: Iterable<FoundReplica>): void {
    for (const found of replicas) {
      if ('store' in found) this.#serve(found.pool, found.store);
      else this.#damaged(found.pool, found.replica, found.volume, found.damage);
    }
    this.#isComplete = true;
  }

  readonly accept = (seal: Seal, link: ReplicaLink): ReplicaSession => {
    const held = this.#held.get(seal.replica);
    if (held?.engine && !this.#isClosed) return held.engine.accept(seal, link);
    if (held?.failure) return refuse(link, 'failed', held.failure);
    return refuse(link, 'unknownReplica', this.#isClosed ? 'the agent is stopping' : `replica ${seal.replica} is not on this node`);
  };

  observe(config: VolumeConfig): void {
    for (const { volume, engine } of this.#held.values()) if (volume === config.uid) engine?.observe(config);
  }

  tick(): void {
    for (const { engine } of this.#held.values()) engine?.tick();
  }

  /** Those that are held and not served, and those that should be and are not. One whose volume nobody knows is left out: no config names it, so nobody waits for it. */
  failed(): FailedReplica[] {
    const failed: FailedReplica[] = [];
    for (const { replica, failure, volume, isBeingRemoved } of this.#held.values()) {
      if (failure === null || isBeingRemoved) continue;
      const uid = volume ?? this.#options.volumeOf(replica);
      if (uid !== null) failed.push({ volume: uid, replica, reason: failure });
    }
    if (!this.#isComplete) return failed;
    for (const { volume, replica } of this.#options.expected()) {
      if (!this.#held.has(replica)) failed.push({ volume, replica, reason: 'its files are missing: no pool of this agent has them' });
    }
    return failed;
  }

  count(): { served: number; failed: number } {
    const all = [...this.#held.values()];
    const served = all.filter(({ failure }) => failure === null).length;
    return { served, failed: all.length - served };
  }

  /** Does what a task says; null, or what went wrong in words. Idempotent. */
  async perform(spec: TaskSpec): Promise<string | null> {
    if (spec.kind === 'snapshot' || spec.kind === 'delete-snapshot') return 'snapshots are not supported by this agent yet';
    if (spec.kind === 'create-replica' && spec.source) return 'clones are not supported by this agent yet';
    const pool = this.#options.pools.get(spec.pool);
    if (pool === undefined) {
      return `pool ${spec.pool} is not one of this agent's (${[...this.#options.pools.keys()].join(', ')})`;
    }
    return spec.kind === 'create-replica' ? this.#create(spec, pool) : this.#remove(spec.replica, pool);
  }

  async #create(spec: Extract<TaskSpec, { kind: 'create-replica' }>, pool: PoolPort): Promise<string | null> {
    const { volume, volumeName, replica, sizeBytes } = spec;
    const held = this.#held.get(replica);
    if (held)
      return this.#isAsAsked(held, spec) ? held.failure : `replica ${replica} is here already, in pool ${held.pool.name}, and is another`;
    const made = await pool.create({ volume, volumeName, replica, sizeBytes });
    if ('problem' in made) return made.problem;
    if (this.#isClosed) return 'the agent is stopping';
    this.#serve(pool, made.store);
    return null;
  }

  #isAsAsked(held: Held, spec: Extract<TaskSpec, { pool: string }>): boolean {
    return held.pool.name === spec.pool && held.volume === spec.volume;
  }

  /** Also while a primary of long ago still talks to it: its session ends first. */
  async #remove(replica: ReplicaId, pool: PoolPort): Promise<string | null> {
    const held = this.#held.get(replica);
    if (held && held.pool !== pool) return `replica ${replica} is in pool ${held.pool.name}, not in ${pool.name}`;
    if (held) {
      const { engine } = held;
      held.isBeingRemoved = true;
      held.engine = null;
      held.failure ??= 'it is being removed';
      // A crash from here till the files are gone leaves a replica that was closed cleanly, and a task that is done again.
      if (engine) await new Promise<void>((resolve) => engine.close(resolve));
    }
    const problem = await pool.remove(replica);
    if (problem === null) this.#held.delete(replica);
    else if (held) {
      held.isBeingRemoved = false;
      held.failure = `it could not be removed: ${problem}`;
    }
    return problem;
  }

  /** Resolves when all are closed cleanly. No Seal is answered from here on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const engines = [...this.#held.values()].flatMap(({ engine }) => engine ?? []);
    await Promise.all(engines.map((engine) => new Promise<void>((resolve) => engine.close(resolve))));
  }

  #serve(pool: PoolPort, store: ReplicaStore): void {
    const { makeReplica, clock, configOf } = this.#options;
    const { replica, volume, volumeName, failed } = store.meta;
    const log = this.#options.log.child({ replica, volume: volumeName, uid: volume });
    const held: Held = { pool, replica, volume, engine: null, failure: failed, isBeingRemoved: false };
    this.#held.set(replica, held);
    held.engine = makeReplica({
      store,
      clock,
      events: {
        failed: (reason) => this.#failed(held, reason),
        sessionOpened: (epoch, peer) => log.info('session opened', { epoch, peer }),
        sessionEnded: (reason) => log.info('session ended', { reason }),
        protocolError: (rule, peer) => {
          this.#options.protocolError(rule);
          log.warn('session broke a rule', { rule, peer });
        },
      },
    });
    if (failed !== null) log.error('replica is not served', { reason: failed });
    const config = configOf(volume);
    if (config !== null) held.engine.observe(config);
  }

  #damaged(pool: PoolPort, replica: ReplicaId, volume: VolumeUid | null, damage: string): void {
    this.#held.set(replica, { pool, replica, volume, engine: null, failure: damage, isBeingRemoved: false });
    this.#options.log.error('replica is damaged and not served', { replica, reason: damage, pool: pool.name });
  }

  /** While it runs: the disk under it failed, and nothing else on it is to be trusted with more. */
  #failed(held: Held, reason: string): void {
    held.failure = reason;
    held.pool.quarantine(reason);
    this.#options.log.error('replica failed', { replica: held.replica, uid: held.volume, reason, pool: held.pool.name });
  }
}

function refuse(link: ReplicaLink, code: RefusalCode, message: string): ReplicaSession {
  link.send({ type: 'refused', code, message, promisedEpoch: 0, seenVersion: 0 });
  link.close(message);
  return DEAF;
}
