/**
 * How many members of etcd answer right now, quorum or not: for people who want to know how bad it is. Must never be what a decision rests on.
 */
import { systemClock } from '../../core/clock.ts';
import type { Metrics } from '../metrics.ts';
import type { Connection, Endpoints } from './endpoints.ts';

export type MembersAnswering = { answering: number; of: number };

const PROBE_MS_MAX = 1_000;

/** A member's own status needs no quorum. How large its database is on disk; null: whatever it says, it does not serve. */
async function dbBytesOf({ client }: Connection): Promise<number | null> {
  try {
    const { dbSize } = await client.maintenance.status({ deadline: systemClock.wallMs() + PROBE_MS_MAX });
    return Number(dbSize);
  } catch {
    return null;
  }
}

/** Made when somebody asks for the first time: agents never do, and show no numbers that nobody looks after. */
function gauges(metrics: Metrics): (all: readonly (number | null)[]) => void {
  const members = metrics.gauge('etcd_members_count', 'Members of etcd by state, as often as the leader looks', ['state']);
  const db = metrics.gauge('etcd_db_bytes', "The largest of the members' databases on disk; etcd takes no writes beyond its quota");
  return (all) => {
    const answering = all.filter((dbBytes) => dbBytes !== null);
    members.set({ state: 'answering' }, answering.length);
    members.set({ state: 'silent' }, all.length - answering.length);
    if (answering.length > 0) db.set(Math.max(...answering));
  };
}

/** Asked by many at once, the members are asked once. */
export function memberProbe(endpoints: Endpoints, metrics: Metrics | null): () => Promise<MembersAnswering> {
  let tell: ((all: readonly (number | null)[]) => void) | null = null;
  let underWay: Promise<MembersAnswering> | null = null;
  const probe = async (): Promise<MembersAnswering> => {
    const all = await Promise.all(endpoints.connections.map(dbBytesOf));
    underWay = null;
    tell ??= metrics === null ? () => undefined : gauges(metrics);
    tell(all);
    return { answering: all.filter((dbBytes) => dbBytes !== null).length, of: all.length };
  };
  return () => {
    underWay ??= probe();
    return underWay;
  };
}
