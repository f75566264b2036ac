/**
 * The replicas of one pool: an engine for each whose files are sound, a reason for each that is not served. Makes and removes them for the leader's
 * tasks, and gives every Seal to the one it is for. Must never serve a replica again that has failed, nor remove files that an engine still has open.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { ReplicaId, SnapshotUid, VolumeUid } from '../../core/ids.ts';
import type { PoolInventory } from '../../core/inventory.ts';
import type { Log } from '../../core/log.ts';
import type { PoolReport } from '../../core/machine.ts';
import type { CloneSource, CreateSpec, PoolSpec } from '../../core/task.ts';
import type { RefusalCode, Seal } from '../../core/wire/messages.ts';
import type { MakeReplica, ReplicaEngine, SealJudgement } from '../control/engines.ts';
import type { ReplicaMeta, ReplicaStore } from '../ports.ts';
import type { ReplicaLink, ReplicaSession } from '../replication/link.ts';
import type { HeldReplica } from './messages.ts';

export type NewReplica = Pick<ReplicaMeta, 'volume' | 'volumeName' | 'replica' | 'sizeBytes'> & { source?: CloneSource };

/** One pool, whose lock this process holds. */
export interface PoolPort {
  readonly name: string;
  report(): PoolReport;
  /** All that lies in it, as its files say. Throws DiskError. */
  inventory(): PoolInventory;
  /** Made if it is not there; resolves with its files, opened, or with what went wrong in words. */
  create(replica: NewReplica): Promise<{ store: ReplicaStore } | { problem: string }>;
  /** Its files must be closed. Also for damaged ones, and for those that are not there. Resolves with null or what went wrong in words. */
  remove(replica: ReplicaId): Promise<string | null>;
  /** All that it has of a snapshot, whatever there is. Resolves with null or what went wrong in words. */
  removeSnapshot(snapshot: SnapshotUid): Promise<string | null>;
  /** No replica of it is trusted any more, and none is to be placed on it. */
  quarantine(reason: string): void;
}

/** What was found in a pool when it was opened. `volume` is null where the files do not tell. */
export type FoundReplica =
  | { replica: ReplicaId; volume: VolumeUid; store: ReplicaStore }
  | { replica: ReplicaId; volume: VolumeUid | null; damage: string };

export type ReplicasOptions = {
  pool: PoolPort;
  makeReplica: MakeReplica;
  clock: Clock;
  log: Log;
  protocolError: (rule: string) => void;
  /** What `heldAs` says of it may be another now. */
  changed: (replica: ReplicaId) => void;
};

/** `closing`: resolves when the engine, if there was one, has closed its files. */
type Held = HeldReplica & { engine: ReplicaEngine | null; closing: Promise<void> };

const NOTHING_OPEN = Promise.resolve();
const DEAF: ReplicaSession = { message: () => undefined, burstEnd: () => undefined, closed: () => undefined };

export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #held = new Map<ReplicaId, Held>();
  /** The latest config of each volume of which a replica is being made: what is seen meanwhile must not be missed. */
  readonly #making = new Map<VolumeUid, { config: VolumeConfig | null; count: number }>();
  #givenUp: string | null = null;
  #isClosed = false;

  constructor(options: ReplicasOptions) {
    this.#options = options;
  }

  /** Once, with what the pool held when it was opened. */
  found(replicas: Iterable<FoundReplica>): void {
    for (const found of replicas) {
      if ('store' in found) this.#serve(found.store, null);
      else this.#damaged(found.replica, found.volume, found.damage);
    }
  }

  /** Of one whose sender is known to be appointed, or whom nobody serves anyway (`judge`). */
  readonly accept = (seal: Seal, link: ReplicaLink): ReplicaSession => {
    const held = this.#held.get(seal.replica);
    if (held?.engine && !this.#isClosed) return held.engine.accept(seal, link);
    if (held?.failure) return refuse(link, 'failed', held.failure);
    return refuse(
      link,
      'unknownReplica',
      this.#isClosed ? 'the agent is stopping' : `replica ${seal.replica} is not in pool ${this.#options.pool.name}`,
    );
  };

  /** Whether anybody must be asked about who sends this Seal before it is accepted. */
  readonly judge = (seal: Seal): SealJudgement => (this.#isClosed ? null : this.#held.get(seal.replica)?.engine)?.judge(seal) ?? 'refused';

  observe(config: VolumeConfig): void {
    const making = this.#making.get(config.uid);
    if (making && config.version > (making.config?.version ?? -1)) making.config = config;
    for (const { volume, engine } of this.#held.values()) if (volume === config.uid) engine?.observe(config);
  }

  tick(): void {
    for (const { engine } of this.#held.values()) engine?.tick();
  }

  /** Ticks may come seldom. */
  get areResting(): boolean {
    for (const { engine } of this.#held.values()) if (engine?.isResting === false) return false;
    return true;
  }

  held(): HeldReplica[] {
    return [...this.#held.keys()].flatMap((replica) => this.heldAs(replica) ?? []);
  }

  /** Null: it is not here. */
  heldAs(replica: ReplicaId): HeldReplica | null {
    const found = this.#held.get(replica);
    if (found === undefined) return null;
    const { engine: _, closing: __, ...held } = found;
    return held;
  }

  /** Does what a task says, of this pool; null, or what went wrong in words. Idempotent. `config`: the latest of the volume that was seen. */
  async perform(spec: PoolSpec, config: VolumeConfig | null): Promise<string | null> {
    switch (spec.kind) {
      case 'create-replica':
        return this.#create(spec, config);
      case 'delete-replica':
        return this.#remove(spec.replica);
      case 'delete-snapshot':
        return this.#options.pool.removeSnapshot(spec.snapshot);
    }
  }

  async #create(spec: CreateSpec, config: VolumeConfig | null): Promise<string | null> {
    const { volume, volumeName, replica, sizeBytes, source } = spec;
    const { pool } = this.#options;
    const held = this.#held.get(replica);
    if (held) return held.volume === volume ? held.failure : `replica ${replica} is here already, in pool ${pool.name}, and is another`;
    const making = this.#making.get(volume) ?? { config: null, count: 0 };
    this.#making.set(volume, making);
    making.count++;
    if (config && config.version > (making.config?.version ?? -1)) making.config = config;
    const made = await pool.create({ volume, volumeName, replica, sizeBytes, ...(source ? { source } : {}) });
    if (--making.count === 0) this.#making.delete(volume);
    if ('problem' in made) return made.problem;
    if (this.#isClosed) return 'the agent is stopping';
    if (this.#givenUp !== null) return this.#givenUp;
    this.#serve(made.store, making.config);
    return null;
  }

  /** Also while a primary of long ago still talks to it: its session ends first. */
  async #remove(replica: ReplicaId): Promise<string | null> {
    const held = this.#held.get(replica);
    if (held) {
      held.isBeingRemoved = true;
      held.failure ??= 'it is being removed';
      this.#options.changed(replica);
      // A crash from here till the files are gone leaves a replica that was closed cleanly, and a task that is done again.
      await this.#closeEngine(held);
    }
    const problem = await this.#options.pool.remove(replica);
    if (problem === null) this.#held.delete(replica);
    else if (held) {
      held.isBeingRemoved = false;
      held.failure = `it could not be removed: ${problem}`;
    }
    this.#options.changed(replica);
    return problem;
  }

  /**
   * The disk has hung: no replica here answers a Seal any more. Their sessions end, so that primaries go on without them now, and not when a flush that never
   * ends has had all their patience. What was taken may still be applied should the disk come back; then they are closed cleanly.
   */
  giveUp(reason: string): void {
    this.#givenUp = `pool ${this.#options.pool.name}: ${reason}`;
    for (const held of this.#held.values()) {
      held.failure ??= this.#givenUp;
      void this.#closeEngine(held);
      this.#options.changed(held.replica);
    }
  }

  /** Resolves when all are closed cleanly. No Seal is answered from here on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#held.values()].map((held) => this.#closeEngine(held)));
  }

  #closeEngine(held: Held): Promise<void> {
    const { engine } = held;
    held.engine = null;
    if (engine) held.closing = new Promise<void>((resolve) => engine.close(resolve));
    return held.closing;
  }

  #serve(store: ReplicaStore, config: VolumeConfig | null): void {
    const { makeReplica, clock, changed } = this.#options;
    const { replica, volume, volumeName, failed } = store.meta;
    const log = this.#options.log.child({ replica, volume: volumeName, uid: volume });
    const held: Held = { replica, volume, engine: null, failure: failed, isBeingRemoved: false, closing: NOTHING_OPEN };
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
    changed(replica);
    if (config !== null) held.engine.observe(config);
  }

  #damaged(replica: ReplicaId, volume: VolumeUid | null, damage: string): void {
    this.#held.set(replica, { replica, volume, engine: null, failure: damage, isBeingRemoved: false, closing: NOTHING_OPEN });
    this.#options.log.error('replica is damaged and not served', { replica, reason: damage, pool: this.#options.pool.name });
    this.#options.changed(replica);
  }

  /** While it runs: the disk under it failed, and nothing else on it is to be trusted with more. */
  #failed(held: Held, reason: string): void {
    held.failure = reason;
    this.#options.pool.quarantine(reason);
    this.#options.changed(held.replica);
    this.#options.log.error('replica failed', { replica: held.replica, uid: held.volume, reason, pool: this.#options.pool.name });
  }
}

function refuse(link: ReplicaLink, code: RefusalCode, message: string): ReplicaSession {
  link.send({ type: 'refused', code, message, promisedEpoch: 0, seenVersion: 0 });
  link.close(message);
  return DEAF;
}
