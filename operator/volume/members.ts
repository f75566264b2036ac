/**
 * Which replicas each shard of a volume has: as many as asked for, none that failed, none that is not needed. The leader never takes a replica out of the
 * in-sync set: it marks the member `leaving`, the primary drops it when it may, and only then the member goes, with a task that deletes its files.
 *
 *   (none) --add, create task--> member --mark--> leaving, in sync --primary--> leaving, out --remove--> delete task
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import { usedNode } from '../balance/leaver.ts';
import { createTaskOf, createTrouble, exchangeEmpty, filedCreate, filedDelete, findPlaces, newMember, wantedMinInSync } from './create.ts';
import { act, commit, configPart, type Decision, join, note, type Part, type PlacedVolume, type Step, type World } from './decision.ts';
import { inShard, isBusyElsewhere, isCrowded, isInSync, leastInSync, overShards, replicaOn, staying, withMembers } from './shards.ts';
import { surplusOf } from './surplus.ts';

export function changed(
  volume: PlacedVolume,
  after: VolumeConfig,
  reason: string,
  operation: string,
  world: World,
  traceId: string,
  ...parts: readonly Part[]
): Decision {
  const part = join(configPart(world.keys, volume.config, after), ...parts);
  return act('replacing', reason, commit(operation, traceId, part.conditions, part.changes));
}

/** Those that left the in-sync set go, once every replica that stays is made: until then their files are worth more than the space. */
export const removeLeftStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  const left = shard.members.filter((member) => member.leaving && !isInSync(shard, member));
  const isMaking = staying(shard).some((member) => (createTaskOf(volume, member)?.task.value.state ?? 'done') !== 'done');
  if (left.length === 0 || isMaking) return null;
  const after = withMembers(
    volume.config.value,
    index,
    shard.members.filter((member) => !left.includes(member)),
  );
  const what = replicaOn(after, index, left.map(({ node }) => node).join(', '));
  const deletes = left.map((member) => filedDelete(world, after, member, traceId));
  return changed(volume, after, `${what} has left`, `remove ${what}`, world, traceId, ...deletes);
});

/** A member that was never in sync and cannot be made is exchanged, as in a new volume. */
export const unmadeStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  for (const member of staying(shard)) {
    if (isInSync(shard, member) || member.leftAt !== undefined) continue;
    const trouble = createTrouble(volume, member, world);
    if (trouble !== null) return exchangeEmpty(volume, index, member, trouble, world, traceId);
  }
  return null;
});

function addMember(volume: PlacedVolume, shard: Shard, index: number, world: World, traceId: string): Decision {
  const config = volume.config.value;
  const count = staying(shard).length;
  const wanted = `${volume.object.spec.replicas} replicas wanted, there are ${count}${inShard(config, index)}`;
  if (isCrowded(config, shard)) return note('replacing', `${wanted}; more only when those that are leaving have left`);
  if (isBusyElsewhere(config, index)) return note('replacing', `${wanted}; more when those of other shards are in sync`);
  const taken = staying(shard).map(({ node }) => node);
  const { places, reasons } = findPlaces(volume, volume.object, index, 1, taken, world);
  const [found] = places ?? [];
  if (!found) return note('unschedulable', `${wanted}, and no node can hold another`, reasons ?? []);
  const next = newMember(world, found.node, found.pool);
  const after = withMembers(config, index, [...shard.members, next]);
  const create = filedCreate(world, after, index, next, traceId);
  return changed(
    volume,
    after,
    `${wanted}: one more on ${found.node}`,
    `add a replica on ${found.node}${inShard(config, index)}`,
    world,
    traceId,
    create,
  );
}

function dropSurplus(volume: PlacedVolume, shard: Shard, index: number, world: World, traceId: string): Decision {
  const { replicas } = volume.object.spec;
  const before = volume.config.value;
  const { goes, awaited } = surplusOf(volume, shard, usedNode(volume), world);
  const named = (which: readonly Member[]): string => which.map(({ node }) => node).join(', ');
  if (goes.length === 0)
    return note('replacing', `one more than the ${replicas} replicas wanted until the one on ${named(awaited)} is in sync`);
  const bytes = shardBytes(before.sizeBytes, before.shards.length, index);
  for (const { node, pool } of goes) world.ledger.depart(node, pool, bytes);
  const members = shard.members.map((member): Member => (goes.includes(member) ? { ...member, leaving: true } : member));
  // Lowered together with it: else the primary might not be allowed to let the surplus go.
  const after = { ...withMembers(before, index, members), minInSync: Math.min(before.minInSync, wantedMinInSync(volume.object)) };
  const nodes = named(goes);
  const reason = `${replicas} replicas wanted: the one on ${nodes} leaves${inShard(before, index)}`;
  return changed(volume, after, reason, `mark ${replicaOn(before, index, nodes)} as leaving`, world, traceId);
}

export const countStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  const count = staying(shard).length;
  if (count < volume.object.spec.replicas) return addMember(volume, shard, index, world, traceId);
  return count > volume.object.spec.replicas ? dropSurplus(volume, shard, index, world, traceId) : null;
});

/** Raised only when that many are in sync in every shard: raising it earlier would make writes wait for a whole resync. */
export const minInSyncStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const wanted = wantedMinInSync(volume.object);
  const { minInSync } = volume.config.value;
  if (wanted === minInSync || (wanted > minInSync && leastInSync(volume.config.value) < wanted)) return null;
  const after = { ...volume.config.value, version: volume.config.value.version + 1, minInSync: wanted };
  return changed(volume, after, `minInSync is ${wanted} now`, `change minInSync from ${minInSync} to ${wanted}`, world, traceId);
};
