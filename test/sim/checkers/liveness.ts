/** Invariant 9: when faults have stopped, the volume is healthy and clients get answers within a stated time. */
import type { VolumeConfig } from '../../../core/config.ts';
import type { Serving } from '../agentProcess.ts';

/** Virtual time from the end of the faults to a healthy volume, and from the clients' end to rest. */
export const HEALTHY_WITHIN_MS = 60_000;
export const REST_WITHIN_MS = 30_000;

/** Null: healthy. Else what is missing. */
export function illness(config: VolumeConfig, serving: Serving | null): string | null {
  const shard = config.shards[0];
  if (!config.primary) return 'nobody is the primary';
  if (!serving || serving.epoch !== config.epoch) return `the primary of epoch ${config.epoch} does not run`;
  if (!serving.isOpen) return `the socket is closed: ${serving.primary.phase}, ${JSON.stringify(serving.primary.report())}`;
  const missing = shard?.members.filter((member) => !shard.inSync.includes(member.replica)) ?? [];
  if (missing.length > 0) return `not in sync: ${missing.map((member) => member.replica)}, ${JSON.stringify(serving.primary.report())}`;
  const leaving = shard?.members.filter((member) => member.leaving) ?? [];
  return leaving.length > 0 ? `still leaving: ${leaving.map((member) => member.replica)}` : null;
}
