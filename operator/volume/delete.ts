/**
 * How a volume goes: first nobody may write to it, then its config gives way to one delete task a replica, in one transaction, and only when those that can
 * be done are done does the object vanish. Nothing of it stays in etcd but tasks for machines that are away (they are done when those come back), and for a day that it was
 * deleted.
 */
import { createTaskId, deleteTaskId } from '../../core/keys.ts';
import { hasEnded } from '../../core/task.ts';
import { FINALIZER } from '../api.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import { filedDelete, taskOf } from './create.ts';
import {
  type Action,
  act,
  commit,
  type Decision,
  deletedPart,
  droppedPart,
  join,
  note,
  type Part,
  removedConfigPart,
  type Step,
  unchangedConfig,
  type World,
} from './decision.ts';
import { fence, isAlive, isReleaseOverdue, RELEASE_PATIENCE_MS, setMode } from './primary.ts';
import { allMembers } from './shards.ts';
import { dropHistoryStep, dropStep, refileStep, retryDeleteStep } from './tasks.ts';

type WithConfig = ObservedVolume & { config: NonNullable<ObservedVolume['config']> };

/** With three operations each, beside the config and a pointer to each of its nodes, still in one transaction. */
const MEMBERS_PER_TRANSACTION_MAX = 10;

/**
 * Of a volume with many members the delete tasks are filed first, some at a time, while the config still names them; a crash in between goes on here. Nobody
 * writes any more, and a volume that is being deleted never comes back.
 */
function removeConfig(volume: WithConfig, world: World, traceId: string): Decision {
  const { value: config } = volume.config;
  const left = allMembers(config).flatMap((member) => {
    const create = taskOf(volume, createTaskId(member.replica));
    const isFiled = taskOf(volume, deleteTaskId(member.replica)) !== null;
    if (isFiled && !create) return [];
    return [join(...(create ? [droppedPart(world.keys, create)] : []), ...(isFiled ? [] : [filedDelete(world, config, member, traceId)]))];
  });
  const isLast = left.length <= MEMBERS_PER_TRANSACTION_MAX;
  const same: Part = { conditions: unchangedConfig(volume.config), changes: [] };
  const scrub: Part = { conditions: [], changes: [{ delete: world.keys.scrub(config.uid) }] };
  const part = join(
    isLast ? join(removedConfigPart(world.keys, volume.config), scrub, deletedPart(world, config.uid, traceId)) : same,
    ...left.slice(0, MEMBERS_PER_TRANSACTION_MAX),
  );
  return act('deleting', 'its replicas are being deleted', commit(`delete ${config.name}`, traceId, part.conditions, part.changes));
}

/** An agent that lives lets go by itself: its clients' last writes are settled, its socket is closed. */
function withConfig(volume: WithConfig, world: World, traceId: string): Decision {
  const { primary } = volume.config.value;
  if (primary === null) return removeConfig(volume, world, traceId);
  if (!isAlive(primary, world)) return fence(volume, `the agent of ${primary.node} is gone, it may not write any more`, world, traceId);
  if (primary.mode === 'release') {
    if (!isReleaseOverdue(volume.config.value, world)) return note('deleting', `${primary.node} is letting go`);
    return fence(volume, `${primary.node} did not let go in ${RELEASE_PATIENCE_MS / 1_000} s, it may not write any more`, world, traceId);
  }
  return setMode(volume, 'release', 'deleting', `${primary.node} lets go`, world, traceId);
}

const hasConfig = (volume: ObservedVolume): volume is WithConfig => volume.config !== null;

/** Null: nothing that can be done now is left to do. */
function leftovers(volume: ObservedVolume, world: World, traceId: string): Decision | null {
  for (const step of [refileStep, retryDeleteStep, dropStep, dropHistoryStep]) {
    const decision = step(volume, world, traceId);
    if (decision !== null) return { ...decision, state: 'deleting' };
  }
  const waiting = volume.tasks.filter(
    ({ task }) => !('snapshot' in task.value.spec) && !hasEnded(task.value) && world.machines.has(task.value.node),
  );
  if (waiting.length === 0) return null;
  return note('deleting', `${waiting.map(({ task }) => task.value.node).join(', ')} has still to delete its replica`);
}

/** For an object that somebody asked to delete. */
export const deletionStep: Step<ObservedVolume> = (volume, world, traceId) => {
  if (hasConfig(volume)) return withConfig(volume, world, traceId);
  const left = leftovers(volume, world, traceId);
  if (left !== null) return left;
  if (!volume.object?.metadata.finalizers?.includes(FINALIZER)) return note('gone', 'all of it is deleted');
  const end: Action = { kind: 'removeFinalizer' };
  // Perhaps etcd had lost its config before anybody wanted it gone: whoever serves it still shall know that it is over.
  if ((volume.object.status?.epoch ?? 0) === 0) return act('deleting', 'all of it is deleted', end);
  const { conditions, changes } = deletedPart(world, volume.uid, traceId);
  return act('deleting', 'all of it is deleted', commit(`bury ${volume.object.metadata.name}`, traceId, conditions, changes), end);
};

/**
 * For what is left in etcd of an object that is not there: somebody removed the finalizer by force. The view may be wrong, so before anything is
 * taken away the API server itself is asked.
 */
export const orphanStep: Step<ObservedVolume> = (volume, world, traceId) => {
  if (!hasConfig(volume)) return leftovers(volume, world, traceId) ?? note('gone', 'tasks wait for machines that are away');
  const decision = withConfig(volume, world, traceId);
  if (decision.actions.length === 0) return decision;
  return { ...decision, actions: [{ kind: 'confirmAbsent', name: volume.config.value.name }, ...decision.actions] };
};
