/** Small whole objects for the operator's tests, changed where a test says so. */
import type { Member, VolumeConfig } from '../../../core/config.ts';
import { type InstanceId, instanceId, type NodeName, replicaId, type SnapshotUid, type VolumeUid, volumeUid } from '../../../core/ids.ts';
import { createTaskId, deleteTaskId, keysOf } from '../../../core/keys.ts';
import type { MachineState, PoolReport, ServingReport } from '../../../core/machine.ts';
import type { ScrubState } from '../../../core/scrub.ts';
import type { RecordedSnapshot } from '../../../core/snapshot.ts';
import type { Task, TaskState } from '../../../core/task.ts';
import { FINALIZER, SNAPSHOT_FINALIZER, type SnapshotObject, type StorageNodeObject, type VolumeObject } from '../../../operator/api.ts';
import type { VolumeSpec } from '../../../operator/generated/volume.ts';
import { emptyMemory } from '../../../operator/observe/memory.ts';
import type { ObservedTask, ObservedVolume } from '../../../operator/observe/observed.ts';
import type { PlacementNode } from '../../../operator/placement/checks.ts';
import { Ledger } from '../../../operator/placement/ledger.ts';
import { snapshotIndex } from '../../../operator/snapshot/subjects.ts';
import type { World } from '../../../operator/volume/decision.ts';
import { SeededRandom } from '../seededRandom.ts';

export const GiB = 2 ** 30;
export const KEYS = keysOf('test');
export const UID = volumeUid('11111111-2222-3333-4444-555555555555');
export const WALL_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

const hex = (text: string): string => Buffer.from(text).toString('hex').padEnd(16, '0').slice(0, 16);
/** `a` on node-a, and so on: the same letter always gives the same id. */
export const replica = (letter: string) => replicaId(hex(letter));
export const instance = (text: string): InstanceId => instanceId(hex(text));
export const nodeOf = (letter: string): NodeName => `node-${letter}`;

export const pool = (change: Partial<PoolReport> = {}): PoolReport => ({
  name: 'default',
  capacityBytes: 100 * GiB,
  usedBytes: 0,
  allocatedBytes: 0,
  tags: [],
  reflink: false,
  state: 'ready',
  ...change,
});

export const machine = (letter: string, change: Partial<MachineState> = {}): MachineState => ({
  node: nodeOf(letter),
  instance: instance(letter),
  addresses: { http: `${nodeOf(letter)}:2` },
  bootId: 'boot',
  zone: '',
  labels: {},
  pools: [pool()],
  failedReplicas: [],
  version: '1',
  settingsVersion: 1,
  ...change,
});

export const member = (letter: string, change: Partial<Member> = {}): Member => ({
  replica: replica(letter),
  node: nodeOf(letter),
  pool: 'default',
  ...change,
});

/** Replicas on node-a, node-b, node-c, all in sync, nobody serves it. */
export const config = (change: Partial<VolumeConfig> = {}, letters = 'abc', inSync = letters): VolumeConfig => ({
  uid: UID,
  name: 'pgdata',
  sizeBytes: GiB,
  minInSync: 2,
  epoch: 1,
  version: 5,
  primary: null,
  shards: [{ members: [...letters].map((letter) => member(letter)), inSync: [...inSync].map(replica) }],
  ...change,
});

/** What the API server fills in. */
export const spec = (change: Partial<VolumeSpec> = {}): VolumeSpec => ({
  size: '1Gi',
  replicas: 3,
  shards: 1,
  placement: { nodeSelector: {}, poolTags: [], zones: 'Prefer' },
  limits: { iops: 0, bytesPerSecond: 0 },
  ...change,
});

export const volumeObject = (change: Partial<VolumeSpec> = {}, metadata: Partial<VolumeObject['metadata']> = {}): VolumeObject => ({
  apiVersion: 'holdfast.dev/v1alpha1',
  kind: 'Volume',
  metadata: {
    name: 'pgdata',
    uid: UID,
    resourceVersion: '7',
    generation: 1,
    creationTimestamp: '2026-01-01T00:00:00Z',
    finalizers: [FINALIZER],
    ...metadata,
  },
  spec: spec(change),
});

export const snapshotObject = (
  name: string,
  volume: string,
  uid: SnapshotUid,
  metadata: Partial<SnapshotObject['metadata']> = {},
): SnapshotObject => ({
  apiVersion: 'holdfast.dev/v1alpha1',
  kind: 'Snapshot',
  metadata: { name, uid, resourceVersion: '8', generation: 1, finalizers: [SNAPSHOT_FINALIZER], ...metadata },
  spec: { volume },
});

/** On the nodes of these letters, of one shard. */
export const recorded = (letters: string, change: Partial<RecordedSnapshot> = {}): RecordedSnapshot => ({
  attempt: 4,
  epoch: 1,
  sizeBytes: GiB,
  createdAtMs: WALL_MS,
  replicas: [...letters].map((letter) => ({ shard: 0, replica: replica(letter), node: nodeOf(letter), pool: 'default' })),
  ...change,
});

export const storageNode = (letter: string, change: Partial<StorageNodeObject['spec']> = {}): StorageNodeObject => ({
  apiVersion: 'holdfast.dev/v1alpha1',
  kind: 'StorageNode',
  metadata: { name: nodeOf(letter), uid: `uid-${letter}`, resourceVersion: '3', generation: 1 },
  spec: { schedulable: true, maintenance: false, evict: false, ...change },
});

let revision = 100;
const nextRevision = (): string => String(++revision);

export function observedTask(
  kind: 'create' | 'delete',
  letter: string,
  state: TaskState,
  options: { claimed?: boolean; error?: string; volume?: VolumeUid; attempt?: number } = {},
): ObservedTask {
  const id = kind === 'create' ? createTaskId(replica(letter)) : deleteTaskId(replica(letter));
  const node = nodeOf(letter);
  const common = { volume: options.volume ?? UID, replica: replica(letter), pool: 'default' };
  const task: Task = {
    id,
    node,
    spec:
      kind === 'create'
        ? { kind: 'create-replica', ...common, sizeBytes: GiB, volumeName: 'pgdata' }
        : { kind: 'delete-replica', ...common },
    attempt: options.attempt ?? 1,
    filedBy: 1,
    traceId: 'f'.repeat(32),
    state,
    ...(options.error === undefined ? {} : { error: options.error }),
  };
  const claim = options.claimed
    ? { value: { node, instance: instance(letter), attempt: task.attempt }, key: KEYS.claim(id), revision: nextRevision() }
    : null;
  return { task: { value: task, key: KEYS.task(node, id), revision: nextRevision() }, claim };
}

export type VolumeParts = {
  history?: string[];
  object?: VolumeObject | null;
  config?: VolumeConfig | null;
  tasks?: ObservedTask[];
  serving?: ServingReport | null;
  snapshots?: ObservedVolume['snapshots'];
  scrub?: ScrubState | null;
  uid?: VolumeUid;
  damage?: string;
};

export const observedVolume = (parts: VolumeParts = {}): ObservedVolume => {
  const value = parts.config === undefined ? config() : parts.config;
  const uid = parts.uid ?? UID;
  return {
    uid,
    object: parts.object === undefined ? volumeObject() : parts.object,
    config: value === null ? null : { value, key: KEYS.volume(uid), revision: '50' },
    damage: parts.damage ?? null,
    tasks: parts.tasks ?? [],
    history: parts.history ?? [],
    serving: parts.serving ?? null,
    snapshots: parts.snapshots ?? new Map(),
    scrub: parts.scrub ?? null,
  };
};

export const serving = (letter: string, change: Partial<ServingReport> = {}): ServingReport => ({
  uid: UID,
  node: nodeOf(letter),
  instance: instance(letter),
  epoch: 1,
  state: 'serving',
  socket: '/run/pgdata.sock',
  sinceMs: WALL_MS,
  replicas: [],
  ...change,
});

export const placementNode = (
  letter: string,
  change: Partial<MachineState> | null = {},
  node: Partial<StorageNodeObject['spec']> = {},
): PlacementNode => {
  const state = change === null ? null : machine(letter, change);
  return { node: nodeOf(letter), machine: state, spec: storageNode(letter, node).spec, labels: state?.labels ?? {} };
};

export type WorldParts = Partial<Omit<World, 'machines' | 'now'>> & {
  machines?: MachineState[];
  configs?: VolumeConfig[];
  /** From which snapshots and sources are looked up. */
  volumes?: ObservedVolume[];
  snapshotObjects?: SnapshotObject[];
  nowMs?: number;
};

/** Nodes a to e live unless a test says otherwise. */
export function world(parts: WorldParts = {}): World {
  const machines = parts.machines ?? [...'abcde'].map((letter) => machine(letter));
  const { machines: _, configs = [], nowMs = 1_000_000, volumes = [], snapshotObjects = [], ...rest } = parts;
  return {
    keys: KEYS,
    now: { monotonicMs: nowMs, wallMs: WALL_MS },
    generation: 7,
    nodes: machines.map((state) => ({ node: state.node, machine: state, spec: null, labels: state.labels })),
    ledger: new Ledger(configs),
    limits: { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 },
    replaceAfterMs: 600_000,
    replacements: { left: 8 },
    growTroubles: new Map(),
    moves: new Map(),
    blocked: new Map(),
    snapshots: snapshotIndex({
      volumes: new Map(volumes.map((volume) => [volume.uid, volume])),
      snapshots: new Map(snapshotObjects.map((object) => [object.metadata.name, object])),
    }),
    isCaretaker: false,
    memory: emptyMemory,
    random: new SeededRandom(1),
    ...rest,
    machines: new Map(machines.map((state) => [state.node, state])),
  };
}

/** All of a to e but these. */
export const without = (letters: string): MachineState[] =>
  [...'abcde'].filter((letter) => !letters.includes(letter)).map((letter) => machine(letter));
