/** What a volume may take of the cluster, as its config says it: changed while it is in use, the primary obeys at once. Pure. */
import type { VolumeLimits } from '../../core/config.ts';
import type { VolumeObject } from '../api.ts';
import type { PlacedVolume, Step } from './decision.ts';
import { changed } from './members.ts';

/** Null: none. */
export function limitsOf({ spec }: VolumeObject): VolumeLimits | null {
  const { iops, bytesPerSecond } = spec.limits;
  return iops === 0 && bytesPerSecond === 0 ? null : { iops, bytesPerSecond };
}

const told = (limits: VolumeLimits | null): string => (limits ? `${limits.iops} IOPS, ${limits.bytesPerSecond} B/s (0: none)` : 'none');

export const limitsStep: Step<PlacedVolume> = (volume, world, traceId) => {
  const { limits = null, ...config } = volume.config.value;
  const wanted = limitsOf(volume.object);
  if (limits?.iops === wanted?.iops && limits?.bytesPerSecond === wanted?.bytesPerSecond) return null;
  const after = { ...config, version: config.version + 1, ...(wanted ? { limits: wanted } : {}) };
  return { ...changed(volume, after, `its limits are ${told(wanted)}`, 'change the limits', world, traceId), state: 'settling' };
};
