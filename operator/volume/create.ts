/**
 * Making replicas: where they may go, the tasks that make and delete them, and what becomes of one that cannot be made. Must never exchange a replica that
 * ever was in sync.
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import { type NodeName, newReplicaId } from '../../core/ids.ts';
import { createTaskId, deleteTaskId } from '../../core/keys.ts';
import type { CloneSource } from '../../core/task.ts';
import type { VolumeObject } from '../api.ts';
import { sightingOf, waitMs } from '../observe/memory.ts';
import type { ObservedTask, ObservedVolume } from '../observe/observed.ts';
import type { PlacementRequest } from '../placement/checks.ts';
import { type Placement, place } from '../placement/place.ts';
import { parseQuantity } from '../quantity.ts';
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
  type World,
} from './decision.ts';
import { crowdOf, replicaOn, withMembers } from './shards.ts';
import { heldSourceOf, holdersOf } from './source.ts';

/** Sizes are whole blocks. */
const SIZE_STEP_BYTES = 4096;
/** An agent that restarts is back within its lease and a start; only after this long is an empty replica looked for elsewhere. */
export const CREATE_MACHINE_PATIENCE_MS = 10_000;
/** Making a replica is making a sparse file and a few pages, or sharing a file's blocks: whoever takes longer is stuck. */
export const CREATE_TASK_PATIENCE_MS = 60_000;

export const wantedSizeBytes = (object: VolumeObject): number | null => {
  const bytes = parseQuantity(object.spec.size);
  return bytes === null ? null : Math.ceil(bytes / SIZE_STEP_BYTES) * SIZE_STEP_BYTES;
};

/** More than half of the replicas, unless somebody said otherwise. */
export const wantedMinInSync = ({ spec }: VolumeObject): number =>
  Math.min(spec.minInSync ?? Math.floor(spec.replicas / 2) + 1, spec.replicas);

export const createSetback = (volume: ObservedVolume, node: NodeName): string => `create/${volume.uid}/${node}`;

export function avoidedNodes(volume: ObservedVolume, world: World): Map<NodeName, string> {
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

/** For more replicas of one shard of a volume that is placed. `move`: where one that departs shall go, and whence. */
export function findPlaces(
  volume: PlacedVolume,
  object: VolumeObject,
  shardIndex: number,
  replicas: number,
  taken: readonly NodeName[],
  world: World,
  move: { only: PlacementRequest['only']; departing: NodeName } | null = null,
): Placement {
  const config = volume.config.value;
  const request: PlacementRequest = {
    replicas,
    sizeBytes: shardBytes(config.sizeBytes, config.shards.length, shardIndex),
    rules: object.spec.placement,
    taken,
    crowd: crowdOf(config, shardIndex),
    only: move?.only ?? holdersOf(volume, shardIndex, world),
    ...(move ? { departing: move.departing } : {}),
    preferred: object.spec.attachTo ?? null,
    avoided: avoidedNodes(volume, world),
  };
  return place(request, world.nodes, world.ledger, world.limits);
}

export const newMember = (world: World, node: NodeName, pool: string): Member => ({ replica: newReplicaId(world.random), node, pool });

/** `source`: what a clone's first replica starts from. */
export function filedCreate(
  world: World,
  config: VolumeConfig,
  shardIndex: number,
  { replica, node, pool }: Member,
  traceId: string,
  source: CloneSource | null = null,
): Part {
  const sizeBytes = shardBytes(config.sizeBytes, config.shards.length, shardIndex);
  const spec = { kind: 'create-replica', volume: config.uid, replica, pool, sizeBytes, volumeName: config.name } as const;
  return filedPart(world, createTaskId(replica), node, source === null ? spec : { ...spec, source }, traceId);
}

export const filedDelete = (world: World, config: VolumeConfig, { replica, node, pool }: Member, traceId: string): Part =>
  filedPart(world, deleteTaskId(replica), node, { kind: 'delete-replica', volume: config.uid, replica, pool }, traceId);

export const taskOf = (volume: ObservedVolume, id: string): ObservedTask | null =>
  volume.tasks.find(({ task }) => task.value.id === id) ?? null;
export const createTaskOf = (volume: ObservedVolume, member: Member): ObservedTask | null => taskOf(volume, createTaskId(member.replica));

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

/** What goes with a member that was never in sync: its create task, and what it may have left. */
function goneParts(volume: PlacedVolume, after: VolumeConfig, member: Member, world: World, traceId: string): Part[] {
  const old = createTaskOf(volume, member);
  const task = old ? [old.task.value.state === 'failed' ? archivedPart(world.keys, old) : droppedPart(world.keys, old)] : [];
  return [filedDelete(world, after, member, traceId), ...task];
}

const couldNot = (volume: PlacedVolume, shardIndex: number, member: Member, trouble: string): string =>
  `${replicaOn(volume.config.value, shardIndex, member.node)} could not be made (${trouble})`;

/** Exchanges a member that never held anything for another: new place, new id; what the old one may have left is deleted. */
export function exchangeEmpty(
  volume: PlacedVolume,
  shardIndex: number,
  member: Member,
  trouble: string,
  world: World,
  traceId: string,
): Decision {
  const { config, object } = volume;
  const shard: Shard = config.value.shards[shardIndex] ?? { members: [], inSync: [] };
  const others = shard.members.filter(({ replica }) => replica !== member.replica);
  const taken = others.filter((other) => !other.leaving).map((other) => other.node);
  const setback = createSetback(volume, member.node);
  const elsewhere = new Map(world.memory.setbacks).set(setback, {
    count: (world.memory.setbacks.get(setback)?.count ?? 0) + 1,
    lastMs: world.now.monotonicMs,
    signature: '',
  });
  const around = { ...world, memory: { ...world.memory, setbacks: elsewhere } };
  const { places, reasons } = findPlaces(volume, object, shardIndex, 1, taken, around);
  const what = couldNot(volume, shardIndex, member, trouble);
  const [found] = places ?? [];
  if (!found) return note('creating', `${what}, and no other node can hold it`, reasons ?? []);
  const next = newMember(world, found.node, found.pool);
  const after = withMembers(config.value, shardIndex, [...others, next]);
  const part = join(
    configPart(world.keys, config, after),
    filedCreate(world, after, shardIndex, next, traceId, heldSourceOf(volume, shardIndex, next, world)),
    ...goneParts(volume, after, member, world, traceId),
  );
  const operation = `exchange ${replicaOn(config.value, shardIndex, member.node)} for one on ${found.node}`;
  const remembered = { kind: 'noteSetback', what: setback, signature: '' } as const;
  return act('creating', `${what}, made on ${found.node} instead`, commit(operation, traceId, part.conditions, part.changes), remembered);
}

/** A clone begins with the replicas that can be made where its source is; the others follow as learners. */
export function leaveOut(
  volume: PlacedVolume,
  shardIndex: number,
  member: Member,
  trouble: string,
  world: World,
  traceId: string,
): Decision {
  const others = (volume.config.value.shards[shardIndex]?.members ?? []).filter(({ replica }) => replica !== member.replica);
  const before = withMembers(volume.config.value, shardIndex, others);
  const after = { ...before, minInSync: Math.min(before.minInSync, others.length) };
  const part = join(configPart(world.keys, volume.config, after), ...goneParts(volume, after, member, world, traceId));
  const operation = `begin without ${replicaOn(volume.config.value, shardIndex, member.node)}`;
  const what = couldNot(volume, shardIndex, member, trouble);
  return act('creating', `${what}, the clone begins without it`, commit(operation, traceId, part.conditions, part.changes));
}
