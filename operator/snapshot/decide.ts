/**
 * What to do about each snapshot: pure, at most one transaction a pass, as for volumes.
 *
 *   wanted:     (nothing) --task at the primary--> taking --the agent records it--> ready
 *   unwanted:   delete tasks at every pool that may have something of it --done--> the record goes --> the finalizer, or the tasks, go
 *
 * A snapshot that is recorded exists, on the replicas named there, whatever becomes of its volume. Garbage of attempts that came to nothing is deleted with it.
 */
import type { NodeName } from '../../core/ids.ts';
import { deleteSnapshotTaskId } from '../../core/keys.ts';
import { hasEnded } from '../../core/task.ts';
import { traceIdFrom } from '../../core/trace.ts';
import { SNAPSHOT_FINALIZER, TRACEPARENT_ANNOTATION } from '../api.ts';
import type { ObservedTask } from '../observe/observed.ts';
import {
  type Action,
  commit,
  droppedPart,
  filedPart,
  join,
  type Part,
  rewrittenPart,
  unchanged,
  unchangedConfig,
  type World,
} from '../volume/decision.ts';
import { isGoneForGood } from '../volume/departures.ts';
import { allMembers } from '../volume/shards.ts';
import { retried } from '../volume/tasks.ts';
import { isWanted, type SnapshotSubject } from './subjects.ts';
import { askedAt, isRetryDue, isSourceGone, retrySetback, takeReason, takerOf, takeTaskOf, takeTrouble } from './take.ts';

/** waiting: for something that comes. blocked: somebody has to change something, or wait for long. */
export type SnapshotState = 'waiting' | 'blocked' | 'taking' | 'failing' | 'ready' | 'deleting' | 'gone';
export type SnapshotDecision = { state: SnapshotState; reason: string; actions: readonly Action[] };

/** etcd takes 128 operations in a transaction; each task needs at most two. */
const TASKS_PER_TRANSACTION_MAX = 32;

const say = (state: SnapshotState, reason: string, ...actions: Action[]): SnapshotDecision => ({ state, reason, actions });
const commitParts = (operation: string, traceId: string, parts: readonly Part[]): Action => {
  const { conditions, changes } = join(...parts);
  return commit(operation, traceId, conditions, changes);
};

function againAfterAWhile(observed: ObservedTask, what: string, reason: string, world: World, traceId: string): SnapshotDecision {
  const task = observed.task.value;
  if (!isRetryDue(task, world)) return say('deleting', `${reason}; tried again after a while`);
  const again = commitParts(what, traceId, [rewrittenPart(observed, retried(task, world))]);
  return say('deleting', `${reason}; tried again`, again, retrySetback(task));
}

function take(subject: SnapshotSubject, world: World, traceId: string): SnapshotDecision {
  const observed = takeTaskOf(subject);
  const trouble = takeTrouble(subject, world);
  if (trouble !== null) {
    if (observed === null || !isSourceGone(subject)) return say('blocked', trouble);
    return say(
      'blocked',
      trouble,
      commitParts('drop the task of a snapshot that cannot be taken', traceId, [droppedPart(world.keys, observed)]),
    );
  }
  const taker = takerOf(subject, world);
  const { source } = subject;
  if ('problem' in taker || !source?.config) return say('waiting', takeReason(subject, world));
  const asking = askedAt(subject, taker.node, world, traceId);
  const state = observed?.task.value.state === 'failed' ? 'failing' : 'taking';
  if (asking === null || asking.part === null) return say(state, takeReason(subject, world));
  const same: Part = { conditions: unchangedConfig(source.config), changes: [] };
  const action = commitParts(`take a snapshot at ${taker.node}`, traceId, [same, asking.part]);
  return say(state, `${taker.node} is taking it`, action, ...asking.setbacks);
}

function keep(subject: SnapshotSubject, world: World, traceId: string): SnapshotDecision {
  const over = subject.tasks.filter(({ task }) => task.value.spec.kind === 'snapshot');
  const nodes = [...new Set(subject.record?.value.replicas.map(({ node }) => node))].join(', ');
  if (over.length === 0) return say('ready', `held by ${nodes}`);
  return say(
    'ready',
    `held by ${nodes}`,
    commitParts(
      'put the task away',
      traceId,
      over.map((task) => droppedPart(world.keys, task)),
    ),
  );
}

/** Pools that may have something of it: of the volume's members, and of whoever held a replica when it was taken. */
function poolsOf({ record, source }: SnapshotSubject): Map<string, { node: NodeName; pool: string }> {
  const members = source?.config ? allMembers(source.config.value) : [];
  return new Map([...(record?.value.replicas ?? []), ...members].map(({ node, pool }) => [`${node}/${pool}`, { node, pool }]));
}

/** Nobody who asks for it is there: before anything is deleted, the API server itself says whether that is so. */
const confirmed = ({ object, clone, uid }: SnapshotSubject): Action[] =>
  object === null && clone === null ? [{ kind: 'confirmNobodyWants', uid }] : [];

function fileDeletes(subject: SnapshotSubject, world: World, traceId: string): SnapshotDecision | null {
  const { record, source, object, uid, tasks } = subject;
  const of = record !== null || tasks.length > 0 || object !== null ? source : null;
  if (of === null) return null;
  const takes = tasks.filter(({ task }) => task.value.spec.kind === 'snapshot');
  if (record === null && object === null && takes.length === 0) return null;
  const parts = [...poolsOf(subject).values()].flatMap(({ node, pool }) => {
    const id = deleteSnapshotTaskId(uid, node, pool);
    if (tasks.some(({ task }) => task.value.id === id)) return [];
    return filedPart(world, id, node, { kind: 'delete-snapshot', volume: of.uid, snapshot: uid, pool }, traceId);
  });
  const all = [...takes.map((task) => droppedPart(world.keys, task)), ...parts].slice(0, TASKS_PER_TRANSACTION_MAX);
  if (all.length === 0) return null;
  return say('deleting', 'its parts are being deleted', ...confirmed(subject), commitParts('delete the parts of a snapshot', traceId, all));
}

const isMine = ({ object }: SnapshotSubject): boolean => object?.metadata.finalizers?.includes(SNAPSHOT_FINALIZER) ?? false;

/** Unwanted, and every agent that lives has deleted what it had. */
function forget(subject: SnapshotSubject, world: World, traceId: string): SnapshotDecision {
  const { record, tasks } = subject;
  const isOver = ({ task }: ObservedTask): boolean => hasEnded(task.value) || isGoneForGood(task.value.node, world);
  const ended = isMine(subject) ? [] : tasks.filter(isOver).slice(0, TASKS_PER_TRANSACTION_MAX);
  const dropped = ended.map((task) => droppedPart(world.keys, task));
  if (record !== null) {
    const gone: Part = { conditions: [unchanged(record)], changes: [{ delete: record.key }] };
    return say('deleting', 'its parts are deleted', ...confirmed(subject), commitParts('delete the snapshot', traceId, [gone, ...dropped]));
  }
  if (isMine(subject)) return say('deleting', 'all of it is deleted', { kind: 'removeFinalizer' });
  if (dropped.length > 0) return say('gone', 'all of it is deleted', commitParts('put the tasks of a snapshot away', traceId, dropped));
  return say('gone', 'nothing is left of it');
}

function undo(subject: SnapshotSubject, world: World, traceId: string): SnapshotDecision {
  if (subject.isInUse) return say('deleting', 'kept until the volumes that start from it are made');
  const filing = fileDeletes(subject, world, traceId);
  if (filing !== null) return filing;
  const failed = subject.tasks.find(({ task }) => task.value.state === 'failed');
  if (failed) {
    const { node, error } = failed.task.value;
    const reason = `what ${node} has of it could not be deleted (${error ?? 'no reason given'})`;
    return againAfterAWhile(failed, 'delete the parts of a snapshot again', reason, world, traceId);
  }
  const waiting = subject.tasks.filter(({ task }) => !hasEnded(task.value) && world.machines.has(task.value.node));
  if (waiting.length > 0) return say('deleting', `${waiting.map(({ task }) => task.value.node).join(', ')} has still to delete its part`);
  return forget(subject, world, traceId);
}

/** It was ready, and etcd has no record of it: the store was lost. Taken anew it would be of another time. */
const isUnrecorded = ({ object, record }: SnapshotSubject): boolean => record === null && object?.status?.createdAt !== undefined;
const UNRECORDED =
  'etcd has no record of it, and it was ready before: the store was lost; its parts are left as they are until recover has rebuilt it';

export function decideSnapshot(subject: SnapshotSubject, world: World): SnapshotDecision {
  const { object } = subject;
  const traceId = traceIdFrom(object?.metadata.annotations?.[TRACEPARENT_ANNOTATION], world.random);
  if (!isWanted(subject)) return undo(subject, world, traceId);
  if (object !== null && !isMine(subject)) return say('waiting', 'waits for its finalizer', { kind: 'addFinalizer' });
  if (isUnrecorded(subject)) return say('blocked', UNRECORDED);
  return subject.record === null ? take(subject, world, traceId) : keep(subject, world, traceId);
}

export const decideSnapshots = (world: World): Map<string, SnapshotDecision> =>
  new Map([...world.snapshots.byUid].map(([uid, subject]) => [uid, decideSnapshot(subject, world)]));
