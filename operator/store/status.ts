/** What people are told of etcd: conditions on the operators' Lease, and Events when one changes. Pure. */
import type { Condition } from '../api.ts';
import { conditionOf, conditionsOf, type Judgement } from '../conditions.ts';
import { formatBytes } from '../quantity.ts';
import { NOTE_LENGTH_MAX, type ObjectEvent } from '../volume/events.ts';
import { hasNoSpace, NEARLY_FULL_RATIO, type SeenStore } from './decide.ts';

/** `hasTried`: what could be done about a lack of space has been done. */
type Facts = { seen: SeenStore; acts: boolean; hasTried: boolean };

/** The member that has least room left, and how full it is. */
function fullest({ members, quotas }: SeenStore): { url: string; dbBytes: number; quotaBytes: number } | null {
  let found: { url: string; dbBytes: number; quotaBytes: number } | null = null;
  for (const { url, status } of members) {
    const quotaBytes = status === null ? undefined : quotas.get(status.id);
    if (status === null || quotaBytes === undefined) continue;
    if (found === null || status.dbBytes / quotaBytes > found.dbBytes / found.quotaBytes)
      found = { url, dbBytes: status.dbBytes, quotaBytes };
  }
  return found;
}

const roomOf = (seen: SeenStore): string => {
  const full = fullest(seen);
  return full === null ? '' : ` (${formatBytes(full.dbBytes)} of ${formatBytes(full.quotaBytes)} at ${full.url})`;
};
const NO_SPACE = 'volumes are served as before, but nothing that etcd holds can change: no failover, no new volume, no task';
const WHAT_TO_DO =
  'delete what fills it (keys of others under the same etcd?) or raise --quota-backend-bytes of every member; the alarm is then disarmed here';
const WHERE_THE_QUOTA_IS_NOT_TOLD =
  'etcd does not tell its quota at /metrics: after making room, disarm the alarm by hand (etcdctl alarm disarm)';

const NOT_HERE = 'compact and defragment it, then disarm the alarm: nobody does it here (ETCD_UPKEEP is off)';

function nextOf({ seen, acts, hasTried }: Facts): string {
  if (!acts) return NOT_HERE;
  if (!hasTried) return 'it is being compacted and defragmented';
  const silent = seen.members.filter(({ status }) => status === null).map(({ url }) => url);
  if (silent.length > 0) return `it can only be defragmented while every member answers, and ${silent.join(', ')} gives no answer`;
  if (!seen.isWhole) return 'it can only be defragmented when all its members are named in ETCD_ENDPOINTS';
  return `compacting and defragmenting it won too little: ${seen.quotas.size === 0 ? WHERE_THE_QUOTA_IS_NOT_TOLD : WHAT_TO_DO}`;
}

function writable(facts: Facts): Judgement {
  const type = 'StoreWritable';
  const { seen } = facts;
  if (!hasNoSpace(seen)) return { type, holds: true, reason: 'HasSpace', message: 'etcd has space' };
  return { type, holds: false, reason: 'NoSpace', message: `etcd has no space left${roomOf(seen)}: ${NO_SPACE}; ${nextOf(facts)}` };
}

/** Only said while it is so. */
function nearlyFull({ seen }: Facts): Judgement[] {
  const full = fullest(seen);
  if (full === null || hasNoSpace(seen) || full.dbBytes < NEARLY_FULL_RATIO * full.quotaBytes) return [];
  const message = `etcd's database has nearly reached its quota${roomOf(seen)}: beyond it etcd takes no writes; raise --quota-backend-bytes, or find what fills it`;
  return [{ type: 'StoreNearlyFull', holds: true, reason: 'Quota', message }];
}

/** Only said while it is so. */
function corrupt({ seen }: Facts): Judgement[] {
  const members = seen.alarms.filter(({ kind }) => kind === 'CORRUPT').map(({ member }) => member);
  if (members.length === 0) return [];
  const message = `members of etcd differ from the others: ${members.join(', ')}; take each out and add it anew, empty (etcdctl member remove, member add)`;
  return [{ type: 'StoreCorrupt', holds: true, reason: 'Alarm', message }];
}

export function storeConditions(facts: Facts, before: readonly Condition[], wallMs: number): Condition[] {
  return conditionsOf([writable(facts), ...nearlyFull(facts), ...corrupt(facts)], before, wallMs, undefined);
}

/** The catalogue: when a condition of `type` becomes `status`. */
const EVENTS: readonly { type: string; status: Condition['status']; reason: string; kind: ObjectEvent['type'] }[] = [
  { type: 'StoreWritable', status: 'False', reason: 'StoreNoSpace', kind: 'Warning' },
  { type: 'StoreWritable', status: 'True', reason: 'StoreHasSpace', kind: 'Normal' },
  { type: 'StoreNearlyFull', status: 'True', reason: 'StoreNearlyFull', kind: 'Warning' },
  { type: 'StoreCorrupt', status: 'True', reason: 'StoreCorrupt', kind: 'Warning' },
];

/** Only transitions; that all is well is told only after it was not. */
export function storeEvents(before: readonly Condition[], after: readonly Condition[]): ObjectEvent[] {
  return EVENTS.flatMap(({ type, reason, kind, status }) => {
    const [was, is] = [conditionOf(before, type), conditionOf(after, type)];
    if (is?.status !== status || was?.status === status || (kind === 'Normal' && was === undefined)) return [];
    return [{ reason, type: kind, action: 'Upkeep', note: is.message.slice(0, NOTE_LENGTH_MAX) }];
  });
}
