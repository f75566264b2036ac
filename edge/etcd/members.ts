/**
 * How many members of etcd answer right now, quorum or not: for people who want to know how bad it is. Must never be what a decision rests on.
 */
import { systemClock } from '../../core/clock.ts';
import type { Connection, Endpoints } from './endpoints.ts';

export type MembersAnswering = { answering: number; of: number };

const PROBE_MS_MAX = 1_000;

/** A member's own status needs no quorum. */
async function answers({ client }: Connection): Promise<boolean> {
  try {
    await client.maintenance.status({ deadline: systemClock.wallMs() + PROBE_MS_MAX });
    return true;
  } catch {
    // Whatever it says, it does not serve.
    return false;
  }
}

/** Asked by many at once, the members are asked once. */
export function memberProbe(endpoints: Endpoints): () => Promise<MembersAnswering> {
  let underWay: Promise<MembersAnswering> | null = null;
  const probe = async (): Promise<MembersAnswering> => {
    const all = await Promise.all(endpoints.connections.map(answers));
    underWay = null;
    return { answering: all.filter(Boolean).length, of: all.length };
  };
  return () => {
    underWay ??= probe();
    return underWay;
  };
}
