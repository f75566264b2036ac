/**
 * Replicas that could be moved, and where to: never one of a volume that is not whole and at rest, never to a place that placement would refuse, never so that the zones
 * or the shards of a volume lie worse than before, and only where the replica that is moved is also the one that leaves (leaver.ts). Pure.
 */
import type { Member, Shard } from '../../core/config.ts';
import { isFresh } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import type { NodeName } from '../../core/ids.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import { nodeReason, type PlacementRequest, poolReason, type Situation } from '../placement/checks.ts';
import { avoidedNodes } from '../volume/create.ts';
import type { PlacedVolume, World } from '../volume/decision.ts';
import { wantedGrowthBytes } from '../volume/grow.ts';
import { crowdOf, failureOf, isCrowded, staying } from '../volume/shards.ts';
import { byLeaving, usedNode } from './leaver.ts';
import { type Loads, type PoolLoad, poolKey } from './loads.ts';

export type Candidate = { volume: PlacedVolume; shard: Shard; index: number; member: Member; sizeBytes: number };

const isSound = (member: Member, world: World): boolean => world.machines.has(member.node) && failureOf(member, world) === null;

/** Nothing is being done about its replicas, and nothing has to be. */
export function isAtRest(volume: ObservedVolume, world: World): volume is PlacedVolume {
  const { object, config } = volume;
  if (object === null || config === null || object.metadata.deletionTimestamp || isFresh(config.value)) return false;
  if (volume.damage !== null || volume.tasks.some(({ task }) => 'replica' in task.value.spec)) return false;
  const isWhole = config.value.shards.every(
    ({ members, inSync }) =>
      members.length === object.spec.replicas &&
      inSync.length === members.length &&
      members.every((member) => !member.leaving && isSound(member, world)),
  );
  return isWhole && wantedGrowthBytes(volume as PlacedVolume) === null;
}

function add(candidates: Map<string, Candidate[]>, key: string, candidate: Candidate): void {
  const known = candidates.get(key);
  if (known) known.push(candidate);
  else candidates.set(key, [candidate]);
}

const isIn = (wanted: ReadonlySet<string>, { node, pool }: Member): boolean => wanted.has(poolKey(node, pool));

/** By the pool that holds them. */
export function candidatesByPool(volumes: Iterable<ObservedVolume>, wanted: ReadonlySet<string>, world: World): Map<string, Candidate[]> {
  const candidates = new Map<string, Candidate[]>();
  for (const volume of volumes) {
    const shards = volume.config?.value.shards ?? [];
    // The cheap question first: most volumes lie nowhere near a pool that anything should leave.
    if (!shards.some(({ members }) => members.some((member) => isIn(wanted, member)))) continue;
    if (!isAtRest(volume, world) || shards.some((shard) => isCrowded(volume.config.value, shard))) continue;
    for (const [index, shard] of shards.entries()) {
      const sizeBytes = shardBytes(volume.config.value.sizeBytes, shards.length, index);
      const there = shard.members.filter((member) => isIn(wanted, member));
      for (const member of there) add(candidates, poolKey(member.node, member.pool), { volume, shard, index, member, sizeBytes });
    }
  }
  return candidates;
}

function requestOf({ volume, shard, index, sizeBytes }: Candidate, world: World): PlacementRequest {
  return {
    replicas: 1,
    sizeBytes,
    rules: volume.object.spec.placement,
    taken: staying(shard).map(({ node }) => node),
    crowd: crowdOf(volume.config.value, index),
    only: null,
    preferred: null,
    avoided: avoidedNodes(volume, world),
  };
}

/** What placement looks at, as if the candidate had left already: but for its node, which is to be another. */
export function situationOf(candidate: Candidate, world: World): Situation {
  const request = requestOf(candidate, world);
  const zones = new Map<string, number>();
  for (const { node, replica } of staying(candidate.shard)) {
    const zone = world.machines.get(node)?.zone;
    if (zone !== undefined && replica !== candidate.member.replica) zones.set(zone, (zones.get(zone) ?? 0) + 1);
  }
  return { request, limits: world.limits, ledger: world.ledger, taken: new Set(request.taken), zones };
}

function isSpreadWorse({ member }: Candidate, to: PoolLoad, { request, zones }: Situation, world: World): boolean {
  const zoneFrom = world.machines.get(member.node)?.zone ?? '';
  const zoneTo = to.node.machine?.zone ?? '';
  const isZoneWorse = request.rules.zones !== 'Ignore' && (zones.get(zoneTo) ?? 0) > (zones.get(zoneFrom) ?? 0);
  return isZoneWorse || (request.crowd.get(to.node.node) ?? 0) > (request.crowd.get(member.node) ?? 0);
}

/** Whether the rule that takes the surplus away would choose the candidate. */
function isLeaver({ volume, shard, member, sizeBytes }: Candidate, to: PoolLoad, loads: Loads, world: World): boolean {
  const next: Member = { replica: '' as Member['replica'], node: to.node.node, pool: to.pool.name };
  const members = [...shard.members, next];
  const promisedBytes = (node: NodeName, pool: string): number =>
    (loads.get(poolKey(node, pool))?.promisedBytes ?? 0) + (node === next.node && pool === next.pool ? sizeBytes : 0);
  const around = { ...world, ledger: { promisedBytes } };
  const [first] = byLeaving({ members, inSync: members.map(({ replica }) => replica) }, volume.object, usedNode(volume), around);
  return first?.replica === member.replica;
}

export const canGo = (candidate: Candidate, to: PoolLoad, situation: Situation, loads: Loads, world: World): boolean =>
  nodeReason(to.node, situation) === null &&
  poolReason(to.node.node, to.pool, situation) === null &&
  !isSpreadWorse(candidate, to, situation, world) &&
  isLeaver(candidate, to, loads, world);
