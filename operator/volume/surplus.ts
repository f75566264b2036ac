/**
 * Which of more replicas than are asked for goes. There are more because people asked for fewer, or because one is on its way elsewhere: another was added,
 * and when it has everything, one of them goes. Nothing is remembered of such a move: what is so now decides who goes, so the next leader ends it as well.
 *
 *   as asked for --one more is added--> one too many, it is new --in sync--> one too many, all in sync --marked as leaving--> as asked for
 *
 * Who is waited for is not dropped; others go only as far as there are still too many beside them. Pure.
 */
import type { Member, Shard } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import { byLeaving } from '../balance/leaver.ts';
import type { PlacedVolume, World } from './decision.ts';
import { departureOf } from './departures.ts';
import { failureOf, isInSync, isNew, quarantineOf, staying } from './shards.ts';

/** A new replica whose agent is started again goes on where it was; one whose machine stays away for longer is looked for elsewhere. */
export const NEWCOMER_PATIENCE_MS = 60_000;

function mayCome(member: Member, world: World): boolean {
  const sinceMs = world.memory.machineGoneSinceMs.get(member.node);
  const isThere = sinceMs === undefined || world.now.monotonicMs - sinceMs < NEWCOMER_PATIENCE_MS;
  return isThere && failureOf(member, world) === null && quarantineOf(member, world) === null;
}

/**
 * The new one, and where one is to leave whoever else is out of sync: else a copy that is needed would go with it. One that stays away is replaced after a while
 * (awayStep), and then not waited for.
 */
const isAwaited = (shard: Shard, member: Member, departing: readonly Member[], world: World): boolean => {
  if (departing.includes(member) || isInSync(shard, member)) return false;
  return isNew(shard, member) ? mayCome(member, world) : departing.length > 0 && failureOf(member, world) === null;
};

/** What is worth nothing goes first, then what is to be elsewhere, then as the balance has it. */
const groupOf = (shard: Shard, member: Member, departing: readonly Member[], world: World): number => {
  if (!isInSync(shard, member) || !world.machines.has(member.node) || failureOf(member, world) !== null) return 0;
  return departing.includes(member) ? 1 : 2;
};

/** Who goes now, and who is waited for. `used`: where the volume is used. */
export function surplusOf(volume: PlacedVolume, shard: Shard, used: NodeName | null, world: World): { goes: Member[]; awaited: Member[] } {
  const members = staying(shard);
  const departing = members.filter((member) => departureOf(volume, member, world) !== null);
  const awaited = members.filter((member) => isAwaited(shard, member, departing, world));
  const count = Math.max(0, members.length - volume.object.spec.replicas - awaited.length);
  const ranked = byLeaving(shard, volume.object, used, world)
    .filter((member) => !awaited.includes(member))
    .map((member) => ({ member, group: groupOf(shard, member, departing, world) }))
    .sort((a, b) => a.group - b.group);
  return { goes: ranked.slice(0, count).map(({ member }) => member), awaited };
}
