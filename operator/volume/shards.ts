/**
 * A volume's shards and their members, as the steps look at them. Each shard keeps replicas of its own; what is asked of a volume is asked of each of its
 * shards. Pure.
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import { MEMBERS_IN_ALL_MAX } from '../../core/parseConfig.ts';
import type { Decision, PlacedVolume, Step, World } from './decision.ts';

/** Of a shard, with those that are leaving. Twice the most that can be asked for. */
export const MEMBERS_MAX = 18;
/** Replicas of one volume that may be made anew at a time: each is a whole resync, and all of them take from the same primary. */
export const VOLUME_RESYNCS_MAX = 4;

export const isCrowded = (config: VolumeConfig, shard: Shard): boolean =>
  shard.members.length >= MEMBERS_MAX || config.shards.reduce((sum, { members }) => sum + members.length, 0) >= MEMBERS_IN_ALL_MAX;

export const staying = (shard: Shard): Member[] => shard.members.filter((member) => !member.leaving);
export const isInSync = (shard: Shard, member: Member): boolean => shard.inSync.includes(member.replica);
export const allMembers = (config: VolumeConfig): Member[] => config.shards.flatMap(({ members }) => members);
export const leastInSync = ({ shards }: VolumeConfig): number => Math.min(...shards.map(({ inSync }) => inSync.length));

/** What the node that holds it says is wrong with it; null: nothing, or the node is silent. */
export const failureOf = (member: Member, world: Pick<World, 'machines'>): string | null =>
  world.machines.get(member.node)?.failedReplicas.find(({ replica }) => replica === member.replica)?.reason ?? null;

/** Why its pool is not to be trusted any longer. What lies there is good until it has failed itself, and serves until it is replaced. */
export function quarantineOf(member: Member, world: Pick<World, 'machines'>): string | null {
  const pool = world.machines.get(member.node)?.pools.find(({ name }) => name === member.pool);
  return pool?.state === 'quarantined' ? `pool ${pool.name} is quarantined: ${pool.reason ?? 'no reason given'}` : null;
}

export const withMembers = (config: VolumeConfig, shardIndex: number, members: Member[]): VolumeConfig => ({
  ...config,
  version: config.version + 1,
  shards: config.shards.map((shard, index) => (index === shardIndex ? { ...shard, members } : shard)),
});

/** How people call it: which shard is only said where there are several. */
export const replicaOn = ({ shards }: VolumeConfig, shardIndex: number, node: NodeName): string =>
  shards.length === 1 ? `the replica on ${node}` : `the replica of shard ${shardIndex} on ${node}`;
export const inShard = ({ shards }: VolumeConfig, shardIndex: number): string => (shards.length === 1 ? '' : ` in shard ${shardIndex}`);

/** How many replicas of the volume's other shards each node holds. */
export function crowdOf(config: VolumeConfig, shardIndex: number): Map<NodeName, number> {
  const crowd = new Map<NodeName, number>();
  for (const [index, shard] of config.shards.entries()) {
    if (index === shardIndex) continue;
    for (const { node } of staying(shard)) crowd.set(node, (crowd.get(node) ?? 0) + 1);
  }
  return crowd;
}

/** A member that the leader added and that was never in sync. */
export const isNew = (shard: Shard, member: Member): boolean => !isInSync(shard, member) && member.leftAt === undefined;
const isResyncing = (shard: Shard): boolean => shard.inSync.length > 0 && staying(shard).some((member) => isNew(shard, member));

/** Shards that a new replica is being made for now. */
export const resyncsOf = ({ shards }: VolumeConfig): number => shards.filter(isResyncing).length;
/** Whether a shard has to wait with a new replica until others have theirs. */
export const isBusyElsewhere = ({ shards }: VolumeConfig, shardIndex: number): boolean =>
  shards.filter((shard, index) => index !== shardIndex && isResyncing(shard)).length >= VOLUME_RESYNCS_MAX;

export type ShardStep = (volume: PlacedVolume, shard: Shard, shardIndex: number, world: World, traceId: string) => Decision | null;

/** Asks shard after shard; the first that acts ends it, and else the first that has anything to say is heard. */
export const overShards =
  (step: ShardStep): Step<PlacedVolume> =>
  (volume, world, traceId) => {
    let first: Decision | null = null;
    for (const [index, shard] of volume.config.value.shards.entries()) {
      const decision = step(volume, shard, index, world, traceId);
      if (decision !== null && decision.actions.length > 0) return decision;
      first ??= decision;
    }
    return first;
  };
