/**
 * The agent's pools and the replicas in them, as control sees them: who holds what, what failed, who does a task. Must never ask a disk anything.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName, ReplicaId, VolumeUid } from '../../core/ids.ts';
import type { PoolInventory } from '../../core/inventory.ts';
import type { FailedReplica, PoolReport } from '../../core/machine.ts';
import type { PoolSpec, ReplicaSpec } from '../../core/task.ts';
import type { HeldReplica } from '../workers/messages.ts';
import type { PoolProxy } from './poolProxy.ts';

/** A replica that the configs say is here, and holds data. */
export type ExpectedReplica = { volume: VolumeUid; replica: ReplicaId; pool: string };

export type PoolsOptions = {
  node: NodeName;
  pools: readonly PoolProxy[];
  /** The latest config of a volume, if one was seen. */
  configOf: (volume: VolumeUid) => VolumeConfig | null;
  /** In sync, or out of sync after having been in. */
  expected: () => Iterable<ExpectedReplica>;
  /** A member of which volume's config a replica is, as far as configs were seen. */
  volumeOf: (replica: ReplicaId) => VolumeUid | null;
};

export class Pools {
  readonly #options: PoolsOptions;
  readonly #pools: ReadonlyMap<string, PoolProxy>;

  constructor(options: PoolsOptions) {
    this.#options = options;
    this.#pools = new Map(options.pools.map((pool) => [pool.name, pool]));
  }

  /** What lies in each is known, or never will be. */
  get areSettled(): boolean {
    return [...this.#pools.values()].every(({ isSettled }) => isSettled);
  }

  /** Every one has closed its replicas and let go of its lock. */
  get areClosed(): boolean {
    return [...this.#pools.values()].every(({ isClosed }) => isClosed);
  }

  tick(): void {
    for (const pool of this.#pools.values()) pool.tick();
  }

  /** When a tick finds something to do, unless something is heard before. */
  get dueAtMs(): number {
    return Math.min(...[...this.#pools.values()].map(({ dueAtMs }) => dueAtMs));
  }

  reports(): PoolReport[] {
    return [...this.#pools.values()].map(({ report }) => report);
  }

  silences(): { name: string; silentMs: number }[] {
    return [...this.#pools.values()].map(({ name, silentMs }) => ({ name, silentMs }));
  }

  /** All that lies on this node, and of which pools nobody can say it. */
  async inventory(): Promise<PoolInventory & { problems: string[] }> {
    const found = await Promise.all([...this.#pools.values()].map((pool) => pool.inventory()));
    const told = found.filter((each) => typeof each !== 'string');
    return {
      problems: found.filter((each) => typeof each === 'string'),
      replicas: told.flatMap(({ replicas }) => replicas),
      snapshots: told.flatMap(({ snapshots }) => snapshots),
    };
  }

  /** To those that hold a replica of the volume, or are to. */
  observe(config: VolumeConfig): void {
    const { node } = this.#options;
    const named = new Set(config.shards.flatMap(({ members }) => members.filter((one) => one.node === node).map(({ pool }) => pool)));
    for (const pool of this.#pools.values()) {
      if (pool.mayHold(config.uid) || named.has(pool.name)) pool.observe(config);
    }
  }

  /** Those that are held and not served, and those that should be and are not. One whose volume nobody knows is left out: no config names it, so nobody waits for it. */
  failed(): FailedReplica[] {
    return [...this.#failedHere(), ...this.#missing()];
  }

  count(): { served: number; failed: number } {
    let served = 0;
    let failed = 0;
    for (const pool of this.#pools.values()) {
      for (const { failure } of pool.held.values()) {
        if (failure === null && pool.trouble === null) served++;
        else failed++;
      }
    }
    return { served, failed };
  }

  /** Does what a task says; null, or what went wrong in words. Idempotent. */
  async perform(spec: PoolSpec): Promise<string | null> {
    const pool = this.#pools.get(spec.pool);
    if (pool === undefined) return `pool ${spec.pool} is not one of this agent's (${[...this.#pools.keys()].join(', ')})`;
    const problem = 'replica' in spec ? this.#elsewhere(spec) : null;
    return problem ?? pool.perform(spec, this.#options.configOf(spec.volume));
  }

  /** No Seal is answered from when the workers hear it; `areClosed` says when all is closed cleanly. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }

  /** One id is never in two pools. */
  #elsewhere({ kind, replica, pool }: ReplicaSpec): string | null {
    const other = [...this.#pools.values()].find(({ name, held }) => name !== pool && held.has(replica));
    if (other === undefined) return null;
    if (kind === 'delete-replica') return `replica ${replica} is in pool ${other.name}, not in ${pool}`;
    return `replica ${replica} is here already, in pool ${other.name}, and is another`;
  }

  *#failedHere(): Iterable<FailedReplica> {
    for (const pool of this.#pools.values()) {
      for (const held of pool.held.values()) {
        const reason = reasonOf(pool, held);
        const volume = held.volume ?? this.#options.volumeOf(held.replica);
        if (reason !== null && volume !== null) yield { volume, replica: held.replica, reason };
      }
    }
  }

  *#missing(): Iterable<FailedReplica> {
    const pools = [...this.#pools.values()];
    for (const { volume, replica, pool: name } of this.#options.expected()) {
      if (pools.some(({ held }) => held.has(replica))) continue;
      const pool = this.#pools.get(name);
      // Not known yet: an opening that takes its time is no loss.
      if (pool !== undefined && !pool.isSettled) continue;
      const trouble = pool === undefined || pool.isOpen ? null : pool.trouble;
      const reason = trouble ?? 'its files are missing: no pool of this agent has them';
      yield { volume, replica, reason };
    }
  }
}

function reasonOf(pool: PoolProxy, { failure, isBeingRemoved }: HeldReplica): string | null {
  if (isBeingRemoved) return null;
  return failure ?? pool.trouble;
}
