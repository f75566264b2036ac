/**
 * What stands in Kubernetes as the leader's rules want to see it: configs of Volumes, machines of StorageNodes. Only as much of it as placement and moving look at.
 * Pure.
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName, ReplicaId, VolumeUid } from '../../core/ids.ts';
import { keysOf } from '../../core/keys.ts';
import type { MachineState } from '../../core/machine.ts';
import type { Random } from '../../core/random.ts';
import type { StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import { poolReport } from '../../operator/node/status.ts';
import { emptyMemory } from '../../operator/observe/memory.ts';
import type { PlacementLimits, PlacementNode } from '../../operator/placement/checks.ts';
import { Ledger } from '../../operator/placement/ledger.ts';
import { parseQuantity } from '../../operator/quantity.ts';
import { snapshotIndex } from '../../operator/snapshot/subjects.ts';
import type { PlacedVolume, World } from '../../operator/volume/decision.ts';
import { isHeardOf } from './nodes.ts';

const KEYS = keysOf('forecast');

/** Null: its agent is not heard of. What only the store knows is left empty: placement looks at none of it. */
function machineOf(node: StorageNodeObject, volumes: readonly VolumeObject[]): MachineState | null {
  const { metadata, status } = node;
  if (!isHeardOf(node)) return null;
  const failed = volumes.flatMap(({ metadata: { uid }, status: seen }) =>
    (seen?.replicas ?? [])
      .filter((replica) => replica.node === metadata.name && replica.state === 'Failed')
      .map(({ name, reason }) => ({ volume: uid as VolumeUid, replica: name as ReplicaId, reason: reason ?? 'no reason given' })),
  );
  return {
    node: metadata.name,
    instance: '' as InstanceId,
    bootId: '',
    addresses: { http: '' },
    zone: status?.zone ?? '',
    labels: status?.labels ?? {},
    pools: (status?.pools ?? []).map(poolReport),
    failedReplicas: failed,
    version: status?.version ?? '',
    settingsVersion: 0,
  };
}

function placementNode(node: StorageNodeObject, drained: NodeName, volumes: readonly VolumeObject[]): PlacementNode {
  const { metadata, spec } = node;
  const machine = machineOf(node, volumes);
  return {
    node: metadata.name,
    machine,
    spec: metadata.name === drained ? { ...spec, schedulable: false, evict: true } : spec,
    labels: { ...machine?.labels, ...metadata.labels },
    isRemoved: metadata.deletionTimestamp !== undefined,
  };
}

/** As far as the rules of moving look at it. */
function configOf({ metadata, spec, status }: VolumeObject): VolumeConfig {
  const seen = status?.replicas ?? [];
  const shards = Array.from({ length: spec.shards }, (_, index): Shard => {
    const own = seen.filter(({ shard }) => shard === index);
    const members = own.map(
      ({ name, node, pool, state }): Member => ({
        replica: name as ReplicaId,
        node,
        pool,
        ...(state === 'Leaving' ? { leaving: true } : {}),
      }),
    );
    return { members, inSync: own.filter(({ state }) => state === 'InSync').map(({ name }) => name as ReplicaId) };
  });
  const sizeBytes = parseQuantity(spec.size) ?? 0;
  const numbers = { sizeBytes, minInSync: 1, epoch: status?.epoch ?? 0, version: 1 };
  return { uid: metadata.uid as VolumeUid, name: metadata.name, ...numbers, primary: null, shards };
}

export function placed(object: VolumeObject): PlacedVolume {
  const uid = object.metadata.uid as VolumeUid;
  const config = { value: configOf(object), key: KEYS.volume(uid), revision: '' };
  return { uid, object, config, damage: null, tasks: [], history: [], serving: null, snapshots: new Map(), scrub: null };
}

/** Ids of replicas that are never made. */
function counting(): Random {
  let count = 0;
  return { hex: (length) => (++count).toString(16).padStart(2 * length, '0'), unit: () => 0 };
}

export function worldAround(
  drained: NodeName,
  volumes: readonly PlacedVolume[],
  nodes: readonly StorageNodeObject[],
  limits: PlacementLimits,
): World {
  const objects = volumes.map(({ object }) => object);
  const places = nodes.map((node) => placementNode(node, drained, objects));
  return {
    keys: KEYS,
    now: { monotonicMs: 0, wallMs: 0 },
    generation: 0,
    machines: new Map(places.flatMap(({ node, machine }) => (machine ? [[node, machine]] : []))),
    nodes: places,
    ledger: new Ledger(volumes.map(({ config }) => config.value)),
    limits,
    replaceAfterMs: 0,
    isCaretaker: false,
    // The leader takes them a few at a time: what comes of it is the same.
    replacements: { left: Number.POSITIVE_INFINITY },
    growTroubles: new Map(),
    moves: new Map(),
    blocked: new Map(),
    snapshots: snapshotIndex({ volumes: new Map(volumes.map((volume) => [volume.uid, volume])), snapshots: new Map() }),
    memory: emptyMemory,
    random: counting(),
  };
}
