/**
 * Replicas that are as good as lost: their node says that they or their pool failed, or has not been heard of for so long that nobody should wait any longer.
 * Another is made, in the same transaction the old one is marked as leaving. Never where no other sound replica holds everything: then people decide.
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import { waitMs } from '../observe/memory.ts';
import { filedCreate, findPlaces, newMember, wantedMinInSync } from './create.ts';
import { type Decision, note, type PlacedVolume, type Step, type World } from './decision.ts';
import { isGoneForGood, nodeNamed } from './departures.ts';
import { replacedEvent } from './events.ts';
import { changed } from './members.ts';
import {
  failureOf,
  isBusyElsewhere,
  isCrowded,
  isInSync,
  overShards,
  quarantineOf,
  replicaOn,
  resyncsOf,
  staying,
  withMembers,
} from './shards.ts';

/** Every one is a whole resync; more at once would only slow each other, and the volumes' users. */
export const REPLACEMENTS_MAX = 8;
/** More nodes away than one in so many is an outage, not a loss: replacing would move everything for nothing. */
const OUTAGE_SHARE = 3;
export const OUTAGE_SENTENCE = 'nothing is replaced while more than a third of the nodes are away';

/** It holds everything, and answers. */
export const isSound = (member: Member, shard: Shard, world: World): boolean =>
  isInSync(shard, member) && world.machines.has(member.node) && failureOf(member, world) === null;

const leavingIn = (shard: Shard, gone: Member): Member[] =>
  shard.members.map((other): Member => (other.replica === gone.replica ? { ...other, leaving: true } : other));

/** Another was added already, for one that is to move: that is enough. */
function withoutAnother(volume: PlacedVolume, index: number, member: Member, trouble: string, world: World, traceId: string): Decision {
  const config = volume.config.value;
  const old = replicaOn(config, index, member.node);
  const members = leavingIn(config.shards[index] ?? { members: [], inSync: [] }, member);
  // Lowered together with it, where fewer are asked for: else the primary might not be allowed to let it go.
  const after = { ...withMembers(config, index, members), minInSync: Math.min(config.minInSync, wantedMinInSync(volume.object)) };
  return changed(volume, after, `${old} leaves (${trouble}), others are made already`, `mark ${old} as leaving`, world, traceId);
}

function replace(volume: PlacedVolume, index: number, member: Member, trouble: string, world: World, traceId: string): Decision {
  const config = volume.config.value;
  const old = replicaOn(config, index, member.node);
  const what = `replace/${volume.uid}/${index}/${member.node}`;
  const reason = `${old} is to be replaced (${trouble})`;
  if (waitMs(world.memory, what, '', world.now.monotonicMs) > 0) return note('replacing', `${reason}, as one before it was: after a while`);
  const shard: Shard = config.shards[index] ?? { members: [], inSync: [] };
  if (staying(shard).length > volume.object.spec.replicas) return withoutAnother(volume, index, member, trouble, world, traceId);
  if (isCrowded(config, shard)) return note('replacing', `${reason}, when those that are leaving have left`);
  if (isBusyElsewhere(config, index)) return note('replacing', `${reason}, when those of other shards are in sync`);
  const others = staying(shard).filter((other) => other.replica !== member.replica);
  const taken = others.map(({ node }) => node);
  const { places, reasons } = findPlaces(volume, volume.object, index, 1, taken, world);
  const [found] = places ?? [];
  if (!found) return note('replacing', `${reason}, but no node can hold another`, reasons ?? []);
  const next = newMember(world, found.node, found.pool);
  const after: VolumeConfig = withMembers(config, index, [...leavingIn(shard, member), next]);
  const create = filedCreate(world, after, index, next, traceId);
  const done = `${old} (${trouble}) is made anew on ${found.node}`;
  const decision = changed(volume, after, done, `replace ${old} by one on ${found.node}`, world, traceId, create);
  const event = replacedEvent(old, trouble, found.node);
  return { ...decision, actions: [...decision.actions, { kind: 'noteSetback', what, signature: '' }, { kind: 'tell', event }] };
}

/** As `replace`, but few at once over all volumes. */
function replaceInTurn(volume: PlacedVolume, index: number, member: Member, trouble: string, world: World, traceId: string): Decision {
  if (world.replacements.left <= 0) return note('replacing', `${member.node}: ${trouble}; replaced when others are`);
  const decision = replace(volume, index, member, trouble, world, traceId);
  if (decision.actions.length > 0) world.replacements.left--;
  return decision;
}

export const failedStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  const failed = staying(shard).flatMap((member) => {
    const failure = failureOf(member, world);
    return failure === null ? [] : [{ member, failure }];
  });
  const [first] = failed;
  if (!first) return null;
  const hasSound = shard.members.some((member) => isInSync(shard, member) && failureOf(member, world) === null);
  if (hasSound) return replace(volume, index, first.member, first.failure, world, traceId);
  return note('lost', `every replica in sync has failed: ${failed.map(({ member, failure }) => `${member.node}: ${failure}`).join('; ')}`);
});

/** What lies in a quarantined pool holds everything until it fails itself: there is time to do it in turn. */
export const quarantinedStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  for (const member of staying(shard)) {
    const trouble = quarantineOf(member, world);
    if (trouble === null || !shard.members.some((other) => isSound(other, shard, world))) continue;
    if (isOutage(world)) return note('replacing', `${member.node}: ${trouble}; ${OUTAGE_SENTENCE}`);
    return replaceInTurn(volume, index, member, trouble, world, traceId);
  }
  return null;
});

function isLongAway(member: Member, world: World): boolean {
  const sinceMs = world.memory.machineGoneSinceMs.get(member.node);
  const isMaintained = nodeNamed(member.node, world)?.spec?.maintenance ?? false;
  return sinceMs !== undefined && !isMaintained && world.now.monotonicMs - sinceMs >= world.replaceAfterMs;
}

/** Nodes that are to be no part of the cluster any more are nobody's loss. */
export function isOutage({ nodes }: { nodes: readonly { machine: unknown; isRemoved?: boolean }[] }): boolean {
  const counted = nodes.filter(({ machine, isRemoved }) => machine !== null || !isRemoved);
  return counted.filter(({ machine }) => machine === null).length * OUTAGE_SHARE > counted.length;
}

/** Shards with a member that was added and is not in sync yet: what is being replaced now. */
export const replacementsUnderWay = (configs: Iterable<VolumeConfig>): number =>
  [...configs].reduce((sum, config) => sum + resyncsOf(config), 0);

/** A node that is to be no part of the cluster any more, and is silent: what lies there is as good as lost, at once. */
export const removedStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  const lost = staying(shard).find(({ node }) => isGoneForGood(node, world));
  if (!lost) return null;
  const trouble = 'its node is removed for good';
  if (shard.members.some((member) => isSound(member, shard, world))) return replaceInTurn(volume, index, lost, trouble, world, traceId);
  return note('replacing', `${lost.node}: ${trouble}, but no other replica that holds everything can be reached`);
});

/** A node that stays away: after `replaceAfterMs`, never in maintenance, never many at once, never in an outage. */
export const awayStep: Step<PlacedVolume> = overShards((volume, shard, index, world, traceId) => {
  const away = world.replaceAfterMs > 0 ? staying(shard).find((member) => isLongAway(member, world)) : undefined;
  if (!away || !shard.members.some((member) => isSound(member, shard, world))) return null;
  const trouble = `its agent is not heard of for more than ${Math.round(world.replaceAfterMs / 1_000)} s`;
  if (isOutage(world)) return note('replacing', `${away.node}: ${trouble}; ${OUTAGE_SENTENCE}`);
  return replaceInTurn(volume, index, away, trouble, world, traceId);
});
