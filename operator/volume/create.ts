/**
 * A new volume: places for its replicas, the tasks that make them, and the first in-sync set once all are made. Until then every replica is empty and the
 * epoch is 0, so any of them may be exchanged for another; nothing here may do that once the in-sync set is not empty.
 */
import { assert } from '../../core/assert.ts';
import { type Member, type VolumeConfig, withInSync } from '../../core/config.ts';
import { type NodeName, newReplicaId } from '../../core/ids.ts';
import { createTaskId, deleteTaskId } from '../../core/keys.ts';
import type { VolumeObject } from '../api.ts';
import { FINALIZER } from '../api.ts';
import { sightingOf, waitMs } from '../observe/memory.ts';
import type { ObservedTask, ObservedVolume } from '../observe/observed.ts';
import type { PlacementRequest } from '../placement/checks.ts';
import { type Placement, place } from '../placement/place.ts';
import { formatNeeded, parseQuantity } from '../quantity.ts';
import {
  act,
  archivedPart,
  commit,
  configPart,
  type Decision,
  droppedPart,
  filedPart,
  join,
  note,
  type Part,
  type PlacedVolume,
  type Step,
  type World,
} from './decision.ts';

/** Sizes are whole blocks. */
const SIZE_STEP_BYTES = 4096;
/** An agent that restarts is back within its lease and a start; only after this long is an empty replica looked for elsewhere. */
export const CREATE_MACHINE_PATIENCE_MS = 10_000;
/** Making a replica is making a sparse file and a few pages: whoever takes longer is stuck. */
export const CREATE_TASK_PATIENCE_MS = 60_000;

export const wantedSizeBytes = (object: VolumeObject): number | null => {
  const bytes = parseQuantity(object.spec.size);
  return bytes === null ? null : Math.ceil(bytes / SIZE_STEP_BYTES) * SIZE_STEP_BYTES;
};

/** More than half of the replicas, unless somebody said otherwise. */
export const wantedMinInSync = ({ spec }: VolumeObject): number =>
  Math.min(spec.minInSync ?? Math.floor(spec.replicas / 2) + 1, spec.replicas);

export const createSetback = (volume: ObservedVolume, node: NodeName): string => `create/${volume.uid}/${node}`;

function avoidedNodes(volume: ObservedVolume, world: World): Map<NodeName, string> {
  const prefix = createSetback(volume, '');
  const avoided = new Map<NodeName, string>();
  for (const [what, { count, signature }] of world.memory.setbacks) {
    if (!what.startsWith(prefix) || waitMs(world.memory, what, signature, world.now.monotonicMs) === 0) continue;
    avoided.set(
      what.slice(prefix.length),
      `making a replica here failed ${count === 1 ? 'once' : `${count} times`}, left alone for a while`,
    );
  }
  return avoided;
}

export function findPlaces(
  volume: ObservedVolume,
  object: VolumeObject,
  replicas: number,
  taken: readonly NodeName[],
  world: World,
): Placement {
  const request: PlacementRequest = {
    replicas,
    sizeBytes: volume.config?.value.sizeBytes ?? wantedSizeBytes(object) ?? 0,
    rules: object.spec.placement,
    taken,
    preferred: object.spec.attachTo ?? null,
    avoided: avoidedNodes(volume, world),
  };
  return place(request, world.nodes, world.ledger, world.limits);
}

export const newMember = (world: World, node: NodeName, pool: string): Member => ({ replica: newReplicaId(world.random), node, pool });

export const filedCreate = (world: World, config: VolumeConfig, { replica, node, pool }: Member, traceId: string): Part =>
  filedPart(
    world,
    createTaskId(replica),
    node,
    { kind: 'create-replica', volume: config.uid, replica, pool, sizeBytes: config.sizeBytes, volumeName: config.name },
    traceId,
  );

export const filedDelete = (world: World, config: VolumeConfig, { replica, node, pool }: Member, traceId: string): Part =>
  filedPart(world, deleteTaskId(replica), node, { kind: 'delete-replica', volume: config.uid, replica, pool }, traceId);

export const taskOf = (volume: ObservedVolume, id: string): ObservedTask | null =>
  volume.tasks.find(({ task }) => task.value.id === id) ?? null;
export const createTaskOf = (volume: ObservedVolume, member: Member): ObservedTask | null => taskOf(volume, createTaskId(member.replica));

const wanted = (count: number, sizeBytes: number): string =>
  `${count} ${count === 1 ? 'replica' : 'replicas'} of ${formatNeeded(sizeBytes)} wanted`;

/** The finalizer first: from the first key in etcd on, the object may not vanish without us. */
export const finalizerStep: Step<ObservedVolume & { object: VolumeObject }> = ({ object }) =>
  object.metadata.finalizers?.includes(FINALIZER) ? null : act('new', 'waits for its finalizer', { kind: 'addFinalizer' });

export const placeStep: Step<ObservedVolume & { object: VolumeObject }> = (volume, world, traceId) => {
  if (volume.config !== null) return null;
  const { object } = volume;
  const sizeBytes = wantedSizeBytes(object);
  if (sizeBytes === null) return note('unsupported', `spec.size: must be a quantity like 10Gi (is ${object.spec.size})`);
  const { places, reasons } = findPlaces(volume, object, object.spec.replicas, [], world);
  if (places === null) {
    const fitting = reasons.filter(({ reason }) => reason.startsWith('could hold one')).length;
    const found = `${fitting} ${fitting === 1 ? 'node' : 'nodes'} can hold one`;
    return note('unschedulable', `${wanted(object.spec.replicas, sizeBytes)}, ${found}`, reasons);
  }
  const config: VolumeConfig = {
    uid: volume.uid,
    name: object.metadata.name,
    sizeBytes,
    minInSync: wantedMinInSync(object),
    epoch: 0,
    version: 1,
    primary: null,
    shards: [{ members: places.map(({ node, pool }) => newMember(world, node, pool)), inSync: [] }],
  };
  const members = config.shards[0]?.members ?? [];
  const part = join(configPart(world.keys, null, config), ...members.map((member) => filedCreate(world, config, member, traceId)));
  const where = members.map(({ node, pool }) => `${node}/${pool}`).join(', ');
  return act(
    'placing',
    `replicas on ${where}`,
    commit(`place ${object.metadata.name} on ${where}`, traceId, part.conditions, part.changes),
  );
};

/** Why a replica that is not made yet should be looked for elsewhere; null: it is made, or may still be. */
export function createTrouble(volume: ObservedVolume, member: Member, world: World): string | null {
  const observed = createTaskOf(volume, member);
  const task = observed?.task.value;
  if (!task || task.state === 'done') return null;
  if (task.state === 'failed') return task.error ?? 'its making failed';
  const goneSinceMs = world.memory.machineGoneSinceMs.get(member.node);
  if (goneSinceMs !== undefined) {
    return world.now.monotonicMs - goneSinceMs >= CREATE_MACHINE_PATIENCE_MS ? `${member.node} is not heard of` : null;
  }
  const sinceMs = world.memory.taskSinceMs.get(sightingOf(task)) ?? world.now.monotonicMs;
  return world.now.monotonicMs - sinceMs >= CREATE_TASK_PATIENCE_MS
    ? `${member.node} did not make it in ${CREATE_TASK_PATIENCE_MS / 1000} s`
    : null;
}

/** Exchanges a member that never held anything for another: new place, new id; what the old one may have left is deleted. */
export function exchangeEmpty(volume: PlacedVolume, member: Member, trouble: string, world: World, traceId: string): Decision {
  const { config, object } = volume;
  const [shard] = config.value.shards;
  const others = shard?.members.filter(({ replica }) => replica !== member.replica) ?? [];
  const taken = others.filter((other) => !other.leaving).map((other) => other.node);
  const elsewhere = new Map(world.memory.setbacks).set(createSetback(volume, member.node), {
    count: (world.memory.setbacks.get(createSetback(volume, member.node))?.count ?? 0) + 1,
    lastMs: world.now.monotonicMs,
    signature: '',
  });
  const { places, reasons } = findPlaces(volume, object, 1, taken, { ...world, memory: { ...world.memory, setbacks: elsewhere } });
  const what = `the replica on ${member.node} could not be made (${trouble})`;
  const [found] = places ?? [];
  if (!found) return note('creating', `${what}, and no other node can hold it`, reasons ?? []);
  const next = newMember(world, found.node, found.pool);
  const after: VolumeConfig = {
    ...config.value,
    version: config.value.version + 1,
    shards: [{ members: [...others, next], inSync: shard?.inSync ?? [] }],
  };
  const old = createTaskOf(volume, member);
  const part = join(
    configPart(world.keys, config, after),
    filedCreate(world, after, next, traceId),
    filedDelete(world, after, member, traceId),
    ...(old ? [old.task.value.state === 'failed' ? archivedPart(world.keys, old) : droppedPart(world.keys, old)] : []),
  );
  const operation = `exchange the replica on ${member.node} for one on ${found.node}`;
  const remembered = { kind: 'noteSetback', what: createSetback(volume, member.node), signature: '' } as const;
  return act('creating', `${what}, made on ${found.node} instead`, commit(operation, traceId, part.conditions, part.changes), remembered);
}

/** All made: one transaction, and from here on every change goes by the rules of the in-sync set. */
function firstInSync(volume: PlacedVolume, members: readonly Member[], world: World, traceId: string): Decision {
  const after = withInSync(
    volume.config.value,
    0,
    members.map(({ replica }) => replica),
  );
  const archived = members.flatMap((member) => createTaskOf(volume, member) ?? []).map((task) => archivedPart(world.keys, task));
  const part = join(configPart(world.keys, volume.config, after), ...archived);
  return act('creating', 'all replicas are made', commit('declare the first replicas in sync', traceId, part.conditions, part.changes));
}

/** Only for a volume of which nothing was ever in sync: only its replicas are surely empty. */
export const creationStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const { value: config } = volume.config;
  const [shard] = config.shards;
  assert(shard && config.epoch === 0 && shard.inSync.length === 0, `volume ${config.uid} is not new any more`);
  for (const member of shard.members) {
    const trouble = createTrouble(volume, member, world);
    if (trouble !== null) return exchangeEmpty(volume, member, trouble, world, traceId);
  }
  const unfiled = shard.members.filter((member) => createTaskOf(volume, member) === null);
  if (unfiled.length > 0) {
    // Filed together with the config, archived together with the first in-sync set: gone only if somebody removed it by hand.
    const part = join(
      configPart(world.keys, volume.config, { ...config, version: config.version + 1 }),
      ...unfiled.map((member) => filedCreate(world, config, member, traceId)),
    );
    return act(
      'creating',
      'replicas are being made',
      commit('file the missing create tasks again', traceId, part.conditions, part.changes),
    );
  }
  const made = shard.members.filter((member) => createTaskOf(volume, member)?.task.value.state === 'done');
  if (made.length === shard.members.length) return firstInSync(volume, shard.members, world, traceId);
  return note('creating', `${made.length} of ${shard.members.length} replicas are made`);
};
