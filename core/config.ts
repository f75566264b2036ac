/**
 * A volume's config as it stands in etcd, and the arithmetic of its in-sync set. Pure.
 *
 * Glossary (one meaning each, everywhere):
 *   volume       the block device that people ask for           shard        a set of its extents, replicated for itself
 *   replica      one full copy of a shard on one node; of the whole volume where that has one shard, as most have
 *   primary      the agent that serves the volume's NBD socket, with or without a replica of its own
 *   leader       the operator that holds the Lease; never used for a replica
 *   epoch        fencing number of a volume: rises with every promotion, kept in etcd, checked by every replica
 *   version      counts the changes of a config; every change compares it
 *   in-sync set  the replicas that must hold a write before it is acknowledged
 *   learner      a replica that catches up; gets all new writes, is not waited for
 *   session      one connection of a primary to a replica, opened by a Seal
 *   settled      acknowledged by everyone counted, with all writes before it
 *   extent       1 MiB, the unit of resync                       block        4 KiB, the unit that levelling compares
 *   intent log   the extents of a replica that are in doubt      stamp        config version under which an extent was last written
 *   level        make an extent equal on all in-sync replicas    resync       bring a learner all that it misses
 */
import type { InstanceId, NodeName, ReplicaId, VolumeUid } from './ids.ts';

export type Member = {
  replica: ReplicaId;
  node: NodeName;
  pool: string;
  /** The leader wants this one gone; the primary drops it from the in-sync set as soon as it may. */
  leaving?: true;
  /** The config version under which it left the in-sync set; stays until it is in sync again. */
  leftAt?: number;
};

export type Shard = { members: Member[]; inSync: ReplicaId[] };

/**
 * serve: the NBD socket is open. background: no socket, only until every member is in sync, then the primary lets go.
 * release: let go as soon as all is settled. Letting go is writing `primary: null`, the primary's last act.
 */
export type PrimaryMode = 'serve' | 'background' | 'release';
/**
 * Whose clients may be there: those of a node, since its boot, from an epoch on. It outlives promotions, and ends when the volume is detached, moved, or
 * the clients' machine goes down.
 */
export type Attachment = { node: NodeName; bootId: string; epoch: number };
export type PrimaryRole = { node: NodeName; instance: InstanceId; mode: PrimaryMode };

/** 0: no limit. */
export type VolumeLimits = { iops: number; bytesPerSecond: number };

export type VolumeConfig = {
  uid: VolumeUid;
  name: string;
  /** How large it shall be: raised by the leader, never lowered. What is offered follows when every in-sync replica has it. */
  sizeBytes: number;
  minInSync: number;
  /** 0: never promoted; its replicas are empty. */
  epoch: number;
  version: number;
  /** The epoch that began over replicas which had all lost power: unflushed writes of before may be gone. */
  lossAt?: number;
  /** Left out: nobody is to be served. */
  attachment?: Attachment;
  primary: PrimaryRole | null;
  /** What its clients may do in a second, all together; left out: as much as they can. */
  limits?: VolumeLimits;
  /** At least one, and as many for ever; see core/extent.ts for what lies in which. `inSync` is empty until the first replicas are made. */
  shards: Shard[];
};

/** The attachment of `node`, which is to be served from `epoch` on: the one that stands if its clients may still be there, else a new one. */
export function attachmentFrom({ attachment }: VolumeConfig, node: NodeName, bootId: string, epoch: number): Attachment {
  const stands = attachment?.node === node && attachment.bootId === bootId;
  return stands ? attachment : { node, bootId, epoch };
}

/** Detached on purpose: whoever attaches next knows what was before. */
export function withoutAttachment({ attachment: _, ...config }: VolumeConfig): VolumeConfig {
  return config;
}

/** What was not flushed may be gone, and clients are attached that were there before: they must not go on as if nothing had happened. */
export const isLossUnseen = ({ lossAt, attachment }: VolumeConfig): boolean =>
  lossAt !== undefined && attachment !== undefined && lossAt > attachment.epoch;

export const lossSentence = ({ lossAt }: VolumeConfig): string =>
  `every in-sync replica lost power before epoch ${lossAt}: what was not flushed may be gone; detach (spec.attachTo: "") and attach again to go on`;

/** What counts as in sync while a compare-and-set is out or its outcome unknown: whatever either value holds. */
export function countedReplicas(known: readonly ReplicaId[], proposed: readonly ReplicaId[]): Set<ReplicaId> {
  return new Set([...known, ...proposed]);
}

/** A shard with another in-sync set; members that left carry the version of the config that this makes. */
export const withInSync = (config: VolumeConfig, shardIndex: number, inSync: readonly ReplicaId[]): VolumeConfig =>
  withInSyncSets(config, new Map([[shardIndex, inSync]]));

/** The same for several shards in one change. Shards that are not named stay as they are. */
export function withInSyncSets(config: VolumeConfig, wanted: ReadonlyMap<number, readonly ReplicaId[]>): VolumeConfig {
  const version = config.version + 1;
  const shards = config.shards.map((shard, index) => {
    const inSync = wanted.get(index);
    if (!inSync) return shard;
    const members = shard.members.map((member): Member => {
      const { leftAt, ...rest } = member;
      if (inSync.includes(member.replica)) return rest;
      if (shard.inSync.includes(member.replica)) return { ...rest, leftAt: version };
      return leftAt === undefined ? rest : { ...rest, leftAt };
    });
    return { members, inSync: [...inSync] };
  });
  return { ...config, version, shards };
}

/** Members that should stay and are not in sync: what a primary still has to bring back. */
export const outOfSync = (shard: Shard): Member[] =>
  shard.members.filter((member) => !member.leaving && !shard.inSync.includes(member.replica));

/** Every node that must hear of this config: it holds a replica or is the primary. */
export function nodesOf(config: VolumeConfig): NodeName[] {
  const nodes = new Set(config.shards.flatMap((shard) => shard.members.map((member) => member.node)));
  if (config.primary) nodes.add(config.primary.node);
  return [...nodes];
}

/** Nothing was ever in sync: every replica is as it was made. */
export const isFresh = ({ epoch, shards }: VolumeConfig): boolean => epoch === 0 && shards.every(({ inSync }) => inSync.length === 0);
