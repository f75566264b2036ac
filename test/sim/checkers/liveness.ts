/** Invariant 9: when faults have stopped, the volume is healthy and clients get answers within a stated number of ticks. */
import type { VolumeConfig } from '../../../core/config.ts';
import { type Serving, TICK_MS } from '../agentProcess.ts';

/** From the end of the faults to a healthy volume, and from the clients' end to rest. */
export const HEALTHY_WITHIN_TICKS = 1_200;
export const REST_WITHIN_TICKS = 600;
export const HEALTHY_WITHIN_MS = HEALTHY_WITHIN_TICKS * TICK_MS;
export const REST_WITHIN_MS = REST_WITHIN_TICKS * TICK_MS;

/** Null: healthy. Else what is missing. */
export function illness(config: VolumeConfig, serving: Serving | null): string | null {
  if (!config.primary) return 'nobody is the primary';
  if (!serving || serving.epoch !== config.epoch) return `the primary of epoch ${config.epoch} does not run`;
  const report = () => JSON.stringify(serving.primary.report());
  if (!serving.isOpen) return `the socket is closed: ${serving.primary.phase}, ${report()}`;
  for (const { members, inSync } of config.shards) {
    const missing = members.filter((member) => !inSync.includes(member.replica));
    if (missing.length > 0) return `not in sync: ${missing.map((member) => member.replica)}, ${report()}`;
    const leaving = members.filter((member) => member.leaving);
    if (leaving.length > 0) return `still leaving: ${leaving.map((member) => member.replica)}`;
  }
  if (serving.device.sizeBytes < config.sizeBytes) return `${serving.device.sizeBytes} bytes are offered of ${config.sizeBytes}`;
  return null;
}
