/**
 * What becomes of a volume's tasks: filed again when nobody does them any more or nothing comes of them, tried again when a deletion failed, put away when they
 * ended. Whatever is filed again is the next attempt: what a former one still ends changes nothing, for its claim is gone.
 */
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

/** A claim may stand and nothing come of it: the agent lives, and what it does hangs. Deleting and sharing blocks are single calls of the disk's, seconds each. */
export const TASK_PATIENCE_MS = 600_000;
const NAMED_MAX = 3;

/** Under the trace of the tasks, where it is one: what became of a request can be followed by it. */
const commitTasks = (operation: string, tasks: readonly ObservedTask[], parts: readonly Part[], traceId: string): Action => {
  const part = join(...parts);
  const named = tasks.slice(0, NAMED_MAX).map(({ task: { value } }) => `${value.id} of ${value.node} (attempt ${value.attempt})`);
  const more = tasks.length > NAMED_MAX ? ` and ${tasks.length - NAMED_MAX} more` : '';
  const traces = new Set(tasks.map(({ task }) => task.value.traceId));
  const [only] = traces;
  return commit(
    `${operation}: ${named.join(', ')}${more}`,
    only !== undefined && traces.size === 1 ? only : traceId,
    part.conditions,
    part.changes,
  );
};

/** The claim must still be as it was seen: the views of tasks and claims are two, and one may be ahead of the other. */
function refiled(observed: ObservedTask, world: World): Part | null {
  const task = observed.task.value;
  const next =
    refileIfLost(task, observed.claim?.value ?? null, world.generation) ?? (isOverdue(task, world) ? retried(task, world) : null);
  if (next === null) return null;
  const key = world.keys.claim(next.id);
  const claim = observed.claim ? unchanged(observed.claim) : ({ key, is: 'absent' } as const);
  const part = rewrittenPart(observed, next);
  // With the claim: what the attempt that hangs still ends does not count.
  return { conditions: [...part.conditions, claim], changes: [...part.changes, ...(observed.claim ? [{ delete: key }] : [])] };
}

/** Running for too long, as far as this leader has seen: the next one waits as long again. */
function isOverdue(task: Task, world: World): boolean {
  const sinceMs = world.memory.taskSinceMs.get(sightingOf(task));
  return task.state === 'running' && sinceMs !== undefined && world.now.monotonicMs - sinceMs >= TASK_PATIENCE_MS;
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
  const lost = volume.tasks
    .filter((task) => !isMoot(volume, task))
    .flatMap((task) => {
      const part = refiled(task, world);
      return part === null ? [] : [{ task, part }];
    })
    .slice(0, TASKS_PER_TRANSACTION_MAX);
  if (lost.length === 0) return null;
  const [tasks, parts] = [lost.map(({ task }) => task), lost.map(({ part }) => part)];
  const reason = 'tasks whose agent is gone, or of which nothing comes, are filed again';
  return act('settling', reason, commitTasks('file lost tasks again', tasks, parts, traceId));
};

/** The same again, as the next attempt. */
export function retried(task: Task, world: World): Task {
  const { error: _, ...rest } = task;
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
  const action = commitTasks(`delete the replica on ${task.node} again`, [failed], [rewrittenPart(failed, retried(task, world))], traceId);
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
  const ended = over(volume, world);
  const parts = ended.map((task) => archivedPart(world.keys, task));
  return ended.length === 0 ? null : act('settling', 'ended tasks are put away', commitTasks('archive ended tasks', ended, parts, traceId));
};

/** For volumes without a config: what is remembered of their tasks goes before its time. */
export const dropHistoryStep: Step<ObservedVolume> = (volume, _world, traceId) => {
  const changes = volume.history.slice(0, HISTORY_PER_TRANSACTION_MAX).map((key) => ({ delete: key }));
  return changes.length === 0 ? null : act('deleting', 'its history is removed', commit('remove the history', traceId, [], changes));
};

/** For volumes without a config: nothing of them is kept, and nothing is to be made for them any more. */
export const dropStep: Step<ObservedVolume> = (volume, world, traceId) => {
  const creating = volume.tasks.filter(({ task }) => task.value.spec.kind === 'create-replica' && !hasEnded(task.value));
  const ended = [...over(volume, world), ...creating].slice(0, TASKS_PER_TRANSACTION_MAX);
  const parts = ended.map((task) => droppedPart(world.keys, task));
  return ended.length === 0 ? null : act('deleting', 'ended tasks are removed', commitTasks('remove ended tasks', ended, parts, traceId));
};
