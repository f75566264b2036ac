/**
 * Why a replica with which nothing is wrong should be elsewhere: its node is to be emptied, somebody asked for it, or another pool has more room. Such a replica
 * stays, in sync and counted, until another one has all that it has (move.ts, surplus.ts). Pure.
 */
import type { Member } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import { MOVE_ANNOTATION, type VolumeObject } from '../api.ts';
import type { PlacementNode, PlacementRequest } from '../placement/checks.ts';
import type { PlacedVolume, World } from './decision.ts';

type Only = NonNullable<PlacementRequest['only']>;
/** `only`: where it shall go; null: wherever there is a place. */
export type Departure = { kind: 'asked' | 'node' | 'balance'; reason: string; only: Only | null };

/** `pool` null: whichever fits. */
export type AskedMove = { from: string; node: NodeName; pool: string | null };

const ASKED = /^([^=/\s]+)=([^=/\s]+)(?:\/([^=/\s]+))?$/;
export const ASKED_FORM = '<node or replica>=<node>, or <node or replica>=<node>/<pool>';

/** Null: nobody asks. A text that says nothing is for people to hear of: `problem`. */
export function askedMoveOf({ metadata }: VolumeObject): { move: AskedMove; problem: null } | { move: null; problem: string } | null {
  const text = metadata.annotations?.[MOVE_ANNOTATION];
  if (text === undefined) return null;
  const [, from, node, pool] = ASKED.exec(text.trim()) ?? [];
  if (from === undefined || node === undefined) return { move: null, problem: `the annotation ${MOVE_ANNOTATION} must be ${ASKED_FORM}` };
  return { move: { from, node, pool: pool ?? null }, problem: null };
}

export const isMeant = ({ from }: AskedMove, { node, replica }: Member): boolean => from === node || from === replica;

const indexes = new WeakMap<readonly PlacementNode[], ReadonlyMap<NodeName, PlacementNode>>();
export function nodeNamed(name: NodeName, { nodes }: World): PlacementNode | undefined {
  const index = indexes.get(nodes) ?? new Map(nodes.map((node) => [node.node, node]));
  indexes.set(nodes, index);
  return index.get(name);
}

/** Silent, and no part of the cluster any more: what it was to do is done by nobody. */
export const isGoneForGood = (name: NodeName, world: World): boolean =>
  !world.machines.has(name) && (nodeNamed(name, world)?.isRemoved ?? false);

function onlyAt({ node, pool }: AskedMove, world: World): Only {
  const pools = world.machines.get(node)?.pools.map(({ name }) => name) ?? [];
  const places = pools.filter((name) => pool === null || name === pool).map((name) => ({ node, pool: name }));
  return { places, reason: pool === null ? `is not ${node}` : `has no pool ${pool}, or is not ${node}` };
}

/** Of its node: it shall be emptied, or be no part of the cluster any more. One whose agent is silent is for `removedStep`. */
function ofNode({ node }: Member, world: World): string | null {
  const known = nodeNamed(node, world);
  if (known?.isRemoved && known.machine !== null) return `${node} is to be removed`;
  return known?.spec?.evict ? `${node} is to be emptied (spec.evict)` : null;
}

export function departureOf(volume: PlacedVolume, member: Member, world: World): Departure | null {
  const move = askedMoveOf(volume.object)?.move ?? null;
  if (move && isMeant(move, member) && move.node !== member.node)
    return { kind: 'asked', reason: `somebody asked for it to be on ${move.node}`, only: onlyAt(move, world) };
  const reason = ofNode(member, world);
  if (reason !== null) return { kind: 'node', reason, only: null };
  const better = world.moves.get(member.replica);
  if (better === undefined) return null;
  const to = `${better.to}/${better.pool}`;
  const only = { places: [{ node: better.to, pool: better.pool }], reason: `is not where the balance has it (${to})` };
  return { kind: 'balance', reason: better.trouble, only };
}
