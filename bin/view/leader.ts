/** What the leader tells of itself on its Lease, as far as it can be read: another version may have written it. Pure. */
import { LEADER_ANNOTATION, type LeaderFacts } from '../../operator/election/facts.ts';
import type { PlacementLimits } from '../../operator/placement/checks.ts';
import type { Lease } from '../kube.ts';

/** Every part may be missing. */
export type KnownFacts = Partial<LeaderFacts>;

export function leaderFacts(lease: Lease | null): KnownFacts {
  try {
    const parsed: unknown = JSON.parse(lease?.metadata.annotations?.[LEADER_ANNOTATION] ?? '{}');
    return typeof parsed === 'object' && parsed !== null ? (parsed as KnownFacts) : {};
  } catch {
    // Written by another version: what cannot be read is not known.
    return {};
  }
}

const RATIOS = ['overProvisioningRatio', 'reserveRatio', 'pressureRatio'] as const;

/** Null: it does not tell them, or not all. */
export function limitsOf({ limits }: KnownFacts): PlacementLimits | null {
  return limits !== undefined && limits !== null && RATIOS.every((name) => Number.isFinite(limits[name])) ? limits : null;
}
