/**
 * Where replicas go: filters (checks.ts), then the best of what is left, one replica after the other. Pure and deterministic: the same
 * situation always gives the same places. Gives the choice, or for every known node one sentence why it takes none.
 *
 * Taking the best one after the other never misses a solution: all that a choice forbids is its own node, and with zones Require its own
 * zone, and every node lies in one zone.
 */
import type { NodeName } from '../../core/ids.ts';
import {
  freeBytes,
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

type Candidate = Place & { inZone: number; isPreferred: boolean; freeShare: number; replicas: number };

/** Shares of free space nearer than this count as equal, so that volumes spread by count and not by a few bytes. */
const FREE_SHARE_STEP = 0.05;
const step = (share: number): number => Math.floor(share / FREE_SHARE_STEP);
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Negative: `a` is the better place. Each line decides only where all before it are equal. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  return (
    a.inZone - b.inZone ||
    Number(b.isPreferred) - Number(a.isPreferred) ||
    step(b.freeShare) - step(a.freeShare) ||
    a.replicas - b.replicas ||
    b.freeShare - a.freeShare ||
    byName(a.node, b.node) ||
    byName(a.pool, b.pool)
  );
}

function candidatesOf(node: PlacementNode, situation: Situation): Candidate[] {
  if (nodeReason(node, situation) !== null) return [];
  const { request, ledger, zones } = situation;
  return (node.machine?.pools ?? [])
    .filter((pool) => poolReason(node.node, pool, situation) === null)
    .map((pool) => ({
      node: node.node,
      pool: pool.name,
      inZone: request.rules.zones === 'Prefer' ? (zones.get(node.machine?.zone ?? '') ?? 0) : 0,
      isPreferred: request.preferred === node.node,
      freeShare: freeBytes(node.node, pool, situation) / Math.max(1, pool.capacityBytes),
      replicas: ledger.replicas(node.node),
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
    if (machine && taken.has(node)) zones.set(machine.zone, (zones.get(machine.zone) ?? 0) + 1);
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

/** Reserves what it chooses in `ledger`, and nothing when it finds too few. */
export function place(request: PlacementRequest, nodes: readonly PlacementNode[], ledger: Ledger, limits: PlacementLimits): Placement {
  const sorted = [...nodes].sort((a, b) => byName(a.node, b.node));
  const places: Place[] = [];
  while (places.length < request.replicas) {
    const situation = situationOf(request, places, sorted, ledger, limits);
    const best = sorted.flatMap((node) => candidatesOf(node, situation)).sort(compareCandidates)[0];
    if (!best) return { places: null, reasons: reasonsOf(sorted, places, situation) };
    places.push({ node: best.node, pool: best.pool });
  }
  for (const { node, pool } of places) ledger.reserve(node, pool, request.sizeBytes);
  return { places, reasons: null };
}
