/**
 * An agent as the operator sees it: registers, does tasks, answers to its roles. It keeps no bytes; a replica is a name in a set. Level-based: each
 * `tick` looks at all of etcd and takes at most one step per thing. Works over any Store, in memory or real.
 */
import { outOfSync, type Shard, type VolumeConfig, withInSync } from '../../../core/config.ts';
import { isOperatingError } from '../../../core/errors.ts';
import type { InstanceId, NodeName, ReplicaId, SnapshotUid, VolumeUid } from '../../../core/ids.ts';
import { type ConfigInForce, unchangedConfig } from '../../../core/inForce.ts';
import type { Keys } from '../../../core/keys.ts';
import type { FailedReplica, MachineState, ServingReport } from '../../../core/machine.ts';
import type { RecordedSnapshot } from '../../../core/snapshot.ts';
import type { Change, Condition, Entry, Store } from '../../../core/store.ts';
import { type Claim, endTask, startTask, type Task } from '../../../core/task.ts';
import { configIn, configsIn, primarysChange } from '../configsInStore.ts';

/** What lies on disks: it outlives an agent's process. */
export class FakeDisks {
  readonly replicas = new Map<NodeName, Set<ReplicaId>>();
  /** Parts of snapshots: `<snapshot>/<attempt>/<replica>`, by node. */
  readonly snapshots = new Map<NodeName, Set<string>>();
  /** A late create task never brings back what was deleted. */
  readonly tombstones = new Set<ReplicaId>();

  of(node: NodeName): Set<ReplicaId> {
    const known = this.replicas.get(node) ?? new Set<ReplicaId>();
    this.replicas.set(node, known);
    return known;
  }

  snapshotsOf(node: NodeName): Set<string> {
    const known = this.snapshots.get(node) ?? new Set<string>();
    this.snapshots.set(node, known);
    return known;
  }

  get allSnapshots(): string[] {
    return [...this.snapshots.values()].flatMap((parts) => [...parts]);
  }

  get all(): ReplicaId[] {
    return [...this.replicas.values()].flatMap((replicas) => [...replicas]);
  }
}

export type FakeAgentOptions = {
  store: Store;
  keys: Keys;
  machine: MachineState;
  disks: FakeDisks;
  /** Everybody there is: whom it reaches as a primary. */
  peers: ReadonlyMap<NodeName, FakeAgent>;
};

const parse = <Value>(entry: Entry): Value => JSON.parse(entry.value) as Value;

export class FakeAgent {
  readonly #options: FakeAgentOptions;
  readonly #served = new Map<string, string>();
  /** A snapshot is to be taken: a primary in the background stays for it. */
  #isTaking = false;
  readonly failed: FailedReplica[] = [];
  /** Why the next task of a kind does not succeed. */
  failCreatesWith: string | null = null;
  failSnapshotsWith: string | null = null;
  isRunning = true;
  /** It lives, and does nothing. */
  isStill = false;

  constructor(options: FakeAgentOptions) {
    this.#options = options;
  }

  get node(): NodeName {
    return this.#options.machine.node;
  }

  get instance(): InstanceId {
    return this.#options.machine.instance;
  }

  get machine(): MachineState {
    return { ...this.#options.machine, failedReplicas: [...this.failed] };
  }

  holds(replica: ReplicaId): boolean {
    return this.isRunning && this.#options.disks.of(this.node).has(replica) && !this.failed.some((failed) => failed.replica === replica);
  }

  async tick(): Promise<void> {
    if (!this.isRunning || this.isStill) return;
    try {
      await this.#register();
      await this.#doTasks();
      await this.#beRoles();
    } catch (error) {
      // A store that does not answer: the next tick looks again.
      if (!isOperatingError(error)) throw error;
    }
  }

  async #register(): Promise<void> {
    const { store, keys } = this.#options;
    const value = JSON.stringify(this.machine);
    const entry = await store.get(keys.machine(this.node));
    if (entry?.value !== value) await store.commit([], [{ put: keys.machine(this.node), value, leased: true }]);
  }

  async #doTasks(): Promise<void> {
    const { store, keys } = this.#options;
    this.#isTaking = false;
    for (const entry of (await store.list(keys.tasksOf(this.node))).entries) {
      const task = parse<Task>(entry);
      if (task.spec.kind === 'snapshot' && task.state !== 'failed' && task.state !== 'done') this.#isTaking = true;
      if (task.state === 'filed') await this.#claim(task, entry);
      else if (task.state === 'running' && (await this.#hasClaimed(task))) await this.#end(task, entry);
    }
  }

  /** Asked of the store: the answer to our claiming may have been lost. */
  async #hasClaimed(task: Task): Promise<boolean> {
    const { store, keys } = this.#options;
    const entry = await store.get(keys.claim(task.id));
    const claim = entry ? parse<Claim>(entry) : null;
    return claim?.instance === this.instance && claim.attempt === task.attempt;
  }

  #claimOf(task: Task): string {
    return JSON.stringify({ node: this.node, instance: this.instance, attempt: task.attempt } satisfies Claim);
  }

  async #claim(task: Task, entry: Entry): Promise<void> {
    const { store, keys } = this.#options;
    const conditions = [
      { key: entry.key, is: 'revision', revision: entry.revision },
      { key: keys.claim(task.id), is: 'absent' },
    ] as const;
    const changes: Change[] = [
      { put: keys.claim(task.id), value: this.#claimOf(task), leased: true },
      { put: entry.key, value: JSON.stringify(startTask(task)) },
    ];
    await store.commit(conditions, changes);
  }

  async #end(task: Task, entry: Entry): Promise<void> {
    const { store, keys } = this.#options;
    const error = await this.#perform(task);
    await store.commit(
      [
        { key: entry.key, is: 'revision', revision: entry.revision },
        { key: keys.claim(task.id), is: 'value', value: this.#claimOf(task) },
      ],
      [{ put: entry.key, value: JSON.stringify(endTask(task, error)) }, { delete: keys.claim(task.id) }],
    );
  }

  async #perform(task: Task): Promise<string | null> {
    const { spec } = task;
    if (spec.kind === 'delete-replica') return this.#delete(spec.replica);
    if (spec.kind === 'delete-snapshot') return this.#deleteSnapshot(spec.snapshot);
    if (spec.kind === 'snapshot') return this.#takeSnapshot(spec.volume, spec.snapshot, task.attempt);
    if (this.failCreatesWith !== null) return this.failCreatesWith;
    if (this.#options.disks.tombstones.has(spec.replica)) return 'it was deleted';
    const { source } = spec;
    if (source && !this.#options.disks.snapshotsOf(this.node).has(`${source.snapshot}/${source.attempt}/${source.replica}`))
      return 'there is no such snapshot here';
    this.#options.disks.of(this.node).add(spec.replica);
    return null;
  }

  #delete(gone: ReplicaId): null {
    this.#options.disks.tombstones.add(gone);
    this.#options.disks.of(this.node).delete(gone);
    const index = this.failed.findIndex(({ replica }) => replica === gone);
    if (index >= 0) this.failed.splice(index, 1);
    return null;
  }

  #deleteSnapshot(snapshot: SnapshotUid): null {
    const parts = this.#options.disks.snapshotsOf(this.node);
    for (const part of [...parts]) if (part.startsWith(`${snapshot}/`)) parts.delete(part);
    return null;
  }

  /** On every replica in sync, and only then recorded, if the config is still the one that it was taken under. */
  async #takeSnapshot(uid: VolumeUid, snapshot: SnapshotUid, attempt: number): Promise<string | null> {
    if (this.failSnapshotsWith !== null) return this.failSnapshotsWith;
    const { store, keys, disks, peers } = this.#options;
    const known = await configIn(store, keys, uid);
    if (known?.config.primary?.instance !== this.instance) return 'it is not the primary';
    const { config } = known;
    const replicas = config.shards.flatMap(({ members, inSync }, shard) =>
      members.filter(({ replica }) => inSync.includes(replica)).map(({ replica, node, pool }) => ({ shard, replica, node, pool })),
    );
    const missing = replicas.find(({ node, replica }) => !peers.get(node)?.holds(replica));
    if (missing) return `${missing.node} does not answer`;
    for (const { node, replica } of replicas) disks.snapshotsOf(node).add(`${snapshot}/${attempt}/${replica}`);
    const record: RecordedSnapshot = {
      attempt,
      epoch: config.epoch,
      sizeBytes: config.sizeBytes,
      createdAtMs: 1_700_000_000_000,
      replicas,
    };
    const conditions: Condition[] = [...unchangedConfig(known), { key: keys.snapshot(uid, snapshot), is: 'absent' }];
    const { committed } = await store.commit(conditions, [{ put: keys.snapshot(uid, snapshot), value: JSON.stringify(record) }]);
    return committed ? null : 'the config changed meanwhile';
  }

  async #beRoles(): Promise<void> {
    const { store, keys } = this.#options;
    const mine = new Set<string>();
    for (const known of await configsIn(store, keys)) {
      const { config } = known;
      if (config.primary?.node !== this.node || config.primary.instance !== this.instance) continue;
      mine.add(keys.servingOf(config.uid));
      await this.#bePrimary(known);
    }
    for (const key of this.#served.keys()) {
      if (mine.has(key)) continue;
      await store.commit([{ key, is: 'value', value: this.#served.get(key) ?? '' }], [{ delete: key }]);
      this.#served.delete(key);
    }
  }

  async #bePrimary(known: ConfigInForce): Promise<void> {
    const next = this.#nextConfig(known.config);
    if (next === null) return this.#report(known.config);
    const { conditions, changes } = primarysChange(known, next);
    await this.#options.store.commit(conditions, changes);
  }

  /** What a primary would write next: drops whom it does not reach and who is leaving, takes up who is back, lets go when it is to. */
  #nextConfig(config: VolumeConfig): VolumeConfig | null {
    for (const [index, shard] of config.shards.entries()) {
      const inSync = this.#nextInSync(config, shard);
      if (inSync.join() !== shard.inSync.join()) return withInSync(config, index, inSync);
    }
    const { mode } = config.primary ?? {};
    const isDone = (shard: Shard) =>
      outOfSync(shard).length === 0 && !shard.members.some((one) => one.leaving && shard.inSync.includes(one.replica));
    const noneReachable = (shard: Shard) => outOfSync(shard).every((one) => !this.#reaches(one.node, one.replica));
    const isOver = config.shards.every(isDone) || config.shards.every(noneReachable);
    if (mode === 'release' || (mode === 'background' && isOver && !this.#isTaking))
      return { ...config, version: config.version + 1, primary: null };
    return null;
  }

  #reaches(node: NodeName, replica: ReplicaId): boolean {
    return this.#options.peers.get(node)?.holds(replica) ?? false;
  }

  #nextInSync(config: VolumeConfig, shard: Shard): ReplicaId[] {
    const joining = outOfSync(shard).find((one) => this.#reaches(one.node, one.replica));
    if (joining) return [...shard.inSync, joining.replica];
    const isSound = (replica: ReplicaId) =>
      shard.members.some((one) => one.replica === replica && !one.leaving && this.#reaches(one.node, replica));
    const dropped = shard.inSync.find((replica) => !isSound(replica));
    const rest = shard.inSync.filter((replica) => replica !== dropped);
    return dropped && rest.length >= config.minInSync && rest.some(isSound) ? rest : [...shard.inSync];
  }

  async #report(config: VolumeConfig): Promise<void> {
    const { store, keys } = this.#options;
    const serves = config.primary?.mode === 'serve';
    const report: ServingReport = {
      uid: config.uid,
      node: this.node,
      instance: this.instance,
      epoch: config.epoch,
      state: serves ? 'serving' : 'background',
      socket: serves ? `/run/holdfast/${config.name}.sock` : null,
      sinceMs: 1_700_000_000_000,
      sizeBytes: config.sizeBytes,
      replicas: config.shards.flatMap(({ members, inSync }) =>
        members.map(({ node, replica }) => ({
          replica,
          state: inSync.includes(replica) ? 'inSync' : this.#reaches(node, replica) ? 'learner' : 'out',
          doneBytes: 0,
          totalBytes: 0,
          bytesPerSecond: 0,
        })),
      ),
    };
    const [key, value] = [keys.servingOf(config.uid), JSON.stringify(report)];
    if (this.#served.get(key) === value) return;
    await store.commit([], [{ put: key, value, leased: true }]);
    this.#served.set(key, value);
  }
}
