/**
 * Brings replicas elsewhere with which nothing is wrong (departures.ts): another is made first, and the old one stays as it is until that has everything. So
 * redundancy never falls, and giving the wish up at any time costs nothing but the copy. Must never mark a replica as leaving: that is the surplus rule's.
 */
import type { Member, Shard } from '../../core/config.ts';
import { MOVE_ANNOTATION } from '../api.ts';
import { waitMs } from '../observe/memory.ts';
import type { NodeReason } from '../placement/place.ts';
import { filedCreate, findPlaces, newMember } from './create.ts';
import { act, type Decision, note, type PlacedVolume, type Step, type World } from './decision.ts';
import { type AskedMove, askedMoveOf, type Departure, departureOf, isMeant } from './departures.ts';
import { movedEvent, moveRefusedEvent } from './events.ts';
import { changed } from './members.ts';
import { isOutage, isSound, OUTAGE_SENTENCE } from './replace.ts';
import { isBusyElsewhere, isCrowded, isInSync, overShards, replicaOn, staying, withMembers } from './shards.ts';

const NAMED_MAX = 5;

/** As people read it of one volume of many. */
function inShort(reasons: readonly NodeReason[]): string {
  const named = reasons.slice(0, NAMED_MAX).map(({ node, reason }) => `${node}: ${reason}`);
  return [...named, ...(reasons.length > NAMED_MAX ? [`and ${reasons.length - NAMED_MAX} more`] : [])].join('; ');
}

const refused = (reason: string): Decision =>
  act('replacing', `the move that was asked for is refused: ${reason}`, {
    kind: 'removeAnnotation',
    annotation: MOVE_ANNOTATION,
    event: moveRefusedEvent(reason),
  });

/** It is tried again, and people shall see what it waits for: at the node, for with the volume nothing is wrong. */
function blocked(
  volume: PlacedVolume,
  member: Member,
  departure: Departure,
  state: 'replacing' | 'unschedulable',
  reason: string,
  world: World,
): Decision {
  if (departure.kind === 'node') {
    const told = world.blocked.get(member.node) ?? [];
    told.push({ uid: volume.uid, volume: volume.object.metadata.name, reason });
    world.blocked.set(member.node, told);
  }
  return note(state, `${member.node}: ${departure.reason}, but ${reason}`);
}

/** What it has to wait for, in words; null: nothing. */
function obstacle(volume: PlacedVolume, shard: Shard, departure: Departure, world: World): string | null {
  const config = volume.config.value;
  const isSafe = departure.kind === 'asked' || !isOutage(world);
  if (!isSafe) return OUTAGE_SENTENCE;
  if (!shard.members.some((other) => isSound(other, shard, world))) return 'no replica in sync can be reached to copy from';
  const out = staying(shard).find((other) => !isInSync(shard, other) && departureOf(volume, other, world) === null);
  if (out) return `the replica on ${out.node} has to be in sync first`;
  return isCrowded(config, shard) ? 'those that are leaving have to leave first' : null;
}

function add(volume: PlacedVolume, index: number, member: Member, departure: Departure, world: World, traceId: string): Decision {
  const config = volume.config.value;
  const shard: Shard = config.shards[index] ?? { members: [], inSync: [] };
  const taken = staying(shard).map(({ node }) => node);
  const move = { only: departure.only, departing: member.node };
  const { places, reasons } = findPlaces(volume, volume.object, index, 1, taken, world, move);
  const [found] = places ?? [];
  if (!found) {
    const others = (reasons ?? []).filter(({ node }) => node !== member.node);
    const why = others.length === 0 ? 'there is no other node' : `no other node can hold it (${inShort(others)})`;
    const wanted = askedMoveOf(volume.object)?.move?.node;
    const target = others.find(({ node }) => node === wanted);
    if (departure.kind === 'asked') return refused(target ? `${target.node}: ${target.reason}` : `there is no node ${wanted}`);
    // Tried again when something changed that may help, and now and then: looking at every node is much for a pass.
    return blocked(volume, member, departure, 'unschedulable', why, world);
  }
  world.replacements.left--;
  const next = newMember(world, found.node, found.pool);
  const after = withMembers(config, index, [...shard.members, next]);
  const old = replicaOn(config, index, member.node);
  const decision = changed(
    volume,
    after,
    `${old} moves to ${found.node}: ${departure.reason}`,
    `add a replica on ${found.node}, for ${old}`,
    world,
    traceId,
    filedCreate(world, after, index, next, traceId),
  );
  return { ...decision, actions: [...decision.actions, { kind: 'noteSetback', what: setbackOf(volume, index, member), signature: '' }] };
}

const setbackOf = ({ uid }: PlacedVolume, index: number, { node }: Member): string => `move/${uid}/${index}/${node}`;

/** One at a time of a shard, few at once over all volumes. */
export const moveStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  if (staying(shard).length !== volume.object.spec.replicas) return null;
  for (const member of staying(shard)) {
    const departure = departureOf(volume, member, world);
    if (departure === null) continue;
    const why = obstacle(volume, shard, departure, world);
    if (why !== null) return blocked(volume, member, departure, 'replacing', why, world);
    const reason = `${replicaOn(volume.config.value, index, member.node)} is to move: ${departure.reason}`;
    const isTried = waitMs(world.memory, setbackOf(volume, index, member), '', world.now.monotonicMs) > 0;
    if (isTried && departure.kind !== 'asked') return note('replacing', `${reason}; tried before, again after a while`);
    if (isBusyElsewhere(volume.config.value, index)) return note('replacing', `${reason}, when those of other shards are in sync`);
    if (world.replacements.left <= 0) return note('replacing', `${reason}, when others are done`);
    return add(volume, index, member, departure, world, traceId);
  }
  return null;
});

/** Why it makes no sense, as things are now; null: it does. */
function askedProblem(move: AskedMove, { config }: PlacedVolume): string | null {
  for (const [index, shard] of config.value.shards.entries()) {
    const from = staying(shard).find((member) => isMeant(move, member));
    if (from?.node === move.node) return `${replicaOn(config.value, index, from.node)} is there already`;
  }
  return null;
}

/** Ends a move that somebody asked for: none of the replicas that were meant stays any more, or it makes no sense. */
export const askedStep: Step<PlacedVolume> = (volume) => {
  const asked = askedMoveOf(volume.object);
  if (asked === null) return null;
  if (asked.move === null) return refused(asked.problem);
  const { move } = asked;
  const problem = askedProblem(move, volume);
  if (problem !== null) return refused(problem);
  const { shards } = volume.config.value;
  if (shards.some((shard) => staying(shard).some((member) => isMeant(move, member)))) return null;
  const isThere = shards.some((shard) => staying(shard).some((member) => member.node === move.node && isInSync(shard, member)));
  if (!isThere) return refused(`it has no replica ${move.from}, or none on that node`);
  return act('replacing', `${move.from} was moved to ${move.node}`, {
    kind: 'removeAnnotation',
    annotation: MOVE_ANNOTATION,
    event: movedEvent(move.from, move.node),
  });
};
