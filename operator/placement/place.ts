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
  nodeNamed,
  nodeReason,
  type Place,
  type PlacementLimits,
  type PlacementNode,
  type PlacementRequest,
  poolReason,
  poolsReason,
  promisableBytes,
  type Situation,
} from './checks.ts';
import type { Ledger } from './ledger.ts';
import { compareRanked, type NodeReason, type Ranked, type Ranking, rankingOf } from './ranking.ts';

export type { NodeReason } from './ranking.ts';
export type Placement = { places: Place[]; reasons: null } | { places: null; reasons: readonly NodeReason[] };

/** `inVolume`: replicas of the volume's other shards on the node. */
type Candidate = Ranked & { inZone: number; inVolume: number; isPreferred: boolean };
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Negative: `a` is the better place for who asks. */
const compareForRequest = (a: Candidate, b: Candidate): number =>
  a.inZone - b.inZone || a.inVolume - b.inVolume || Number(b.isPreferred) - Number(a.isPreferred);
/** Each line decides only where all before it are equal. */
export const compareCandidates = (a: Candidate, b: Candidate): number => compareForRequest(a, b) || compareRanked(a, b);

const fits = ({ node, pool }: Ranked, situation: Situation): boolean =>
  nodeReason(node, situation) === null && poolReason(node.node, pool, situation) === null;

export function asCandidate(ranked: Ranked, { request, zones }: Situation): Candidate {
  const { node } = ranked;
  return {
    ...ranked,
    inZone: request.rules.zones === 'Prefer' ? (zones.get(node.machine?.zone ?? '') ?? 0) : 0,
    inVolume: request.crowd.get(node.node) ?? 0,
    isPreferred: request.preferred === node.node,
  };
}

/** Nobody can be better than this in zone and volume: who is as good ends the search. */
function leastPossible(ranking: Ranking, { request, zones }: Situation): { inZone: number; inVolume: number } {
  const counts = [...ranking.zones].map((zone) => zones.get(zone) ?? 0);
  const inZone = request.rules.zones === 'Prefer' ? Math.min(...counts) : 0;
  const isEverywhere = request.crowd.size >= ranking.nodes.length && ranking.nodes.every(({ node }) => request.crowd.has(node));
  return { inZone, inVolume: isEverywhere ? Math.min(...request.crowd.values()) : 0 };
}

/** The preferred node first, then in order of the ranking, and only as far as somebody better may still come. */
function bestOf(ranking: Ranking, situation: Situation): Candidate | null {
  const { preferred } = situation.request;
  const least = leastPossible(ranking, situation);
  let best: Candidate | null = null;
  const look = (ranked: Ranked): void => {
    const candidate = asCandidate(ranked, situation);
    if ((best === null || compareForRequest(candidate, best) < 0) && fits(ranked, situation)) best = candidate;
  };
  const isBestPossible = (one: Candidate | null): boolean => one !== null && one.inZone <= least.inZone && one.inVolume <= least.inVolume;
  const own = preferred === null ? [] : [...ranking.of(preferred)].sort(compareRanked);
  for (const ranked of own) look(ranked);
  for (const ranked of ranking.inOrder()) {
    if (isBestPossible(best)) break;
    look(ranked);
  }
  return best;
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
  for (const node of taken) {
    const zone = nodeNamed(nodes, node)?.machine?.zone;
    if (zone !== undefined && node !== request.departing) zones.set(zone, (zones.get(zone) ?? 0) + 1);
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

/** The place in the zone with the most room, where each replica needs a zone of its own, and there on the node with the most. */
function roomiestOf(ranking: Ranking, situation: Situation): Candidate | null {
  const { request } = situation;
  const candidates = ranking
    .inOrder()
    .filter((ranked) => fits(ranked, situation))
    .map((ranked) => asCandidate(ranked, situation));
  const rooms = new Map<NodeName, number>();
  const zones = new Map<string, number>();
  for (const { node, pool } of candidates) {
    const room = Math.floor(promisableBytes(node.node, pool, situation) / Math.max(1, request.sizeBytes));
    rooms.set(node.node, (rooms.get(node.node) ?? 0) + room);
    zones.set(node.machine?.zone ?? '', (zones.get(node.machine?.zone ?? '') ?? 0) + room);
  }
  const roomOfZone = ({ node }: Candidate): number => (request.rules.zones === 'Require' ? (zones.get(node.machine?.zone ?? '') ?? 0) : 0);
  const roomOfNode = ({ node }: Candidate): number => rooms.get(node.node) ?? 0;
  candidates.sort((a, b) => roomOfZone(b) - roomOfZone(a) || roomOfNode(b) - roomOfNode(a) || compareCandidates(a, b));
  return candidates[0] ?? null;
}

type Order = 'best' | 'room';

/** Of a volume that has nothing yet, all that the answer depends on; null: there is more. */
function questionOf({ replicas, sizeBytes, rules, taken, crowd, only, avoided }: PlacementRequest, order: Order): string | null {
  const isNew = taken.length === 0 && crowd.size === 0 && only === null && avoided.size === 0;
  return isNew ? JSON.stringify([replicas, sizeBytes, rules, order]) : null;
}

function find(
  request: PlacementRequest,
  nodes: readonly PlacementNode[],
  ledger: Ledger,
  limits: PlacementLimits,
  order: Order,
): Placement {
  const ranking = rankingOf(nodes, ledger, limits);
  const question = questionOf(request, order);
  const vain = question === null ? null : ranking.vain(question);
  if (vain !== null) return { places: null, reasons: vain };
  const places: Place[] = [];
  while (places.length < request.replicas) {
    const situation = situationOf(request, places, nodes, ledger, limits);
    const found = order === 'best' ? bestOf(ranking, situation) : roomiestOf(ranking, situation);
    if (!found) {
      const sorted = [...nodes].sort((a, b) => byName(a.node, b.node));
      const reasons = reasonsOf(sorted, places, situation);
      if (question !== null) ranking.noteVain(question, reasons);
      return { places: null, reasons };
    }
    places.push({ node: found.node.node, pool: found.pool.name });
  }
  for (const { node, pool } of places) ledger.reserve(node, pool, request.sizeBytes);
  return { places, reasons: null };
}

/** Reserves what it chooses in `ledger`, and nothing when it finds too few. */
export const place = (request: PlacementRequest, nodes: readonly PlacementNode[], ledger: Ledger, limits: PlacementLimits): Placement =>
  find(request, nodes, ledger, limits, 'best');

/** Of one shard: how many replicas, how large, and where only. */
export type ShardRequest = Pick<PlacementRequest, 'replicas' | 'sizeBytes' | 'only'>;
export type ShardsPlacement = { places: Place[][]; reasons: null } | { places: null; reasons: readonly NodeReason[]; shard: number };

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
