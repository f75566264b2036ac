/** What people see of the comparing of a volume's replicas. Pure. */
import type { VolumeConfig } from '../../core/config.ts';
import { extentCount, shardBytes } from '../../core/extent.ts';
import type { ScrubState } from '../../core/scrub.ts';
import { toSeconds } from '../conditions.ts';
import type { VolumeStatusScrub } from '../generated/volume.ts';

/** Shard after shard, each in the order of its extents. Never 100 before it has ended. */
function percentOf({ position, endedAtMs }: ScrubState, { shards, sizeBytes }: VolumeConfig): number {
  if (endedAtMs !== null) return 100;
  const extents = shards.map((_, index) => extentCount(shardBytes(sizeBytes, shards.length, index)));
  const done = extents.slice(0, position.shard).reduce((sum, count) => sum + count, position.extent);
  return Math.min(99, Math.floor((100 * done) / Math.max(1, extentCount(sizeBytes))));
}

/** `before`: which knows when the one before this one ended. */
export function scrubOf(scrub: ScrubState, config: VolumeConfig, before: VolumeStatusScrub | undefined): VolumeStatusScrub {
  const lastCompleted = scrub.endedAtMs === null ? before?.lastCompleted : toSeconds(scrub.endedAtMs);
  return {
    position: `${percentOf(scrub, config)}%`,
    ...(lastCompleted === undefined ? {} : { lastCompleted }),
    repaired: scrub.repairedBlocks,
    unresolved: scrub.unresolvedBlocks,
  };
}
