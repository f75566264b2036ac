/**
 * What the leader would do about a node that is to be emptied: its own rules (operator/volume/move.ts), asked over what stands in Kubernetes until they have nothing
 * more to do. What only the leader knows is not there: which nodes it leaves alone for a while because something failed on them. Pure.
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import type { InstanceId, NodeName, ReplicaId, VolumeUid } from '../../core/ids.ts';
import { keysOf } from '../../core/keys.ts';
import type { MachineState, PoolReport } from '../../core/machine.ts';
import type { Random } from '../../core/random.ts';
import type { StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import type { StorageNodeStatusPool } from '../../operator/generated/storagenode.ts';
import { emptyMemory } from '../../operator/observe/memory.ts';
import type { PlacementLimits, PlacementNode } from '../../operator/placement/checks.ts';
import { Ledger } from '../../operator/placement/ledger.ts';
import { parseQuantity } from '../../operator/quantity.ts';
import { snapshotIndex } from '../../operator/snapshot/subjects.ts';
import { byAge } from '../../operator/volume/decide.ts';
import type { Decision, PlacedVolume, World } from '../../operator/volume/decision.ts';
import { departureOf } from '../../operator/volume/departures.ts';
import { moveStep } from '../../operator/volume/move.ts';
import { staying } from '../../operator/volume/shards.ts';
import { isHeardOf } from './nodes.ts';

/** `to`: node and pool; null: it cannot leave, for this reason. */
export type Move = { volume: string; shard: number; replica: string; sizeBytes: number; to: string | null; reason: string | null };

const KEYS = keysOf('forecast');
const TRACE = '';

const poolReport = (pool: StorageNodeStatusPool): PoolReport => ({
  name: pool.name,
  capacityBytes: parseQuantity(pool.capacity) ?? 0,
  usedBytes: parseQuantity(pool.used) ?? 0,
  allocatedBytes: parseQuantity(pool.allocated) ?? 0,
  tags: pool.tags ?? [],
  reflink: pool.snapshots ?? false,
  state: pool.state === 'Ready' ? 'ready' : 'quarantined',
  ...(pool.reason === undefined ? {} : { reason: pool.reason }),
});

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

function placed(object: VolumeObject): PlacedVolume {
  const uid = object.metadata.uid as VolumeUid;
  const config = { value: configOf(object), key: KEYS.volume(uid), revision: '' };
  return { uid, object, config, damage: null, tasks: [], history: [], serving: null, snapshots: new Map(), scrub: null };
}

/** Ids of replicas that are never made. */
function counting(): Random {
  let count = 0;
  return { hex: (length) => (++count).toString(16).padStart(2 * length, '0'), unit: () => 0 };
}

function worldAround(
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

function configIn(decision: Decision, { config }: PlacedVolume): VolumeConfig | null {
  for (const action of decision.actions) {
    if (action.kind !== 'commit') continue;
    const change = action.transaction.changes.find((one) => 'put' in one && one.put === config.key);
    if (change && 'value' in change) return JSON.parse(change.value) as VolumeConfig;
  }
  return null;
}

type Step = { index: number; gone: Member; made: Member; after: VolumeConfig };

/** The move as it is when it has ended: the new one in sync, the old one gone. Null: no member was added. */
function ended(volume: PlacedVolume, decided: VolumeConfig, world: World): Step | null {
  for (const [index, shard] of decided.shards.entries()) {
    const before = volume.config.value.shards[index] ?? { members: [], inSync: [] };
    const made = shard.members.find(({ replica }) => !before.members.some((member) => member.replica === replica));
    const gone = made && staying(before).find((member) => departureOf(volume, member, world) !== null);
    if (!made || !gone) continue;
    const members = shard.members.filter(({ replica }) => replica !== gone.replica);
    const inSync = [...shard.inSync.filter((replica) => replica !== gone.replica), made.replica];
    const shards = decided.shards.map((one, at) => (at === index ? { members, inSync } : one));
    return { index, gone, made, after: { ...decided, shards } };
  }
  return null;
}

const isGoing = ({ object }: PlacedVolume): boolean => object.metadata.deletionTimestamp !== undefined;
/** The leader moves nothing of a volume before its first replicas are there. */
const isMade = ({ config }: PlacedVolume): boolean => config.value.shards.every(({ inSync }) => inSync.length > 0);

/** One pass of the leader's: each volume's next move, all told apart from what they change, which the next pass sees. */
function pass(volumes: PlacedVolume[], world: World): { volume: PlacedVolume; step: Step }[] {
  world.ledger.beginPass();
  world.blocked.clear();
  return volumes.flatMap((volume) => {
    const decision = moveStep(volume, world, TRACE);
    const decided = decision && configIn(decision, volume);
    const step = decided && ended(volume, decided, world);
    return step ? [{ volume, step }] : [];
  });
}

/** Where what is on `drained` would go, in the order in which the leader would take it. */
export function forecast(
  drained: NodeName,
  objects: readonly VolumeObject[],
  nodes: readonly StorageNodeObject[],
  limits: PlacementLimits,
): Move[] {
  const all = objects.map(placed);
  const world = worldAround(drained, all, nodes, limits);
  const volumes = all.filter((volume) => !isGoing(volume) && isMade(volume)).sort(byAge);
  const moves: Move[] = [];
  let moving = volumes;
  // Each pass takes replicas from nodes that are to be emptied and brings none there, so there is a last one.
  while (moving.length > 0) {
    const steps = pass(moving, world);
    world.ledger.beginPass();
    for (const { volume, step } of steps) {
      if (step.gone.node === drained) moves.push(moveOf(volume, step.index, step.gone, `${step.made.node}/${step.made.pool}`, null));
      world.ledger.replace(volume.config.value, step.after);
      volume.config = { ...volume.config, value: step.after };
    }
    moving = steps.map(({ volume }) => volume);
  }
  return [...moves, ...stuck(drained, all, world, volumes)];
}

/** What is still there when nothing more can be done, each with the leader's sentence. */
function stuck(drained: NodeName, all: readonly PlacedVolume[], world: World, volumes: PlacedVolume[]): Move[] {
  pass(volumes, world);
  const told = Map.groupBy(world.blocked.get(drained) ?? [], ({ uid }) => uid);
  return all
    .filter((volume) => !isGoing(volume))
    .flatMap((volume) => {
      const left = volume.config.value.shards.flatMap((shard, index) =>
        staying(shard).flatMap((member) => (member.node === drained ? [{ member, index }] : [])),
      );
      // One of each shard, shard after shard, as they were asked.
      const reasons = told.get(volume.uid) ?? [];
      return left.map(({ member, index }, at) =>
        moveOf(volume, index, member, null, (reasons[at] ?? reasons[0])?.reason ?? elseReason(volume)),
      );
    });
}

function elseReason(volume: PlacedVolume): string {
  if (!isMade(volume)) return 'it is being made; its replicas leave after that';
  return `something else comes first (kubectl holdfast explain ${volume.object.metadata.name})`;
}

function moveOf({ object, config }: PlacedVolume, shard: number, { replica }: Member, to: string | null, reason: string | null): Move {
  const sizeBytes = shardBytes(config.value.sizeBytes, config.value.shards.length, shard);
  return { volume: object.metadata.name, shard, replica, sizeBytes, to, reason };
}
