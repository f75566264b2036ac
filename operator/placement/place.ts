/**
 * Where replicas go: filters (checks.ts), then the best of what is left, one replica after the other, shard after shard. Pure and deterministic: the same
 * situation always gives the same places. Gives the choice, or for every known node one sentence why it takes none.
 *
 * For one shard, taking the best one after the other never misses a solution: all that a choice forbids is its own node, and with zones Require its own
 * zone, and every node lies in one zone. Several shards share the nodes' space; where the best places lead nowhere, those with the most room left do: if each
 * shard takes the nodes (or zones) with the most room, what is left is as even as it can be.
 */
import type { NodeName } from '../../core/ids.ts';
import {
  freeBytes,
  fullness,
  nodeReason,
  type Place,
  type PlacementLimits,
  type PlacementNode,
  type PlacementRequest,
  poolReason,
  poolsReason,
  type Situation,
} from './checks.ts';
import type { Ledger } from './ledger.ts';

export type NodeReason = { node: NodeName; reason: string };
export type Placement = { places: Place[]; reasons: null } | { places: null; reasons: NodeReason[] };

/** `inVolume`: replicas of the volume's other shards on the node. `room`: how many such replicas the node could still take. */
type Candidate = Place & {
  inZone: number;
  inVolume: number;
  isPreferred: boolean;
  fullness: number;
  replicas: number;
  room: number;
  zone: string;
};
type Compare = (a: Candidate, b: Candidate) => number;

/** Pools whose shares are nearer than this count as equally full, so that volumes spread by count and not by a few bytes. */
const SHARE_STEP = 0.05;
const step = (share: number): number => Math.floor(share / SHARE_STEP);
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Negative: `a` is the better place. Each line decides only where all before it are equal. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  return (
    a.inZone - b.inZone ||
    a.inVolume - b.inVolume ||
    Number(b.isPreferred) - Number(a.isPreferred) ||
    step(a.fullness) - step(b.fullness) ||
    a.replicas - b.replicas ||
    a.fullness - b.fullness ||
    byName(a.node, b.node) ||
    byName(a.pool, b.pool)
  );
}

function candidatesOf(node: PlacementNode, situation: Situation): Candidate[] {
  if (nodeReason(node, situation) !== null) return [];
  const { request, ledger, zones } = situation;
  const pools = (node.machine?.pools ?? []).filter((pool) => poolReason(node.node, pool, situation) === null);
  const room = pools.reduce((sum, pool) => sum + Math.floor(freeBytes(node.node, pool, situation) / Math.max(1, request.sizeBytes)), 0);
  return pools.map((pool) => ({
    node: node.node,
    pool: pool.name,
    inZone: request.rules.zones === 'Prefer' ? (zones.get(node.machine?.zone ?? '') ?? 0) : 0,
    isPreferred: request.preferred === node.node,
    fullness: fullness(node.node, pool, situation),
    replicas: ledger.replicas(node.node),
    inVolume: request.crowd.get(node.node) ?? 0,
    room,
    zone: node.machine?.zone ?? '',
  }));
}

function situationOf(
  request: PlacementRequest,
  places: readonly Place[],
  nodes: readonly PlacementNode[],
  ledger: Ledger,
  limits: PlacementLimits,
): Situation {
  const taken = new Set([...request.taken, ...places.map((place) => place.node)]);
  const zones = new Map<string, number>();
  for (const { node, machine } of nodes) {
    if (machine && taken.has(node) && node !== request.departing) zones.set(machine.zone, (zones.get(machine.zone) ?? 0) + 1);
  }
  return { request, limits, ledger, taken, zones };
}

function reasonsOf(nodes: readonly PlacementNode[], places: readonly Place[], situation: Situation): NodeReason[] {
  const { replicas } = situation.request;
  return nodes.map((node) => {
    if (places.some((place) => place.node === node.node)) {
      return { node: node.node, reason: `could hold one, but ${replicas} are needed and only ${places.length} found` };
    }
    return { node: node.node, reason: nodeReason(node, situation) ?? poolsReason(node, situation) };
  });
}

/** By room: of the zone where each replica needs one of its own, then of the node. */
function byRoom(candidates: readonly Candidate[], request: PlacementRequest): Compare {
  const zones = new Map<string, number>();
  const nodes = new Map(candidates.map(({ node, zone, room }) => [node, { zone, room }]));
  for (const { zone, room } of nodes.values()) zones.set(zone, (zones.get(zone) ?? 0) + room);
  const roomOfZone = ({ zone }: Candidate): number => (request.rules.zones === 'Require' ? (zones.get(zone) ?? 0) : 0);
  return (a, b) => roomOfZone(b) - roomOfZone(a) || b.room - a.room || compareCandidates(a, b);
}

type Order = 'best' | 'room';

function find(
  request: PlacementRequest,
  nodes: readonly PlacementNode[],
  ledger: Ledger,
  limits: PlacementLimits,
  order: Order,
): Placement {
  const sorted = [...nodes].sort((a, b) => byName(a.node, b.node));
  const places: Place[] = [];
  while (places.length < request.replicas) {
    const situation = situationOf(request, places, sorted, ledger, limits);
    const candidates = sorted.flatMap((node) => candidatesOf(node, situation));
    const best = candidates.sort(order === 'best' ? compareCandidates : byRoom(candidates, request))[0];
    if (!best) return { places: null, reasons: reasonsOf(sorted, places, situation) };
    places.push({ node: best.node, pool: best.pool });
  }
  for (const { node, pool } of places) ledger.reserve(node, pool, request.sizeBytes);
  return { places, reasons: null };
}

/** Reserves what it chooses in `ledger`, and nothing when it finds too few. */
export const place = (request: PlacementRequest, nodes: readonly PlacementNode[], ledger: Ledger, limits: PlacementLimits): Placement =>
  find(request, nodes, ledger, limits, 'best');

/** Of one shard: how many replicas, how large, and where only. */
export type ShardRequest = Pick<PlacementRequest, 'replicas' | 'sizeBytes' | 'only'>;
export type ShardsPlacement = { places: Place[][]; reasons: null } | { places: null; reasons: NodeReason[]; shard: number };

function findAll(
  shards: readonly ShardRequest[],
  rest: Omit<PlacementRequest, keyof ShardRequest>,
  nodes: readonly PlacementNode[],
  ledger: Ledger,
  limits: PlacementLimits,
  order: Order,
): ShardsPlacement {
  const all: Place[][] = [];
  const crowd = new Map(rest.crowd);
  for (const [shard, request] of shards.entries()) {
    const { places, reasons } = find({ ...rest, ...request, crowd }, nodes, ledger, limits, order);
    if (places === null) {
      for (const [index, taken] of all.entries()) {
        for (const { node, pool } of taken) ledger.release(node, pool, shards[index]?.sizeBytes ?? 0);
      }
      return { places, reasons, shard };
    }
    all.push(places);
    for (const { node } of places) crowd.set(node, (crowd.get(node) ?? 0) + 1);
  }
  return { places: all, reasons: null };
}

/** All shards of a new volume, or none. Reserves as `place` does. */
export function placeShards(
  shards: readonly ShardRequest[],
  rest: Omit<PlacementRequest, keyof ShardRequest>,
  nodes: readonly PlacementNode[],
  ledger: Ledger,
  limits: PlacementLimits,
): ShardsPlacement {
  const best = findAll(shards, rest, nodes, ledger, limits, 'best');
  return best.places !== null || shards.length === 1 ? best : findAll(shards, rest, nodes, ledger, limits, 'room');
}
