/** What people see of a snapshot, and are told of it. A pure function of what was observed and decided, and of the status before. */
import type { SnapshotObject } from '../api.ts';
import { toSeconds } from '../conditions.ts';
import type { SnapshotStatus } from '../generated/snapshot.ts';
import { formatExact } from '../quantity.ts';
import { NOTE_LENGTH_MAX, type ObjectEvent } from '../volume/events.ts';
import type { SnapshotDecision, SnapshotState } from './decide.ts';
import type { SnapshotSubject } from './subjects.ts';

const PHASES = {
  waiting: 'Pending',
  blocked: 'Pending',
  taking: 'Taking',
  failing: 'Failed',
  ready: 'Ready',
  deleting: 'Deleting',
  gone: 'Deleting',
} as const satisfies Record<SnapshotDecision['state'], SnapshotStatus['phase']>;

/** What says, as long as etcd does not, that it was ready once. */
const keptOf = ({ size, createdAt, nodes }: SnapshotStatus = {}): SnapshotStatus =>
  createdAt === undefined ? {} : { createdAt, ...(size === undefined ? {} : { size }), ...(nodes === undefined ? {} : { nodes }) };

export function snapshotStatusOf(object: SnapshotObject, { record }: SnapshotSubject, { state, reason }: SnapshotDecision): SnapshotStatus {
  const { generation } = object.metadata;
  const recorded = record?.value;
  return {
    phase: PHASES[state],
    ready: state === 'ready',
    ...(recorded
      ? {
          size: formatExact(recorded.sizeBytes),
          createdAt: toSeconds(recorded.createdAtMs),
          nodes: [...new Set(recorded.replicas.map(({ node }) => node))].sort(),
        }
      : state === 'blocked'
        ? keptOf(object.status)
        : {}),
    ...(state === 'ready' || state === 'taking' ? {} : { error: reason }),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}

export function snapshotEventsOf(before: SnapshotStatus | undefined, after: SnapshotStatus, state: SnapshotState): ObjectEvent[] {
  const note = (after.error ?? '').slice(0, NOTE_LENGTH_MAX);
  if (after.ready && !before?.ready)
    return [{ type: 'Normal', reason: 'SnapshotReady', action: 'Snapshot', note: `${after.size} held by ${after.nodes?.join(', ')}` }];
  if (after.phase === 'Failed' && before?.phase !== 'Failed')
    return [{ type: 'Warning', reason: 'SnapshotFailed', action: 'Snapshot', note }];
  if (state === 'blocked' && before?.error !== after.error) return [{ type: 'Normal', reason: 'SnapshotWaits', action: 'Snapshot', note }];
  return [];
}
