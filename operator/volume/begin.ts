/**
 * A new volume: places for its replicas, the tasks that make them, and the first in-sync set once all are made. Until then every replica is as it was made and
 * the epoch is 0, so any of them may be exchanged for another; nothing here may do that once an in-sync set is not empty.
 */
import { assert } from '../../core/assert.ts';
import { isFresh, type Member, type Shard, type VolumeConfig, withInSyncSets } from '../../core/config.ts';
import { EXTENT_BYTES, shardBytes } from '../../core/extent.ts';
import type { VolumeObject } from '../api.ts';
import { FINALIZER } from '../api.ts';
import { waitMs } from '../observe/memory.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import { type NodeReason, placeShards, type ShardRequest, type ShardsPlacement } from '../placement/place.ts';
import { formatExact, formatNeeded } from '../quantity.ts';
import {
  avoidedNodes,
  createTaskOf,
  createTrouble,
  exchangeEmpty,
  filedCreate,
  leaveOut,
  newMember,
  wantedMinInSync,
  wantedSizeBytes,
} from './create.ts';
import {
  act,
  archivedPart,
  commit,
  configPart,
  type Decision,
  join,
  note,
  type PlacedVolume,
  rewrittenPart,
  type Step,
  type World,
} from './decision.ts';
import { limitsOf } from './limits.ts';
import { allMembers } from './shards.ts';
import { heldSourceOf, holdersIn, onlyOn, resolveSource, type Source, sourceOn } from './source.ts';
import { retried } from './tasks.ts';

/** With the config and a pointer to each node (at most 90), still in one transaction. */
const CREATES_PER_TRANSACTION_MAX = 32;
/** Three operations each, beside the config and its pointers. */
const ARCHIVED_PER_TRANSACTION_MAX = 10;

type NewVolume = ObservedVolume & { object: VolumeObject };

/** The finalizer first: from the first key in etcd on, the object may not vanish without us. */
export const finalizerStep: Step<NewVolume> = ({ object }) =>
  object.metadata.finalizers?.includes(FINALIZER) ? null : act('new', 'waits for its finalizer', { kind: 'addFinalizer' });

/** The API server refuses it already where it can compute the size. */
function smallness(object: VolumeObject, sizeBytes: number): string | null {
  const { shards } = object.spec;
  const leastBytes = shards * EXTENT_BYTES;
  if (sizeBytes >= leastBytes || shards === 1) return null;
  return `spec.size: must be at least ${formatExact(leastBytes)}, 1Mi for each of ${shards} shards (is ${object.spec.size})`;
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

function notFound(object: VolumeObject, sizeBytes: number, shard: number, reasons: readonly NodeReason[]): Decision {
  const { replicas, shards } = object.spec;
  const fitting = reasons.filter(({ reason }) => reason.startsWith('could hold one')).length;
  const found = `${fitting === 0 ? 'no node' : plural(fitting, 'node')} can hold one`;
  const of = formatNeeded(shardBytes(sizeBytes, shards, shard));
  const wanted = `${replicas} ${replicas === 1 ? 'replica' : 'replicas'} of ${of}${shards === 1 ? '' : ` in each of ${shards} shards`} wanted`;
  const where = shards === 1 ? found : `for shard ${shard} ${found}`;
  return note('unschedulable', `${wanted}, ${where}`, reasons);
}

/** A clone begins with as many replicas as can be made where its source is, at least one of each shard. */
function findAll(volume: NewVolume, sizeBytes: number, source: Source | null, world: World): ShardsPlacement {
  const { shards, replicas, placement, attachTo } = volume.object.spec;
  const rest = {
    rules: placement,
    taken: [],
    crowd: new Map(),
    preferred: attachTo ?? null,
    avoided: avoidedNodes(volume, world),
  };
  const search = (count: number): ShardsPlacement => {
    const requests = Array.from({ length: shards }, (_, index): ShardRequest => {
      const holders = source ? holdersIn(source, index) : null;
      return {
        replicas: Math.min(count, holders?.length ?? count),
        sizeBytes: shardBytes(sizeBytes, shards, index),
        only: holders ? onlyOn(holders) : null,
      };
    });
    return placeShards(requests, rest, world.nodes, world.ledger, world.limits);
  };
  let found = search(replicas);
  for (let count = replicas - 1; found.places === null && source !== null && count >= 1; count--) found = search(count);
  return found;
}

/** `node-a/default, node-b/default`, each once. */
const placesOf = (members: readonly Member[]): string => [...new Set(members.map(({ node, pool }) => `${node}/${pool}`))].join(', ');

export const placeStep: Step<NewVolume> = (volume, world, traceId) => {
  if (volume.config !== null) return null;
  const { object } = volume;
  const sizeBytes = wantedSizeBytes(object);
  if (sizeBytes === null) return note('unsupported', `spec.size: must be a quantity like 10Gi (is ${object.spec.size})`);
  const tooSmall = smallness(object, sizeBytes);
  if (tooSmall !== null) return note('unschedulable', tooSmall);
  const resolved = resolveSource(volume, world);
  if (resolved?.problem) return note('waiting', resolved.problem);
  const source = resolved?.source ?? null;
  const found = findAll(volume, sizeBytes, source, world);
  if (found.places === null) return notFound(object, sizeBytes, found.shard, found.reasons);
  const shards = found.places.map((places) => ({ members: places.map(({ node, pool }) => newMember(world, node, pool)), inSync: [] }));
  const limits = limitsOf(object);
  const config: VolumeConfig = {
    uid: volume.uid,
    name: object.metadata.name,
    sizeBytes,
    minInSync: Math.min(wantedMinInSync(object), ...shards.map(({ members }) => members.length)),
    epoch: 0,
    version: 1,
    primary: null,
    ...(limits ? { limits } : {}),
    shards,
  };
  const creates = shards
    .flatMap(({ members }, index) => members.map((member) => ({ member, index })))
    .slice(0, CREATES_PER_TRANSACTION_MAX)
    .map(({ member, index }) =>
      filedCreate(world, config, index, member, traceId, source === null ? null : sourceOn(source, index, member)),
    );
  const part = join(configPart(world.keys, null, config), ...creates);
  const where = placesOf(allMembers(config));
  return act(
    'placing',
    `replicas on ${where}`,
    commit(`place ${object.metadata.name} on ${where}`, traceId, part.conditions, part.changes),
  );
};

/** All made: one transaction, and from here on every change goes by the rules of the in-sync set. */
function firstInSync(volume: PlacedVolume, world: World, traceId: string): Decision {
  const config = volume.config.value;
  const after = withInSyncSets(config, new Map(config.shards.map(({ members }, index) => [index, members.map(({ replica }) => replica)])));
  const archived = allMembers(config)
    .flatMap((member) => createTaskOf(volume, member) ?? [])
    .slice(0, ARCHIVED_PER_TRANSACTION_MAX)
    .map((task) => archivedPart(world.keys, task));
  const part = join(configPart(world.keys, volume.config, after), ...archived);
  return act('creating', 'all replicas are made', commit('declare the first replicas in sync', traceId, part.conditions, part.changes));
}

/** The only replica that a clone can begin with in a shard: made again, as often as it takes. */
function createAgain(volume: PlacedVolume, member: Member, trouble: string, world: World, traceId: string): Decision {
  const observed = createTaskOf(volume, member);
  const reason = `the replica on ${member.node} could not be made (${trouble}), and no other node holds what the volume starts from`;
  const what = `task/${observed?.task.value.id}`;
  if (observed?.task.value.state !== 'failed' || waitMs(world.memory, what, '', world.now.monotonicMs) > 0) return note('creating', reason);
  const part = rewrittenPart(observed, retried(observed.task.value, world));
  const again = commit(`make the replica on ${member.node} again`, traceId, part.conditions, part.changes);
  return act('creating', `${reason}; tried again`, again, { kind: 'noteSetback', what, signature: '' });
}

function mend(volume: PlacedVolume, shard: Shard, index: number, member: Member, trouble: string, world: World, traceId: string): Decision {
  const exchanged = exchangeEmpty(volume, index, member, trouble, world, traceId);
  if (exchanged.actions.length > 0 || !volume.object.spec.source) return exchanged;
  const resolved = resolveSource(volume, world);
  if (resolved?.problem) return note('creating', resolved.problem);
  return shard.members.length > 1
    ? leaveOut(volume, index, member, trouble, world, traceId)
    : createAgain(volume, member, trouble, world, traceId);
}

/** Filed together with the config or right after it, archived after the first in-sync set: else gone only if somebody removed it by hand. */
function fileMissing(volume: PlacedVolume, world: World, traceId: string): Decision | null {
  const { value: config } = volume.config;
  const missing = config.shards
    .flatMap(({ members }, index) => members.map((member) => ({ member, index })))
    .filter(({ member }) => createTaskOf(volume, member) === null)
    .slice(0, CREATES_PER_TRANSACTION_MAX);
  if (missing.length === 0) return null;
  if (volume.object.spec.source) {
    const resolved = resolveSource(volume, world);
    if (resolved?.problem) return note('creating', resolved.problem);
  }
  const part = join(
    configPart(world.keys, volume.config, { ...config, version: config.version + 1 }),
    ...missing.map(({ member, index }) => filedCreate(world, config, index, member, traceId, heldSourceOf(volume, index, member, world))),
  );
  return act('creating', 'replicas are being made', commit('file create tasks that are missing', traceId, part.conditions, part.changes));
}

/** Only for a volume of which nothing was ever in sync: only its replicas are surely as they were made. */
export const creationStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const { value: config } = volume.config;
  assert(isFresh(config), `volume ${config.uid} is not new any more`);
  for (const [index, shard] of config.shards.entries()) {
    for (const member of shard.members) {
      const trouble = createTrouble(volume, member, world);
      if (trouble !== null) return mend(volume, shard, index, member, trouble, world, traceId);
    }
  }
  const filing = fileMissing(volume, world, traceId);
  if (filing !== null) return filing;
  const members = allMembers(config);
  const made = members.filter((member) => createTaskOf(volume, member)?.task.value.state === 'done');
  if (made.length === members.length) return firstInSync(volume, world, traceId);
  return note('creating', `${made.length} of ${members.length} replicas are made`);
};
