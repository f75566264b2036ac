/**
 * Gathers everything into one value: the three kinds of the API server, and machines, configs, tasks, claims and reports of etcd. Reads only what the
 * views hold; must never ask anybody.
 */
import type { NodeName, SnapshotUid, VolumeUid } from '../../core/ids.ts';
import { isSnapshotUid, isVolumeUid, snapshotUid, volumeUid } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { MachineState } from '../../core/machine.ts';
import type { RecordedSnapshot } from '../../core/snapshot.ts';
import type { Entry, View } from '../../core/store.ts';
import type { SnapshotObject, StorageNodeObject, VolumeObject } from '../api.ts';
import type { KubeView } from '../ports.ts';
import {
  type Decoded,
  decodeClaim,
  decodeConfig,
  decodeMachine,
  decodeScrub,
  decodeServing,
  decodeSnapshot,
  decodeTask,
} from './decode.ts';
import { type Memory, releaseOf, remember } from './memory.ts';
import type { Now, Observed, ObservedTask, ObservedVolume, Stored } from './observed.ts';
import type { Overlay } from './overlay.ts';

export type StoreViews = {
  volumes: View;
  tasks: View;
  claims: View;
  history: View;
  machines: View;
  serving: View;
  snapshots: View;
  scrubs: View;
};
export type KubeViews = { volumes: KubeView<VolumeObject>; storagenodes: KubeView<StorageNodeObject>; snapshots: KubeView<SnapshotObject> };

/** Why nothing can be decided now; null: all views are current. */
export function staleReason(store: StoreViews, kube: KubeViews): string | null {
  if (Object.values(store).some((view) => !view.isCurrent)) return 'what etcd holds is not known to be current';
  return Object.values(kube).some((view) => !view.isCurrent) ? 'what the API server holds is not known to be current' : null;
}

/** Decoding is most of a pass's work, and an entry never changes: each is decoded once. */
const decoded = new WeakMap<Entry, Decoded<unknown>>();
function once<Value>(entry: Entry, decode: (entry: Entry) => Decoded<Value>): Decoded<Value> {
  const known = decoded.get(entry) as Decoded<Value> | undefined;
  if (known) return known;
  const result = decode(entry);
  decoded.set(entry, result);
  return result;
}

type Mutable = { -readonly [Field in keyof ObservedVolume]: ObservedVolume[Field] } & {
  tasks: ObservedTask[];
  history: string[];
  snapshots: Map<SnapshotUid, Stored<RecordedSnapshot>>;
};

class Gathering {
  readonly volumes = new Map<VolumeUid, Mutable>();
  readonly damages: string[] = [];

  volume(uid: VolumeUid): Mutable {
    const known = this.volumes.get(uid);
    if (known) return known;
    const fresh: Mutable = {
      uid,
      object: null,
      config: null,
      damage: null,
      tasks: [],
      history: [],
      serving: null,
      snapshots: new Map(),
      scrub: null,
    };
    this.volumes.set(uid, fresh);
    return fresh;
  }

  read<Value>(entry: Entry, decode: (entry: Entry) => Decoded<Value>): Value | null {
    const { value, problem } = once(entry, decode);
    if (problem !== null) this.damages.push(problem);
    return value;
  }
}

function gatherConfigs(gathering: Gathering, prefix: string, entries: ReadonlyMap<string, Entry>): void {
  for (const entry of entries.values()) {
    const name = entry.key.slice(prefix.length);
    if (!isVolumeUid(name)) {
      gathering.damages.push(`${entry.key} is not the key of a volume`);
      continue;
    }
    const volume = gathering.volume(volumeUid(name));
    const { value, problem } = once(entry, decodeConfig);
    if (problem !== null) volume.damage = problem;
    else if (value.uid !== name) volume.damage = `${entry.key} is the config of ${value.uid}`;
    else volume.config = { value, key: entry.key, revision: entry.revision };
    if (volume.damage !== null) gathering.damages.push(volume.damage);
  }
}

function gatherTasks(gathering: Gathering, keys: Keys, entries: ReadonlyMap<string, Entry>, claims: ReadonlyMap<string, Entry>): void {
  for (const entry of entries.values()) {
    const task = gathering.read(entry, decodeTask);
    if (task === null) continue;
    const claimEntry = claims.get(keys.claim(task.id));
    const claim = claimEntry ? gathering.read(claimEntry, decodeClaim) : null;
    gathering.volume(task.spec.volume).tasks.push({
      task: { value: task, key: entry.key, revision: entry.revision },
      claim: claimEntry && claim ? { value: claim, key: claimEntry.key, revision: claimEntry.revision } : null,
    });
  }
}

/** `snapshots/<volume>/<snapshot>`: also of volumes that are gone. */
function gatherSnapshots(gathering: Gathering, prefix: string, entries: ReadonlyMap<string, Entry>): void {
  for (const entry of entries.values()) {
    const [uid = '', snapshot = '', ...more] = entry.key.slice(prefix.length).split('/');
    if (!isVolumeUid(uid) || !isSnapshotUid(snapshot) || more.length > 0) {
      gathering.damages.push(`${entry.key} is not the key of a snapshot`);
      continue;
    }
    const value = gathering.read(entry, decodeSnapshot);
    if (value) gathering.volume(volumeUid(uid)).snapshots.set(snapshotUid(snapshot), { value, key: entry.key, revision: entry.revision });
  }
}

function gatherScrubs(gathering: Gathering, prefix: string, entries: ReadonlyMap<string, Entry>): void {
  for (const entry of entries.values()) {
    const uid = entry.key.slice(prefix.length);
    const volume = isVolumeUid(uid) ? gathering.volumes.get(volumeUid(uid)) : undefined;
    if (volume) volume.scrub = gathering.read(entry, decodeScrub);
  }
}

function gatherMachines(gathering: Gathering, entries: ReadonlyMap<string, Entry>): Map<NodeName, MachineState> {
  const machines = new Map<NodeName, MachineState>();
  for (const entry of entries.values()) {
    const machine = gathering.read(entry, decodeMachine);
    if (machine) machines.set(machine.node, machine);
  }
  return machines;
}

/** Nodes that somebody counts on and whose agent is not heard of. */
function missingNodes(
  volumes: Iterable<ObservedVolume>,
  storageNodes: Iterable<NodeName>,
  machines: ReadonlyMap<NodeName, MachineState>,
): Set<NodeName> {
  const expected = new Set(storageNodes);
  for (const { config, object } of volumes) {
    for (const shard of config?.value.shards ?? []) for (const member of shard.members) expected.add(member.node);
    if (config?.value.primary) expected.add(config.value.primary.node);
    if (object?.spec.attachTo) expected.add(object.spec.attachTo);
  }
  return new Set([...expected].filter((node) => !machines.has(node)));
}

export type Sources = { store: StoreViews; kube: KubeViews; keys: Keys; overlay: Overlay };

/** Call it only while `staleReason` is null. The memory returned in it is the one to give to the next pass. */
export function observe({ store, kube, keys, overlay }: Sources, memory: Memory, now: Now): Observed {
  const gathering = new Gathering();
  for (const object of kube.volumes.objects.values()) {
    if (isVolumeUid(object.metadata.uid)) gathering.volume(volumeUid(object.metadata.uid)).object = object;
  }
  gatherConfigs(gathering, keys.volumes, overlay.over(keys.volumes, store.volumes.entries, now.monotonicMs));
  gatherTasks(gathering, keys, overlay.over(keys.tasks, store.tasks.entries, now.monotonicMs), store.claims.entries);
  for (const entry of overlay.over(keys.history, store.history.entries, now.monotonicMs).values()) {
    const task = gathering.read(entry, decodeTask);
    if (task) gathering.volume(task.spec.volume).history.push(entry.key);
  }
  for (const entry of store.serving.entries.values()) {
    const report = gathering.read(entry, decodeServing);
    const volume = report ? gathering.volumes.get(report.uid) : undefined;
    if (report && volume) volume.serving = report;
  }
  gatherSnapshots(gathering, keys.snapshots, overlay.over(keys.snapshots, store.snapshots.entries, now.monotonicMs));
  gatherScrubs(gathering, keys.scrubs, store.scrubs.entries);
  const machines = gatherMachines(gathering, store.machines.entries);
  const volumes = gathering.volumes;
  const tasks = [...volumes.values()].flatMap((volume) => volume.tasks.map(({ task }) => task.value));
  const releases = [...volumes.values()].flatMap(({ config }) =>
    config?.value.primary?.mode === 'release' ? [releaseOf(config.value)] : [],
  );
  const missing = missingNodes(volumes.values(), kube.storagenodes.objects.keys(), machines);
  return {
    volumes,
    storageNodes: kube.storagenodes.objects,
    snapshots: kube.snapshots.objects,
    machines,
    memory: remember(memory, { missingNodes: missing, tasks, releases }, now.monotonicMs),
    damages: gathering.damages,
  };
}
