/** What becomes of a volume's tasks: filed again when nobody does them any more, tried again when a deletion failed, put away when they ended. */
import { hasEnded, refileIfLost, type Task } from '../../core/task.ts';
import { sightingOf, waitMs } from '../observe/memory.ts';
import type { ObservedTask, ObservedVolume } from '../observe/observed.ts';
import {
  type Action,
  act,
  archivedPart,
  commit,
  droppedPart,
  join,
  note,
  type Part,
  rewrittenPart,
  type Step,
  unchanged,
  type World,
} from './decision.ts';
import { isGoneForGood } from './departures.ts';

/** etcd takes 128 operations in a transaction; each task needs at most three. */
const TASKS_PER_TRANSACTION_MAX = 32;
const HISTORY_PER_TRANSACTION_MAX = 100;
/** What made a deletion fail is hardly over sooner. */
const FAILED_DELETE_RETRY_MS = 5_000;

const commitTasks = (operation: string, parts: readonly Part[], traceId: string): Action => {
  const part = join(...parts);
  return commit(operation, traceId, part.conditions, part.changes);
};

/** The claim must still be as it was seen: the views of tasks and claims are two, and one may be ahead of the other. */
function refiled(observed: ObservedTask, world: World): Part | null {
  const next = refileIfLost(observed.task.value, observed.claim?.value ?? null, world.generation);
  if (next === null) return null;
  const claim = observed.claim ? unchanged(observed.claim) : ({ key: world.keys.claim(next.id), is: 'absent' } as const);
  const part = rewrittenPart(observed, next);
  return { ...part, conditions: [...part.conditions, claim] };
}

/**
 * The replica that it should make has been in sync: it was made, whatever became of the task. Filed again it could, on a disk that was exchanged
 * meanwhile, bring an empty replica to life under an id that counts as holding data.
 */
function isMoot(volume: ObservedVolume, { task }: ObservedTask): boolean {
  const { spec } = task.value;
  if (spec.kind !== 'create-replica') return false;
  return (volume.config?.value.shards ?? []).some(({ members, inSync }) =>
    members.some(({ replica, leftAt }) => replica === spec.replica && (leftAt !== undefined || inSync.includes(replica))),
  );
}

export const refileStep: Step<ObservedVolume> = (volume, world, traceId) => {
  const lost = volume.tasks.filter((task) => !isMoot(volume, task));
  const parts = lost.flatMap((task) => refiled(task, world) ?? []).slice(0, TASKS_PER_TRANSACTION_MAX);
  if (parts.length === 0) return null;
  return act('settling', 'tasks whose agent is gone are filed again', commitTasks('file lost tasks again', parts, traceId));
};

/** The same again, as the next attempt. */
export function retried(task: Task, world: World): Task {
  const { error: _, progress: __, ...rest } = task;
  return { ...rest, state: 'filed', attempt: task.attempt + 1, filedBy: world.generation };
}

const isFailedDelete = ({ task }: ObservedTask): boolean => task.value.spec.kind === 'delete-replica' && task.value.state === 'failed';

/** A deletion must end well: what it leaves behind is space that nobody owns. */
export const retryDeleteStep: Step<ObservedVolume> = (volume, world, traceId) => {
  const failed = volume.tasks.find(isFailedDelete);
  if (!failed) return null;
  const task = failed.task.value;
  const what = `task/${task.id}`;
  const reason = `the replica on ${task.node} could not be deleted (${task.error ?? 'no reason given'})`;
  const nowMs = world.now.monotonicMs;
  const failedForMs = nowMs - (world.memory.taskSinceMs.get(sightingOf(task)) ?? nowMs);
  if (failedForMs < FAILED_DELETE_RETRY_MS || waitMs(world.memory, what, '', nowMs) > 0)
    return note('settling', `${reason}; tried again after a while`);
  const action = commitTasks(`delete the replica on ${task.node} again`, [rewrittenPart(failed, retried(task, world))], traceId);
  return act('settling', `${reason}; tried again`, action, { kind: 'noteSetback', what, signature: '' });
};

/** Ended, or its node never comes back, and nothing of what is still to be decided depends on it. One that makes a member is for the step that exchanges it. */
function isOver(volume: ObservedVolume, observed: ObservedTask, world: World): boolean {
  const { task } = observed;
  // Those of snapshots are put away with the snapshot: that they are done is what it waits for.
  if ('snapshot' in task.value.spec) return false;
  if (isMoot(volume, observed) || task.value.state === 'done') return true;
  if (!hasEnded(task.value) && !isGoneForGood(task.value.node, world)) return false;
  const members = volume.config?.value.shards.flatMap((shard) => shard.members) ?? [];
  const { spec } = task.value;
  const isOfMember = 'replica' in spec && members.some(({ replica }) => replica === spec.replica);
  return (spec.kind === 'create-replica' || isGoneForGood(task.value.node, world)) && !isOfMember;
}

const over = (volume: ObservedVolume, world: World): ObservedTask[] =>
  volume.tasks.filter((task) => isOver(volume, task, world)).slice(0, TASKS_PER_TRANSACTION_MAX);

export const archiveStep: Step<ObservedVolume> = (volume, world, traceId) => {
  const parts = over(volume, world).map((task) => archivedPart(world.keys, task));
  return parts.length === 0 ? null : act('settling', 'ended tasks are put away', commitTasks('archive ended tasks', parts, traceId));
};

/** For volumes without a config: what is remembered of their tasks goes before its time. */
export const dropHistoryStep: Step<ObservedVolume> = (volume, _world, traceId) => {
  const changes = volume.history.slice(0, HISTORY_PER_TRANSACTION_MAX).map((key) => ({ delete: key }));
  return changes.length === 0 ? null : act('deleting', 'its history is removed', commit('remove the history', traceId, [], changes));
};

/** For volumes without a config: nothing of them is kept, and nothing is to be made for them any more. */
export const dropStep: Step<ObservedVolume> = (volume, world, traceId) => {
  const creating = volume.tasks.filter(({ task }) => task.value.spec.kind === 'create-replica' && !hasEnded(task.value));
  const parts = [...over(volume, world), ...creating].slice(0, TASKS_PER_TRANSACTION_MAX).map((task) => droppedPart(world.keys, task));
  return parts.length === 0 ? null : act('deleting', 'ended tasks are removed', commitTasks('remove ended tasks', parts, traceId));
};
