/** The catalogue of what is told to people of nodes: only transitions, found by comparing the status before with the one after, as those of volumes. Pure. */
import { conditionOf, isTrue } from '../conditions.ts';
import type { StorageNodeStatus } from '../generated/storagenode.ts';
import { NOTE_LENGTH_MAX, type ObjectEvent } from '../volume/events.ts';

type Change = { before: StorageNodeStatus; after: StorageNodeStatus };
type Rule = Omit<ObjectEvent, 'note'> & { note: (change: Change) => string | null };

const messageOf = ({ conditions }: StorageNodeStatus, type: string): string => conditionOf(conditions, type)?.message ?? '';
const reasonOf = ({ conditions }: StorageNodeStatus, type: string): string => conditionOf(conditions, type)?.reason ?? '';
const became = ({ before, after }: Change, type: string): boolean => isTrue(after.conditions, type) && !isTrue(before.conditions, type);
/** The message where a condition has this reason and had another. */
const began =
  (type: string, reason: string) =>
  ({ before, after }: Change): string | null =>
    reasonOf(after, type) === reason && reasonOf(before, type) !== reason ? messageOf(after, type) : null;

function newlyQuarantined({ before, after }: Change): string | null {
  const was = new Set((before.pools ?? []).filter(({ state }) => state === 'Quarantined').map(({ name }) => name));
  const pools = (after.pools ?? []).filter(({ name, state }) => state === 'Quarantined' && !was.has(name));
  return pools.length === 0 ? null : pools.map(({ name, reason }) => `pool ${name}: ${reason ?? 'no reason given'}`).join('; ');
}

/** In the order in which they are told. A node in maintenance has `Ready` False for that reason: nobody is called for it. */
export const NODE_EVENTS: readonly Rule[] = [
  { reason: 'NodeAway', type: 'Warning', action: 'Watch', note: began('Ready', 'NotHeardOf') },
  {
    reason: 'NodeBack',
    type: 'Normal',
    action: 'Watch',
    note: (change) =>
      reasonOf(change.before, 'Ready') === 'NotHeardOf' && became(change, 'Ready') ? messageOf(change.after, 'Ready') : null,
  },
  {
    reason: 'NodeOutOfService',
    type: 'Warning',
    action: 'Taint',
    note: (change) => (became(change, 'OutOfService') ? messageOf(change.after, 'OutOfService') : null),
  },
  {
    reason: 'NodeInService',
    type: 'Normal',
    action: 'Taint',
    note: ({ before, after }) =>
      isTrue(before.conditions, 'OutOfService') && !isTrue(after.conditions, 'OutOfService') ? 'its Node is not tainted any more' : null,
  },
  { reason: 'PoolQuarantined', type: 'Warning', action: 'Watch', note: newlyQuarantined },
  {
    reason: 'PoolNearlyFull',
    type: 'Warning',
    action: 'Watch',
    note: (change) => (became(change, 'PoolNearlyFull') ? messageOf(change.after, 'PoolNearlyFull') : null),
  },
  {
    reason: 'SettingsBehind',
    type: 'Warning',
    action: 'Watch',
    note: (change) => (became(change, 'SettingsBehind') ? messageOf(change.after, 'SettingsBehind') : null),
  },
  { reason: 'EvictionBlocked', type: 'Warning', action: 'Evict', note: began('Evicted', 'Blocked') },
  {
    reason: 'Evicted',
    type: 'Normal',
    action: 'Evict',
    note: (change) => (became(change, 'Evicted') ? messageOf(change.after, 'Evicted') : null),
  },
  { reason: 'RemovalRefused', type: 'Warning', action: 'Remove', note: began('Removed', 'LastReplica') },
];

export function nodeEventsOf(before: StorageNodeStatus | undefined, after: StorageNodeStatus): ObjectEvent[] {
  const change = { before: before ?? {}, after };
  return NODE_EVENTS.flatMap(({ reason, type, action, note }) => {
    const text = note(change);
    return text === null ? [] : [{ reason, type, action, note: text.slice(0, NOTE_LENGTH_MAX) }];
  });
}
