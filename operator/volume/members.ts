/**
 * Which replicas a volume has: as many as asked for, none that failed, none that is not needed. The leader never takes a replica out of the in-sync set: it
 * marks the member `leaving`, the primary drops it when it may, and only then the member goes, with a task that deletes its files.
 *
 *   (none) --add, create task--> member --mark--> leaving, in sync --primary--> leaving, out --remove--> delete task
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import { createTaskOf, createTrouble, exchangeEmpty, filedCreate, filedDelete, findPlaces, newMember, wantedMinInSync } from './create.ts';
import { act, commit, configPart, type Decision, join, note, type Part, type PlacedVolume, type Step, type World } from './decision.ts';
import { wantedNode } from './primary.ts';

/** With those that are leaving. Twice the most that can be asked for; a transaction over all of them stays well below what etcd takes in one (128). */
export const MEMBERS_MAX = 18;
export const isCrowded = (shard: Shard): boolean => shard.members.length >= MEMBERS_MAX;

export const shardOf = (volume: PlacedVolume): Shard => volume.config.value.shards[0] ?? { members: [], inSync: [] };
export const staying = (shard: Shard): Member[] => shard.members.filter((member) => !member.leaving);
export const isInSync = (shard: Shard, member: Member): boolean => shard.inSync.includes(member.replica);

/** What the node that holds it says is wrong with it; null: nothing, or the node is silent. */
export const failureOf = (member: Member, world: World): string | null =>
  world.machines.get(member.node)?.failedReplicas.find(({ replica }) => replica === member.replica)?.reason ?? null;

export const withMembers = (config: VolumeConfig, members: Member[]): VolumeConfig => ({
  ...config,
  version: config.version + 1,
  shards: config.shards.map((shard, index) => (index === 0 ? { ...shard, members } : shard)),
});

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
export const removeLeftStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const shard = shardOf(volume);
  const left = shard.members.filter((member) => member.leaving && !isInSync(shard, member));
  const isMaking = staying(shard).some((member) => (createTaskOf(volume, member)?.task.value.state ?? 'done') !== 'done');
  if (left.length === 0 || isMaking) return null;
  const after = withMembers(
    volume.config.value,
    shard.members.filter((member) => !left.includes(member)),
  );
  const nodes = left.map(({ node }) => node).join(', ');
  const deletes = left.map((member) => filedDelete(world, after, member, traceId));
  return changed(volume, after, `the replica on ${nodes} has left`, `remove the replica on ${nodes}`, world, traceId, ...deletes);
};

/** A member that was never in sync and cannot be made is exchanged, as in a new volume. */
export const unmadeStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const shard = shardOf(volume);
  for (const member of staying(shard)) {
    if (isInSync(shard, member) || member.leftAt !== undefined) continue;
    const trouble = createTrouble(volume, member, world);
    if (trouble !== null) return exchangeEmpty(volume, member, trouble, world, traceId);
  }
  return null;
};

function addMember(volume: PlacedVolume, shard: Shard, world: World, traceId: string): Decision {
  const count = staying(shard).length;
  const wantedCount = volume.object.spec.replicas;
  if (isCrowded(shard))
    return note('replacing', `${wantedCount} replicas wanted, there are ${count}; more only when those that are leaving have left`);
  const { places, reasons } = findPlaces(
    volume,
    volume.object,
    1,
    staying(shard).map(({ node }) => node),
    world,
  );
  const [found] = places ?? [];
  if (!found)
    return note('unschedulable', `${wantedCount} replicas wanted, there are ${count}, and no node can hold another`, reasons ?? []);
  const next = newMember(world, found.node, found.pool);
  const after = withMembers(volume.config.value, [...shard.members, next]);
  const reason = `${wantedCount} replicas wanted, there are ${count}: one more on ${found.node}`;
  return changed(volume, after, reason, `add a replica on ${found.node}`, world, traceId, filedCreate(world, after, next, traceId));
}

/** The better reasons to stay, the higher: holds everything, answers, is sound, is where the volume is used. */
function worth(member: Member, shard: Shard, used: NodeName | null, world: World): number {
  const reasons = [isInSync(shard, member), world.machines.has(member.node), failureOf(member, world) === null, member.node === used];
  return reasons.reduce((sum, holds, index) => sum + (holds ? 2 ** (reasons.length - index) : 0), 0);
}

function dropSurplus(volume: PlacedVolume, shard: Shard, world: World, traceId: string): Decision {
  const { replicas } = volume.object.spec;
  const used = volume.config.value.primary?.node ?? wantedNode(volume);
  const ranked = staying(shard)
    .map((member, index) => ({ member, index, worth: worth(member, shard, used, world) }))
    .sort((a, b) => b.worth - a.worth || a.index - b.index);
  const surplus = new Set(ranked.slice(replicas).map(({ member }) => member.replica));
  const members = shard.members.map((member): Member => (surplus.has(member.replica) ? { ...member, leaving: true } : member));
  const before = volume.config.value;
  // Lowered together with it: else the primary might not be allowed to let the surplus go.
  const after = { ...withMembers(before, members), minInSync: Math.min(before.minInSync, wantedMinInSync(volume.object)) };
  const nodes = shard.members
    .filter(({ replica }) => surplus.has(replica))
    .map(({ node }) => node)
    .join(', ');
  return changed(
    volume,
    after,
    `${replicas} replicas wanted: the one on ${nodes} leaves`,
    `mark the replica on ${nodes} as leaving`,
    world,
    traceId,
  );
}

export const countStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const shard = shardOf(volume);
  const count = staying(shard).length;
  if (count < volume.object.spec.replicas) return addMember(volume, shard, world, traceId);
  return count > volume.object.spec.replicas ? dropSurplus(volume, shard, world, traceId) : null;
};

/** Raised only when that many are in sync: raising it earlier would make every write wait for a whole resync. */
export const minInSyncStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const wanted = wantedMinInSync(volume.object);
  const { minInSync } = volume.config.value;
  if (wanted === minInSync || (wanted > minInSync && shardOf(volume).inSync.length < wanted)) return null;
  const after = { ...volume.config.value, version: volume.config.value.version + 1, minInSync: wanted };
  return changed(volume, after, `minInSync is ${wanted} now`, `change minInSync from ${minInSync} to ${wanted}`, world, traceId);
};
