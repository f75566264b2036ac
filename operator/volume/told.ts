/** What metrics tell of one volume: its status in a few words and numbers. Pure. */

import { conditionOf } from '../conditions.ts';
import type { VolumeSpec, VolumeStatus } from '../generated/volume.ts';
import { parseQuantity } from '../quantity.ts';
import { type Phase, phaseOf } from './status.ts';

export type ToldVolume = {
  name: string;
  phase: Phase;
  /** Why it is not ready, or Healthy: one word. */
  reason: string;
  /** Where it is served, or shall be; empty: nowhere. */
  node: string;
  inSync: number;
  replicas: number;
  sizeBytes: number;
  resyncLeftBytes: number;
  unresolvedBlocks: number;
  /** Null: it was never compared as a whole. */
  scrubbedAtSeconds: number | null;
};

const MS_PER_SECOND = 1000;

/** Null: nothing is said of it yet. */
export function toldOf(name: string, spec: VolumeSpec, status: VolumeStatus): ToldVolume | null {
  const phase = phaseOf(status);
  if (phase === null) return null;
  const left = (status.replicas ?? []).map(({ state, progress }) =>
    state === 'Learner' && progress ? Math.max(0, progress.totalBytes - progress.doneBytes) : 0,
  );
  const scrubbed = status.scrub?.lastCompleted;
  return {
    name,
    phase,
    reason: conditionOf(status.conditions, 'Ready')?.reason ?? '',
    node: spec.attachTo ?? '',
    inSync: Number.parseInt(status.inSync ?? '0', 10),
    replicas: spec.replicas,
    sizeBytes: parseQuantity(status.size ?? '') ?? 0,
    resyncLeftBytes: left.reduce((sum, bytes) => sum + bytes, 0),
    unresolvedBlocks: status.scrub?.unresolved ?? 0,
    scrubbedAtSeconds: scrubbed === undefined ? null : Date.parse(scrubbed) / MS_PER_SECOND,
  };
}
