/**
 * A cluster without processes: the operator's own decisions over volumes whose replicas are copied by a clock, as many bytes a second as a node takes. What a
 * transaction asks for happens at once; copies take their time. Counts what is copied, and of whom. Must never decide anything itself.
 */
import { outOfSync, type Shard, type VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import type { NodeName, ReplicaId, VolumeUid } from '../../core/ids.ts';
import type { MachineState } from '../../core/machine.ts';
import type { Task } from '../../core/task.ts';
import { Balancer } from '../../operator/balance/balancer.ts';
import { isEligible, loadsOf, type PoolLoad } from '../../operator/balance/loads.ts';
import { emptyMemory, type Memory, withSetback } from '../../operator/observe/memory.ts';
import type { Observed, ObservedVolume } from '../../operator/observe/observed.ts';
import { type ControllerPorts, worldOf } from '../../operator/reconcile/controller.ts';
import { decideAll } from '../../operator/volume/decide.ts';
import type { Decision, World } from '../../operator/volume/decision.ts';
import { GiB, KEYS, storageNode, volumeObject, WALL_MS } from '../support/operator/builders.ts';
import { machineOf, type NodeLook, uidOf } from '../support/operator/fullWorld.ts';
import { SeededRandom } from '../support/seededRandom.ts';

/** What a node takes in, all its copies together. */
const COPY_BYTES_PER_SECOND = GiB / 4;
const STEP_MS_MIN = 1_000;
const STEP_MS_MAX = 5_000;
/** Longer than the balancer ever waits. */
const QUIET_MS = 70_000;
const STEPS_MAX = 20_000;

type Copy = { uid: VolumeUid; shard: number; node: NodeName; sizeBytes: number; doneBytes: number };

export class BalanceCluster {
  readonly random: SeededRandom;
  readonly nodes = new Map<NodeName, NodeLook & { index: number; goneSinceMs?: number }>();
  readonly volumes = new Map<VolumeUid, ObservedVolume>();
  /** Bytes copied, also those of copies that came to nothing. */
  copiedBytes = 0;
  /** Replicas that were deleted although they were made since `begin`: copied for nothing, or moved on. */
  undone = 0;
  nowMs = 1_000_000;
  readonly #copies = new Map<ReplicaId, Copy>();
  readonly #held = new Map<NodeName, number>();
  readonly #sizes = new Map<ReplicaId, number>();
  readonly #madeSince = new Set<ReplicaId>();
  readonly #balancer = new Balancer('on');
  readonly #ports: Pick<ControllerPorts, 'sources' | 'limits' | 'random' | 'replaceAfterMs'>;
  #memory: Memory = emptyMemory;
  #made = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    const limits = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };
    this.#ports = {
      sources: { keys: KEYS } as unknown as ControllerPorts['sources'],
      limits,
      random: this.random,
      replaceAfterMs: 600_000,
    };
  }

  addNode(look: NodeLook): void {
    this.nodes.set(look.node, { ...look, index: this.nodes.size });
  }

  /** For good: its StorageNode goes too, as soon as nothing of it is left. */
  loseNode(node: NodeName): void {
    const lost = this.nodes.get(node);
    if (lost) this.nodes.set(node, { ...lost, isAway: true, goneSinceMs: this.nowMs });
  }

  forgetNode(node: NodeName): void {
    this.nodes.delete(node);
  }

  addVolume(sizeBytes: number, replicas: number, shards = 1): void {
    const index = ++this.#made;
    const uid = uidOf(index);
    const metadata = { name: `v${index}`, uid, creationTimestamp: new Date(WALL_MS + index * 1_000).toISOString() };
    const object = volumeObject({ size: String(sizeBytes), replicas, shards }, metadata);
    const nothing = { config: null, damage: null, tasks: [], history: [], serving: null, snapshots: new Map(), scrub: null };
    this.volumes.set(uid, { uid, object, ...nothing });
  }

  deleteVolume(uid: VolumeUid): void {
    const config = this.volumes.get(uid)?.config?.value;
    for (const [index, shard] of (config?.shards ?? []).entries())
      for (const { node } of shard.members) this.#hold(node, -shardBytes(config?.sizeBytes ?? 0, config?.shards.length ?? 1, index));
    this.volumes.delete(uid);
  }

  /** What happens from here on is for one event. */
  begin(): void {
    this.undone = 0;
    this.#madeSince.clear();
  }

  /** Until nothing has happened for so long that nothing will. */
  settle(): void {
    let quietSinceMs = this.nowMs;
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      if (this.#pass() || this.#copies.size > 0) quietSinceMs = this.nowMs;
      if (this.nowMs - quietSinceMs > QUIET_MS && ![...this.nodes.values()].some((look) => this.#isDue(look))) return;
      this.#copy(this.#stepMs());
    }
    throw new Error(`not at rest after ${STEPS_MAX} steps`);
  }

  loads(): PoolLoad[] {
    const world = this.#world(this.#observed());
    return [...loadsOf(world).values()].filter((load) => isEligible(load, world));
  }

  bytesOn(node: NodeName): number {
    return this.#held.get(node) ?? 0;
  }

  /** Somebody still waits for it to come back. */
  #isDue({ node, goneSinceMs }: { node: NodeName; goneSinceMs?: number }): boolean {
    return goneSinceMs !== undefined && this.nowMs - goneSinceMs < this.#ports.replaceAfterMs + QUIET_MS && this.bytesOn(node) > 0;
  }

  #hold(node: NodeName, bytes: number): void {
    this.#held.set(node, (this.#held.get(node) ?? 0) + bytes);
  }

  #machines(): Map<NodeName, MachineState> {
    const living = [...this.nodes.values()].filter(({ isAway }) => !isAway);
    return new Map(
      living.map((look) => {
        const heldBytes = this.bytesOn(look.node);
        const capacityBytes = look.capacityBytes ?? 100 * GiB;
        // A quarter of what is promised is filled.
        const used = (look.used ?? 0) + heldBytes / 4 / capacityBytes;
        return [look.node, machineOf({ ...look, used }, look.index, heldBytes)];
      }),
    );
  }

  #observed(): Observed {
    const gone = [...this.nodes.values()].filter(({ isAway }) => isAway);
    const machineGoneSinceMs = new Map(gone.map(({ node, goneSinceMs }) => [node, goneSinceMs ?? 0]));
    const objects = [...this.nodes.keys()].map((node) => {
      const object = storageNode('a');
      return [node, { ...object, metadata: { ...object.metadata, name: node } }] as const;
    });
    return {
      volumes: this.volumes,
      storageNodes: new Map(objects),
      snapshots: new Map(),
      machines: this.#machines(),
      memory: { ...this.#memory, machineGoneSinceMs },
      damages: [],
    };
  }

  #world(observed: Observed): World {
    return worldOf(observed, { monotonicMs: this.nowMs, wallMs: WALL_MS + this.nowMs }, this.#ports, 1);
  }

  /** Only of volumes about which anything is to be decided: the others would be left as they are, and there are many. */
  #pass(): boolean {
    const still = this.#world(this.#observed());
    const world: World = { ...still, moves: this.#balancer.moves(this.volumes.values(), still) };
    const due = [...this.volumes.values()].filter((volume) => this.#isOpen(volume, world));
    let hasChanged = false;
    for (const [uid, decision] of decideAll(due, world)) hasChanged = this.#perform(uid, decision) || hasChanged;
    return hasChanged;
  }

  #isOpen({ object, config }: ObservedVolume, world: World): boolean {
    if (config === null || config.value.primary !== null) return true;
    return config.value.shards.some(
      ({ members, inSync }) =>
        members.length !== object?.spec.replicas ||
        inSync.length !== members.length ||
        members.some(({ replica, node, leaving }) => leaving || world.moves.has(replica) || !world.machines.has(node)),
    );
  }

  #perform(uid: VolumeUid, { actions }: Decision): boolean {
    for (const action of actions)
      if (action.kind === 'noteSetback') this.#memory = withSetback(this.#memory, action.what, action.signature, this.nowMs);
    const changes = actions.flatMap((action) => (action.kind === 'commit' ? action.transaction.changes : []));
    for (const change of changes) {
      if (!('put' in change)) continue;
      if (change.put === KEYS.volume(uid)) this.#take(uid, JSON.parse(change.value) as VolumeConfig);
      if (change.put.startsWith(KEYS.tasks)) this.#do(JSON.parse(change.value) as Task);
    }
    return changes.length > 0;
  }

  /** The first replicas are made and in sync at once. */
  #take(uid: VolumeUid, config: VolumeConfig): void {
    const volume = this.volumes.get(uid);
    if (!volume) return;
    const shards = config.shards.map((shard) => ({ ...shard, inSync: shard.members.map(({ replica }) => replica) }));
    const value = config.epoch === 0 ? { ...config, epoch: 1, shards } : config;
    this.volumes.set(uid, { ...volume, config: { value, key: KEYS.volume(uid), revision: String(value.version) } });
    if (config.epoch > 0) return;
    for (const [index, { members }] of shards.entries())
      for (const { node } of members) this.#hold(node, shardBytes(config.sizeBytes, shards.length, index));
  }

  #do({ node, spec }: Task): void {
    const config = 'replica' in spec ? this.volumes.get(spec.volume)?.config?.value : undefined;
    if (!config || !('replica' in spec)) return;
    if (spec.kind === 'delete-replica') {
      const copy = this.#copies.get(spec.replica);
      if (this.#madeSince.has(spec.replica)) this.undone++;
      this.#hold(node, -(copy?.sizeBytes ?? this.#sizes.get(spec.replica) ?? shardBytes(config.sizeBytes, config.shards.length, 0)));
      this.#copies.delete(spec.replica);
      return;
    }
    const shard = config.shards.findIndex(({ members }) => members.some(({ replica }) => replica === spec.replica));
    if (shard === -1 || config.shards[shard]?.inSync.includes(spec.replica)) return;
    this.#sizes.set(spec.replica, spec.sizeBytes);
    this.#hold(node, spec.sizeBytes);
    this.#copies.set(spec.replica, { uid: config.uid, shard, node, sizeBytes: spec.sizeBytes, doneBytes: 0 });
    this.#madeSince.add(spec.replica);
  }

  #stepMs(): number {
    const shares = Map.groupBy(this.#copies.values(), ({ node }) => node);
    const leftMs = [...this.#copies.values()].map(
      ({ node, sizeBytes, doneBytes }) => ((sizeBytes - doneBytes) * (shares.get(node)?.length ?? 1) * 1_000) / COPY_BYTES_PER_SECOND,
    );
    return Math.min(STEP_MS_MAX, Math.max(STEP_MS_MIN, ...(leftMs.length > 0 ? [Math.min(...leftMs)] : [STEP_MS_MAX])));
  }

  /** What agents do in that time: copy, take learners in that have everything, let go of those that are leaving. */
  #copy(forMs: number): void {
    this.nowMs += forMs;
    const shares = Map.groupBy(this.#copies.values(), ({ node }) => node);
    for (const [replica, copy] of this.#copies) {
      if (this.nodes.get(copy.node)?.isAway) continue;
      const bytes = Math.min(
        copy.sizeBytes - copy.doneBytes,
        (COPY_BYTES_PER_SECOND * forMs) / 1_000 / (shares.get(copy.node)?.length ?? 1),
      );
      copy.doneBytes += bytes;
      this.copiedBytes += bytes;
      if (copy.doneBytes >= copy.sizeBytes) this.#copies.delete(replica);
    }
    for (const [uid, volume] of this.volumes) {
      const config = volume.config?.value;
      if (config?.primary) this.#take(uid, this.#served(config));
    }
  }

  #served(config: VolumeConfig): VolumeConfig {
    const shards = config.shards.map((shard): Shard => {
      const learned = outOfSync(shard).filter(({ replica, node }) => !this.#copies.has(replica) && !this.nodes.get(node)?.isAway);
      const inSync = [...shard.inSync, ...learned.map(({ replica }) => replica)];
      const staying = inSync.filter((replica) => !shard.members.some((member) => member.leaving && member.replica === replica));
      return { ...shard, inSync: staying.length >= config.minInSync ? staying : inSync };
    });
    // It lets go a moment after its last work: what is decided in between sees it still.
    const isDone = config.shards.every((shard) => outOfSync(shard).length === 0 && shard.members.every(({ leaving }) => !leaving));
    return { ...config, version: config.version + 1, shards, primary: isDone ? null : config.primary };
  }
}
