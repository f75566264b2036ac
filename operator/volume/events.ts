/**
 * The catalogue of what is told to people as Events: only transitions. Most are found by comparing the status before with the one after: the status stands
 * in the API server, so a new leader does not tell again what the old one told. Those that a status might miss, because it was over too fast, are told
 * with the transaction that made them (`told with a transaction`, below). Pure.
 */

import { conditionOf, isTrue } from '../conditions.ts';
import type { VolumeStatus } from '../generated/volume.ts';

export type EventType = 'Normal' | 'Warning';
/** Of a volume or a snapshot. */
export type ObjectEvent = { type: EventType; reason: string; action: string; note: string };

/** Kubernetes takes at most this much text. */
export const NOTE_LENGTH_MAX = 1_024;

type Change = { before: VolumeStatus; after: VolumeStatus };
type Rule = { reason: string; type: EventType; action: string; note: (change: Change) => string | null };

const messageOf = (status: VolumeStatus, type: string): string => conditionOf(status.conditions, type)?.message ?? '';
const became = ({ before, after }: Change, type: string, status: 'True' | 'False'): boolean =>
  conditionOf(after.conditions, type)?.status === status && conditionOf(before.conditions, type)?.status !== status;
const reached = ({ before, after }: Change, phase: VolumeStatus['phase']): boolean => after.phase === phase && before.phase !== phase;
const reasonOf = (status: VolumeStatus, type: string): string => conditionOf(status.conditions, type)?.reason ?? '';

const unschedulableNote = ({ after }: Change): string => {
  const nodes = (after.unschedulable ?? []).map(({ node, reason }) => `${node}: ${reason}`);
  return [messageOf(after, 'Scheduled'), ...nodes].join('; ');
};

function newlyFailed({ before, after }: Change): string | null {
  const failed = (after.replicas ?? []).filter(
    ({ name, state }) => state === 'Failed' && before.replicas?.find((replica) => replica.name === name)?.state !== 'Failed',
  );
  return failed.length === 0 ? null : failed.map(({ node, reason }) => `the replica on ${node}: ${reason ?? 'no reason given'}`).join('; ');
}

function repairedNote({ before, after }: Change): string | null {
  const [was, is] = [before.scrub?.repaired ?? 0, after.scrub?.repaired ?? 0];
  const found = is === 1 ? '1 block that differed; it is' : `${is} blocks that differed; they are`;
  return is > was ? `comparing the replicas found ${found} as the majority's now` : null;
}

/** These say less, or more, than that it is not available. */
const OTHER_THAN_UNAVAILABLE = ['Attaching', 'PowerLost'];
const isUnavailable = (status: VolumeStatus): boolean =>
  status.phase === 'Unavailable' && !OTHER_THAN_UNAVAILABLE.includes(reasonOf(status, 'Ready'));

/** Less safe than it should be, and not because of people's maintenance. */
const isAlarming = (status: VolumeStatus): boolean => status.phase === 'Degraded' && reasonOf(status, 'Ready') !== 'Maintenance';

/** In the order in which they are told. */
export const VOLUME_EVENTS: readonly Rule[] = [
  {
    reason: 'Scheduled',
    type: 'Normal',
    action: 'Place',
    note: (change) => (became(change, 'Scheduled', 'True') ? messageOf(change.after, 'Scheduled') : null),
  },
  {
    reason: 'Unschedulable',
    type: 'Warning',
    action: 'Place',
    note: (change) =>
      reasonOf(change.after, 'Scheduled') === 'Unschedulable' && reasonOf(change.before, 'Scheduled') !== 'Unschedulable'
        ? unschedulableNote(change)
        : null,
  },
  {
    reason: 'SourceNotReady',
    type: 'Normal',
    action: 'Clone',
    note: (change) =>
      reasonOf(change.after, 'Scheduled') === 'SourceNotReady' && reasonOf(change.before, 'Scheduled') !== 'SourceNotReady'
        ? messageOf(change.after, 'Scheduled')
        : null,
  },
  {
    reason: 'Failed',
    type: 'Warning',
    action: 'Validate',
    note: (change) => (reached(change, 'Failed') ? messageOf(change.after, 'Ready') : null),
  },
  { reason: 'ReplicaFailed', type: 'Warning', action: 'Replace', note: newlyFailed },
  {
    reason: 'Attached',
    type: 'Normal',
    action: 'Promote',
    note: (change) => (became(change, 'Attached', 'True') ? messageOf(change.after, 'Attached') : null),
  },
  {
    reason: 'Detached',
    type: 'Normal',
    action: 'Release',
    note: (change) =>
      isTrue(change.before?.conditions, 'Attached') && reasonOf(change.after, 'Attached') === 'NotAsked'
        ? 'nobody serves it any more'
        : null,
  },
  {
    reason: 'PowerLost',
    type: 'Warning',
    action: 'Serve',
    note: ({ before, after }) =>
      reasonOf(after, 'Ready') === 'PowerLost' && reasonOf(before, 'Ready') !== 'PowerLost' ? messageOf(after, 'Ready') : null,
  },
  {
    reason: 'Unavailable',
    type: 'Warning',
    action: 'Serve',
    note: (change) => (isUnavailable(change.after) && !isUnavailable(change.before) ? messageOf(change.after, 'Ready') : null),
  },
  {
    reason: 'Degraded',
    type: 'Warning',
    action: 'Replicate',
    note: (change) => (isAlarming(change.after) && !isAlarming(change.before) ? messageOf(change.after, 'Ready') : null),
  },
  {
    reason: 'ResizeRefused',
    type: 'Warning',
    action: 'Resize',
    note: (change) => (became(change, 'Resizing', 'False') ? messageOf(change.after, 'Resizing') : null),
  },
  {
    reason: 'Resized',
    type: 'Normal',
    action: 'Resize',
    // Without an epoch the size was asked, and never offered.
    note: ({ before, after }) =>
      before.epoch !== undefined && before.size !== undefined && after.size !== undefined && before.size !== after.size
        ? `${after.size} now, ${before.size} before`
        : null,
  },
  { reason: 'BlocksRepaired', type: 'Warning', action: 'Scrub', note: repairedNote },
  {
    reason: 'BlocksDiffer',
    type: 'Warning',
    action: 'Scrub',
    note: (change) => (became(change, 'Consistent', 'False') ? messageOf(change.after, 'Consistent') : null),
  },
  {
    reason: 'Healthy',
    type: 'Normal',
    action: 'Replicate',
    note: (change) => (reached(change, 'Healthy') ? messageOf(change.after, 'Ready') : null),
  },
];

export function eventsOf(before: VolumeStatus | undefined, after: VolumeStatus): ObjectEvent[] {
  const change = { before: before ?? {}, after };
  return VOLUME_EVENTS.flatMap(({ reason, type, action, note }) => {
    const text = note(change);
    return text === null ? [] : [{ type, reason, action, note: text.slice(0, NOTE_LENGTH_MAX) }];
  });
}

/** Told with a transaction: an agent was gone and another, or the same one started again, takes over. */
export function takeOverEvent(gone: string, next: string, epoch: number): ObjectEvent {
  const again = gone === next;
  return {
    type: 'Warning',
    reason: again ? 'AgentRestarted' : 'FailedOver',
    action: 'Promote',
    note: again
      ? `the agent of ${gone} was started again and is primary of epoch ${epoch}`
      : `${next} takes over from ${gone}, whose agent is gone: epoch ${epoch}`,
  };
}

/** Told when the annotation that asked for it is off the object. */
export const movedEvent = (from: string, to: string): ObjectEvent => ({
  type: 'Normal',
  reason: 'Moved',
  action: 'Move',
  note: `${from} holds none of it any more, ${to} does`,
});

/** Told as the one before. */
export const moveRefusedEvent = (reason: string): ObjectEvent => ({
  type: 'Warning',
  reason: 'MoveRefused',
  action: 'Move',
  note: reason.slice(0, NOTE_LENGTH_MAX),
});

/** Told with a transaction. */
export const replacedEvent = (old: string, failure: string, next: string): ObjectEvent => ({
  type: 'Warning',
  reason: 'ReplicaReplaced',
  action: 'Replace',
  note: `${old} (${failure}) is made anew on ${next}`.slice(0, NOTE_LENGTH_MAX),
});
