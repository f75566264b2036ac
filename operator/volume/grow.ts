/**
 * Growing: the config says at once how large the volume shall be, where its pools have the room; the primary grows the replicas and offers the new size when
 * every one that counts has it. A volume never shrinks. Pure.
 */
import type { Member, VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import { poolOf, roomReason } from '../placement/checks.ts';
import { formatExact, formatNeeded } from '../quantity.ts';
import { wantedSizeBytes } from './create.ts';
import { act, commit, configPart, type PlacedVolume, type Step, type World } from './decision.ts';

type Growth = { member: Member; moreBytes: number; sizeBytes: number };

function growthOf(config: VolumeConfig, sizeBytes: number): Growth[] {
  const { shards } = config;
  return shards.flatMap(({ members }, index) => {
    const after = shardBytes(sizeBytes, shards.length, index);
    const moreBytes = after - shardBytes(config.sizeBytes, shards.length, index);
    return members.filter(({ leaving }) => !leaving).map((member) => ({ member, moreBytes, sizeBytes: after }));
  });
}

/** A member whose agent is away is not asked: it is thin, and replaced if it stays away. */
function firstWithoutRoom(growths: readonly Growth[], world: World): string | null {
  const asked = new Map<string, { growth: Growth; moreBytes: number }>();
  for (const growth of growths) {
    const key = `${growth.member.node}/${growth.member.pool}`;
    asked.set(key, { growth, moreBytes: (asked.get(key)?.moreBytes ?? 0) + growth.moreBytes });
  }
  for (const [place, { growth, moreBytes }] of asked) {
    const pool = poolOf(world.machines.get(growth.member.node), growth.member.pool);
    const reason = pool && roomReason(growth.member.node, pool, moreBytes, growth.sizeBytes, world);
    if (reason) return `${place}: ${reason}`;
  }
  return null;
}

/** How much larger it shall be than its config says; null: not at all. */
export function wantedGrowthBytes(volume: PlacedVolume): number | null {
  const wanted = wantedSizeBytes(volume.object);
  return wanted !== null && wanted > volume.config.value.sizeBytes ? wanted : null;
}

/** Says in `world` why a volume cannot grow: for its status, whatever else is decided of it. */
export function judgeGrowth(volume: PlacedVolume, world: World): void {
  const wanted = wantedGrowthBytes(volume);
  if (wanted === null) return;
  const { sizeBytes } = volume.config.value;
  const trouble = firstWithoutRoom(growthOf(volume.config.value, wanted), world);
  if (trouble === null) return;
  world.growTroubles.set(volume.uid, `it stays at ${formatExact(sizeBytes)}, ${formatNeeded(wanted)} asked: ${trouble}`);
}

export const growStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const wanted = wantedGrowthBytes(volume);
  if (wanted === null || world.growTroubles.has(volume.uid)) return null;
  const before = volume.config.value;
  for (const { member, moreBytes } of growthOf(before, wanted)) world.ledger.grow(member.node, member.pool, moreBytes);
  const after: VolumeConfig = { ...before, version: before.version + 1, sizeBytes: wanted };
  const part = configPart(world.keys, volume.config, after);
  const operation = `grow from ${formatExact(before.sizeBytes)} to ${formatExact(wanted)}`;
  return act('settling', `it grows to ${formatExact(wanted)}`, commit(operation, traceId, part.conditions, part.changes));
};
