/**
 * Replicas that are as good as lost: their node says that they failed, or has not been heard of for so long that nobody should wait any longer. Another is made,
 * in the same transaction the old one is marked as leaving. Never where no other sound replica holds everything: then people decide.
 */
import type { Member, Shard, VolumeConfig } from '../../core/config.ts';
import { waitMs } from '../observe/memory.ts';
import { filedCreate, findPlaces, newMember } from './create.ts';
import { type Decision, note, type PlacedVolume, type Step, type World } from './decision.ts';
import { replacedEvent } from './events.ts';
import { changed, failureOf, isCrowded, isInSync, shardOf, staying, withMembers } from './members.ts';

/** Every one is a whole resync; more at once would only slow each other, and the volumes' users. */
export const AWAY_REPLACEMENTS_MAX = 8;
/** More nodes away than one in so many is an outage, not a loss: replacing would move everything for nothing. */
const OUTAGE_SHARE = 3;

const isSound = (member: Member, shard: Shard, world: World): boolean =>
  isInSync(shard, member) && world.machines.has(member.node) && failureOf(member, world) === null;

function replace(volume: PlacedVolume, member: Member, trouble: string, world: World, traceId: string): Decision {
  const what = `replace/${volume.uid}/${member.node}`;
  const reason = `the replica on ${member.node} is to be replaced (${trouble})`;
  if (waitMs(world.memory, what, '', world.now.monotonicMs) > 0) return note('replacing', `${reason}, as one before it was: after a while`);
  const shard = shardOf(volume);
  if (isCrowded(shard)) return note('replacing', `${reason}, when those that are leaving have left`);
  const others = staying(shard).filter((other) => other.replica !== member.replica);
  const taken = others.map(({ node }) => node);
  const { places, reasons } = findPlaces(volume, volume.object, 1, taken, world);
  const [found] = places ?? [];
  if (!found) return note('replacing', `${reason}, but no node can hold another`, reasons ?? []);
  const next = newMember(world, found.node, found.pool);
  const members = shard.members.map((other): Member => (other.replica === member.replica ? { ...other, leaving: true } : other));
  const after: VolumeConfig = withMembers(volume.config.value, [...members, next]);
  const operation = `replace the replica on ${member.node} by one on ${found.node}`;
  const create = filedCreate(world, after, next, traceId);
  const decision = changed(
    volume,
    after,
    `the replica on ${member.node} (${trouble}) is made anew on ${found.node}`,
    operation,
    world,
    traceId,
    create,
  );
  const event = replacedEvent(member.node, trouble, found.node);
  return { ...decision, actions: [...decision.actions, { kind: 'noteSetback', what, signature: '' }, { kind: 'tell', event }] };
}

export const failedStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const shard = shardOf(volume);
  const failed = staying(shard).flatMap((member) => {
    const failure = failureOf(member, world);
    return failure === null ? [] : [{ member, failure }];
  });
  const [first] = failed;
  if (!first) return null;
  const hasSound = shard.members.some((member) => isInSync(shard, member) && failureOf(member, world) === null);
  if (hasSound) return replace(volume, first.member, first.failure, world, traceId);
  return note('lost', `every replica in sync has failed: ${failed.map(({ member, failure }) => `${member.node}: ${failure}`).join('; ')}`);
};

function isLongAway(member: Member, world: World): boolean {
  const sinceMs = world.memory.machineGoneSinceMs.get(member.node);
  const isMaintained = world.nodes.find(({ node }) => node === member.node)?.spec?.maintenance ?? false;
  return sinceMs !== undefined && !isMaintained && world.now.monotonicMs - sinceMs >= world.replaceAfterMs;
}

const isOutage = ({ nodes }: World): boolean => nodes.filter(({ machine }) => machine === null).length * OUTAGE_SHARE > nodes.length;

/** Members that were added and are not in sync yet: what is being replaced now. */
export const replacementsUnderWay = (configs: Iterable<VolumeConfig>): number =>
  [...configs].filter(
    ({ shards: [shard] }) =>
      shard && shard.inSync.length > 0 && staying(shard).some((member) => !isInSync(shard, member) && member.leftAt === undefined),
  ).length;

/** A node that stays away: after `replaceAfterMs`, never in maintenance, never many at once, never in an outage. */
export const awayStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const shard = shardOf(volume);
  const away = world.replaceAfterMs > 0 ? staying(shard).find((member) => isLongAway(member, world)) : undefined;
  if (!away || !shard.members.some((member) => isSound(member, shard, world))) return null;
  const trouble = `its agent is not heard of for more than ${Math.round(world.replaceAfterMs / 1_000)} s`;
  if (isOutage(world))
    return note('replacing', `${away.node}: ${trouble}; nothing is replaced while more than a third of the nodes are away`);
  if (world.replacements.left <= 0) return note('replacing', `${away.node}: ${trouble}; replaced when others are`);
  const decision = replace(volume, away, trouble, world, traceId);
  if (decision.actions.length > 0) world.replacements.left--;
  return decision;
};
