/**
 * Gathers everything into one value: the three kinds of the API server, and machines, configs, tasks, claims and reports of etcd. Reads only what the
 * views hold; must never ask anybody. Of ten thousand volumes only those are put together anew of which something changed; the others are the very same
 * values as before.
 */
import { isVolumeUid, type NodeName, type VolumeUid, volumeUid } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { MachineState } from '../../core/machine.ts';
import type { Entry, View } from '../../core/store.ts';
import type { KubeObject, SnapshotObject, StorageNodeObject, VolumeObject } from '../api.ts';
import type { KubeView } from '../ports.ts';
import { Index } from './byVolume.ts';
import { Changes, type Watched } from './changes.ts';
import { decodeEnded, decodeServing, decodeTask } from './decode.ts';
import { type GatheredEntries, Gathering, gather, gatherMachines, once } from './gather.ts';
import { type Memory, releaseOf, remember } from './memory.ts';
import type { Now, Observed, ObservedVolume } from './observed.ts';
import type { Overlay } from './overlay.ts';

export type StoreViews = {
  volumes: View;
  primaries: View;
  tasks: View;
  claims: View;
  history: View;
  machines: View;
  serving: View;
  snapshots: View;
  scrubs: View;
  settings: View;
};
export type KubeViews = { volumes: KubeView<VolumeObject>; storagenodes: KubeView<StorageNodeObject>; snapshots: KubeView<SnapshotObject> };

export const storeStaleReason = (store: StoreViews): string | null =>
  Object.values(store).some((view) => !view.isCurrent) ? 'what etcd holds is not known to be current' : null;

/** Then its objects are as they were seen last. */
export const kubeStaleReason = (kube: KubeViews): string | null =>
  Object.values(kube).some((view) => !view.isCurrent) ? 'what the API server holds is not known to be current' : null;

/** Why not everything can be decided now (reconcile/mandate.ts says what can); null: all views are current. */
export const staleReason = (store: StoreViews, kube: KubeViews): string | null => storeStaleReason(store) ?? kubeStaleReason(kube);

export type Sources = { store: StoreViews; kube: KubeViews; keys: Keys; overlay: Overlay };

/** What is other than at the last observation. */
export type Difference = {
  volumes: ReadonlySet<VolumeUid>;
  machines: ReadonlyMap<NodeName, { before: MachineState | null; now: MachineState | null }>;
  storageNodes: ReadonlySet<NodeName>;
  hasSnapshots: boolean;
};

const isSameEntry = (a: Entry, b: Entry): boolean => a.revision === b.revision && a.value === b.value;
const isSameObject = (): boolean => false;
const MACHINES = 'machines';
const watched = <Object extends KubeObject>({ objects, changeCount }: KubeView<Object>): Watched<Object> => ({
  values: objects,
  changeCount,
});
const isOverlaid = (name: ViewOfVolumes): boolean => OVERLAID.some((one) => one === name);

/** Of those the leader writes itself, its own transactions are seen at once. */
const OVERLAID = ['volumes', 'primaries', 'tasks', 'history', 'snapshots'] as const;
const VIEWS_OF_VOLUMES = [...OVERLAID, 'serving', 'scrubs'] as const;
type ViewOfVolumes = (typeof VIEWS_OF_VOLUMES)[number];

const nodesOf = ({ config, object }: ObservedVolume): Set<NodeName> => {
  const nodes = new Set<NodeName>();
  for (const shard of config?.value.shards ?? []) for (const { node } of shard.members) nodes.add(node);
  if (config?.value.primary) nodes.add(config.value.primary.node);
  if (object?.spec.attachTo) nodes.add(object.spec.attachTo);
  return nodes;
};

/** One term of leadership. */
export class Observer {
  readonly #sources: Sources;
  readonly #entries = Object.fromEntries(
    VIEWS_OF_VOLUMES.map((name) => [name, { changes: new Changes<Entry>(isSameEntry), index: new Index<Entry>() }]),
  ) as Record<ViewOfVolumes, { changes: Changes<Entry>; index: Index<Entry> }>;
  readonly #objects = { changes: new Changes<VolumeObject>(isSameObject), index: new Index<VolumeObject>() };
  readonly #storageNodes = new Changes<StorageNodeObject>(isSameObject);
  readonly #snapshots = new Changes<SnapshotObject>(isSameObject);
  readonly #machineEntries = new Changes<Entry>(isSameEntry);
  readonly #claims = new Changes<Entry>(isSameEntry);
  readonly #volumeOfClaim = new Map<string, VolumeUid>();
  readonly #volumes = new Map<VolumeUid, ObservedVolume>();
  /** Volumes that have to do with a node: a replica, the primary, their clients. */
  readonly #onNode = new Map<NodeName, Set<VolumeUid>>();
  readonly #withTasks = new Set<VolumeUid>();
  readonly #releasing = new Set<VolumeUid>();
  /** By bucket, and by the view of the machines. */
  readonly #damages = new Map<string, readonly string[]>();
  #machines = new Map<NodeName, MachineState>();

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  volumesOn(node: NodeName): ReadonlySet<VolumeUid> {
    return this.#onNode.get(node) ?? new Set();
  }

  /** Call it only while etcd's views are current. The memory returned in it is the one to give to the next pass. */
  observe(memory: Memory, now: Now): { observed: Observed; difference: Difference } {
    const { kube } = this.#sources;
    const machines = this.#observeMachines();
    const storageNodes = new Set(this.#storageNodes.take(watched(kube.storagenodes)).map(({ key }) => key));
    const hasSnapshots = this.#snapshots.take(watched(kube.snapshots)).length > 0;
    const volumes = this.#observeVolumes(now);
    const observed: Observed = {
      volumes: this.#volumes,
      storageNodes: kube.storagenodes.objects,
      snapshots: kube.snapshots.objects,
      machines: this.#machines,
      memory: this.#remember(memory, now),
      damages: [...this.#damages.values()].flat(),
    };
    return { observed, difference: { volumes, machines, storageNodes, hasSnapshots } };
  }

  #observeMachines(): Difference['machines'] {
    const view = this.#sources.store.machines;
    const difference = new Map<NodeName, { before: MachineState | null; now: MachineState | null }>();
    if (this.#machineEntries.take({ values: view.entries, changeCount: view.changeCount }).length === 0) return difference;
    const before = this.#machines;
    const gathering = new Gathering();
    this.#machines = gatherMachines(gathering, view.entries);
    if (gathering.damages.length > 0) this.#damages.set(MACHINES, gathering.damages);
    else this.#damages.delete(MACHINES);
    for (const [node, now] of this.#machines) {
      const then = before.get(node) ?? null;
      if (then !== now) difference.set(node, { before: then, now });
    }
    for (const [node, then] of before) if (!this.#machines.has(node)) difference.set(node, { before: then, now: null });
    return difference;
  }

  #observeVolumes(now: Now): Set<VolumeUid> {
    const { store, kube, keys, overlay } = this.#sources;
    const touched = new Set<string>();
    this.#objects.index.apply(this.#objects.changes.take(watched(kube.volumes)), ({ metadata }) => metadata.uid, touched);
    for (const name of VIEWS_OF_VOLUMES) {
      const { changes, index } = this.#entries[name];
      const { entries, changeCount } = store[name];
      const values = isOverlaid(name) ? overlay.over(keys[name], entries, now.monotonicMs) : entries;
      const taken = changes.take({ values, changeCount: values === entries ? changeCount : undefined });
      index.apply(taken, (entry) => this.#bucketOf(name, entry), touched);
      if (name === 'tasks') this.#noteTasks(taken);
    }
    const claims = { values: store.claims.entries, changeCount: store.claims.changeCount };
    for (const { key } of this.#claims.take(claims)) {
      const volume = this.#volumeOfClaim.get(key);
      if (volume !== undefined) touched.add(volume);
    }
    for (const bucket of touched) this.#gather(bucket);
    return new Set([...touched].filter(isVolumeUid).map(volumeUid));
  }

  /** Whose claims would be about which volume. */
  #noteTasks(taken: readonly { before: Entry | null; now: Entry | null }[]): void {
    for (const { before, now } of taken) {
      for (const entry of [before, now]) {
        const task = entry && once(entry, decodeTask).value;
        if (!task) continue;
        const claim = this.#sources.keys.claim(task.id);
        if (entry === now) this.#volumeOfClaim.set(claim, task.spec.volume);
        else this.#volumeOfClaim.delete(claim);
      }
    }
  }

  #bucketOf(name: ViewOfVolumes, entry: Entry): string {
    const nobodys = `?${entry.key}`;
    if (name === 'tasks') return once(entry, decodeTask).value?.spec.volume ?? nobodys;
    if (name === 'history') return once(entry, decodeEnded).value ?? nobodys;
    if (name === 'serving') return once(entry, decodeServing).value?.uid ?? nobodys;
    const parts = entry.key.slice(this.#sources.keys[name].length).split('/');
    const uid = (name === 'primaries' ? parts[1] : parts[0]) ?? '';
    return isVolumeUid(uid) ? uid : nobodys;
  }

  /** Together again what there is of one volume, or what belongs to none. */
  #gather(bucket: string): void {
    const { store, keys } = this.#sources;
    const at = (name: ViewOfVolumes): ReadonlyMap<string, Entry> => this.#entries[name].index.of(bucket);
    const entries: GatheredEntries = {
      objects: this.#objects.index.of(bucket).values(),
      volumes: at('volumes'),
      primaries: at('primaries'),
      tasks: at('tasks'),
      claims: store.claims.entries,
      history: at('history'),
      serving: at('serving'),
      snapshots: at('snapshots'),
      scrubs: at('scrubs'),
    };
    const { volumes, damages } = gather(entries, keys);
    if (damages.length > 0) this.#damages.set(bucket, damages);
    else this.#damages.delete(bucket);
    if (isVolumeUid(bucket)) this.#put(volumeUid(bucket), volumes.get(volumeUid(bucket)) ?? null);
  }

  #put(uid: VolumeUid, volume: ObservedVolume | null): void {
    const before = this.#volumes.get(uid);
    for (const node of before ? nodesOf(before) : []) this.#onNode.get(node)?.delete(uid);
    this.#withTasks.delete(uid);
    this.#releasing.delete(uid);
    if (volume === null) {
      this.#volumes.delete(uid);
      return;
    }
    this.#volumes.set(uid, volume);
    for (const node of nodesOf(volume)) {
      const there = this.#onNode.get(node);
      if (there) there.add(uid);
      else this.#onNode.set(node, new Set([uid]));
    }
    if (volume.tasks.length > 0) this.#withTasks.add(uid);
    if (volume.config?.value.primary?.mode === 'release') this.#releasing.add(uid);
  }

  /** Nodes that somebody counts on and whose agent is not heard of. */
  #missingNodes(): Set<NodeName> {
    const missing = new Set<NodeName>();
    for (const [node, volumes] of this.#onNode) {
      if (volumes.size === 0) this.#onNode.delete(node);
      else if (!this.#machines.has(node)) missing.add(node);
    }
    for (const node of this.#sources.kube.storagenodes.objects.keys()) if (!this.#machines.has(node)) missing.add(node);
    return missing;
  }

  #remember(memory: Memory, now: Now): Memory {
    const of = (uids: ReadonlySet<VolumeUid>): ObservedVolume[] => [...uids].flatMap((uid) => this.#volumes.get(uid) ?? []);
    const tasks = of(this.#withTasks).flatMap((volume) => volume.tasks.map(({ task }) => task.value));
    const releases = of(this.#releasing).flatMap(({ config }) => (config ? [releaseOf(config.value)] : []));
    return remember(memory, { missingNodes: this.#missingNodes(), tasks, releases }, now.monotonicMs);
  }
}

/** All at once, for those who look once. */
export const observe = (sources: Sources, memory: Memory, now: Now): Observed => new Observer(sources).observe(memory, now).observed;
