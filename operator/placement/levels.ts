/** How near each pool is to what ends placement there: for alarms, before people are told that a volume fits nowhere. Pure. */
import type { NodeName } from '../../core/ids.ts';
import type { PlacementLimits, PlacementNode } from './checks.ts';
import { usableBytes } from './checks.ts';
import type { Ledger } from './ledger.ts';

/** overProvisioning: no more may be promised. pressure: nothing new is placed. reserve: it is full, as far as anybody may fill it. */
export const POOL_LIMITS = ['overProvisioning', 'pressure', 'reserve'] as const;
export type PoolLimit = (typeof POOL_LIMITS)[number];
/** `ratio`: of what may be promised or used; 1 is the limit. */
export type PoolLevel = { node: NodeName; pool: string; limit: PoolLimit; level: 'near' | 'reached'; ratio: number };

const NEAR_RATIO = 0.9;

/** What is neither near nor reached is left out, and what is quarantined: its size may be unknown, and nothing is placed there anyway. */
export function poolLevels(nodes: readonly PlacementNode[], ledger: Ledger, limits: PlacementLimits): PoolLevel[] {
  return nodes.flatMap(({ node, machine }) =>
    (machine?.pools ?? []).flatMap((pool) => {
      if (pool.state !== 'ready') return [];
      const usable = Math.max(1, usableBytes(pool, limits));
      const capacity = Math.max(1, pool.capacityBytes);
      const shares = {
        overProvisioning: ledger.allocatedBytes(node, pool.name, pool.allocatedBytes) / (usable * limits.overProvisioningRatio),
        pressure: pool.usedBytes / (capacity * limits.pressureRatio),
        reserve: pool.usedBytes / usable,
      };
      return POOL_LIMITS.flatMap((limit): PoolLevel[] => {
        const ratio = shares[limit];
        return ratio < NEAR_RATIO ? [] : [{ node, pool: pool.name, limit, level: ratio >= 1 ? 'reached' : 'near', ratio }];
      });
    }),
  );
}
