/**
 * How full each pool is, as it will be once all that is under way has ended: replicas that leave count as gone, those that are being made as made. Without that,
 * what is decided already would be decided again in every pass. Pure.
 */
import type { Member, Shard } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import type { NodeName } from '../../core/ids.ts';
import type { PoolReport } from '../../core/machine.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import { isPressed, type PlacementNode, usableBytes } from '../placement/checks.ts';
import type { PlacedVolume, World } from '../volume/decision.ts';
import { isInSync, staying } from '../volume/shards.ts';
import { byLeaving, usedNode } from './leaver.ts';

export type PoolLoad = {
  node: PlacementNode;
  pool: PoolReport;
  usableBytes: number;
  promisedBytes: number;
  /** On the file system, by anybody. */
  usedBytes: number;
  /** How much of what is promised is really used; an estimate, the same for all replicas of the pool. */
  usedRatio: number;
  /** Its tags: moves stay among pools that are alike. */
  group: string;
};

export const shareOf = ({ promisedBytes, usableBytes: usable }: PoolLoad, moreBytes = 0): number =>
  (promisedBytes + moreBytes) / Math.max(1, usable);
export const usedShareOf = ({ usedBytes, pool }: PoolLoad, moreBytes = 0): number =>
  (usedBytes + moreBytes) / Math.max(1, pool.capacityBytes);

/** For what may come: what others than replicas fill is not free, whatever is promised. */
export const fullnessOf = (load: PoolLoad, moreBytes = 0, moreUsedBytes = 0): number =>
  Math.max(shareOf(load, moreBytes), (load.usedBytes + moreUsedBytes) / Math.max(1, load.usableBytes));

export const poolKey = (node: NodeName, pool: string): string => `${node}/${pool}`;

/** May take replicas, and count where it is asked how full pools are in the mean. */
export const isEligible = ({ node, pool }: PoolLoad, { limits }: Pick<World, 'limits'>): boolean =>
  node.machine !== null &&
  !node.isRemoved &&
  pool.state === 'ready' &&
  !isPressed(pool, limits) &&
  (node.spec === null || (node.spec.schedulable && !node.spec.evict && !node.spec.maintenance));

function loadOf(node: PlacementNode, pool: PoolReport, world: World): PoolLoad {
  const promisedBytes = world.ledger.promisedBytes(node.node, pool.name);
  const usedRatio = Math.min(1, pool.usedBytes / Math.max(1, pool.allocatedBytes));
  // What its agent counts and no config promises goes, or is being deleted.
  const goingBytes = Math.max(0, pool.allocatedBytes - promisedBytes);
  return {
    node,
    pool,
    usableBytes: usableBytes(pool, world.limits),
    promisedBytes,
    usedBytes: Math.max(0, pool.usedBytes - goingBytes * usedRatio),
    usedRatio,
    group: [...pool.tags].sort().join(' '),
  };
}

export type Loads = ReadonlyMap<string, PoolLoad>;

export function loadsOf(world: World): Map<string, PoolLoad> {
  const loads = new Map<string, PoolLoad>();
  for (const node of world.nodes) {
    for (const pool of node.machine?.pools ?? []) loads.set(poolKey(node.node, pool.name), loadOf(node, pool, world));
  }
  return loads;
}

/** More replicas than asked for: a move, an eviction, or a smaller number asked for. */
export const surplusOf = (shard: Shard, replicas: number): number => Math.max(0, staying(shard).length - replicas);

/** As if all that are being made were made already. */
const whenInSync = (shard: Shard): Shard => ({ ...shard, inSync: staying(shard).map(({ replica }) => replica) });

function goingFrom(volume: PlacedVolume, shard: Shard, world: World): Member[] {
  const surplus = surplusOf(shard, volume.object.spec.replicas);
  const leaving = shard.members.filter((member) => member.leaving);
  if (surplus === 0) return leaving;
  return [...leaving, ...byLeaving(whenInSync(shard), volume.object, usedNode(volume), world).slice(0, surplus)];
}

/** A replica that comes or goes. */
export function shift(load: PoolLoad | undefined, bytes: number, usedBytes: number): void {
  if (!load) return;
  load.promisedBytes += bytes;
  load.usedBytes = Math.max(0, load.usedBytes + usedBytes);
}

function projectShard(volume: PlacedVolume, shard: Shard, index: number, loads: Loads, world: World): void {
  const { sizeBytes, shards } = volume.config.value;
  const bytes = shardBytes(sizeBytes, shards.length, index);
  const going = goingFrom(volume, shard, world);
  if (going.length === 0) return;
  const coming = staying(shard).filter((member) => !isInSync(shard, member) && member.leftAt === undefined && !going.includes(member));
  const ratioOf = ({ node, pool }: Member): number => loads.get(poolKey(node, pool))?.usedRatio ?? 0;
  const comingRatio = Math.max(...going.map(ratioOf));
  for (const member of coming) shift(loads.get(poolKey(member.node, member.pool)), 0, bytes * comingRatio);
  // Those that are leaving already are not promised any more, and what is there and not promised counts as gone (loadOf).
  const next = going.filter(({ leaving }) => !leaving);
  for (const member of next) shift(loads.get(poolKey(member.node, member.pool)), -bytes, -bytes * ratioOf(member));
}

const isPlaced = (volume: ObservedVolume): volume is PlacedVolume => volume.object !== null && volume.config !== null;

/** Changes `loads` to how they will be; returns how many shards have more replicas than asked for. */
export function project(volumes: Iterable<ObservedVolume>, loads: Loads, world: World): number {
  let underWay = 0;
  for (const volume of volumes) {
    if (!isPlaced(volume)) continue;
    for (const [index, shard] of volume.config.value.shards.entries()) {
      projectShard(volume, shard, index, loads, world);
      if (surplusOf(shard, volume.object.spec.replicas) > 0) underWay++;
    }
  }
  return underWay;
}
