/** Whether a snapshot can be taken now, and why not: ordered checks, each a sentence or nothing. Pure. */
import { isFresh, type VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import { snapshotTaskId } from '../../core/keys.ts';
import { hasEnded, type Task } from '../../core/task.ts';
import { sightingOf, waitMs } from '../observe/memory.ts';
import type { ObservedTask } from '../observe/observed.ts';
import { poolOf } from '../placement/checks.ts';
import { type Action, filedPart, type Part, rewrittenPart, unchanged, type World } from '../volume/decision.ts';
import { isInSync } from '../volume/shards.ts';
import { retried } from '../volume/tasks.ts';
import { isWanted, type SnapshotSubject } from './subjects.ts';

/** Every replica in sync has to share its blocks with the snapshot; a slow copy in silence is not what was asked for. */
function unsupportedPool({ shards }: VolumeConfig, world: World): string | null {
  for (const shard of shards) {
    for (const member of shard.members) {
      const pool = poolOf(world.machines.get(member.node), member.pool);
      if (isInSync(shard, member) && pool && !pool.reflink)
        return `snapshots: unsupported on pool ${member.node}/${member.pool} (its file system cannot share blocks)`;
    }
  }
  return null;
}

/** Nothing more can be made of a volume that is gone or goes. */
export const isSourceGone = ({ source }: SnapshotSubject): boolean =>
  !source?.object || source.object.metadata.deletionTimestamp !== undefined;

/** Why it cannot even be tried; null: it can. */
export function takeTrouble(subject: SnapshotSubject, world: World): string | null {
  const { source, volumeName } = subject;
  if (!source?.object) return `there is no Volume ${volumeName}`;
  if (isSourceGone(subject)) return `Volume ${volumeName} is being deleted`;
  if (source.damage !== null) return `Volume ${volumeName} cannot be read: ${source.damage}`;
  const config = source.config?.value;
  if (!config || isFresh(config)) return `Volume ${volumeName} is not made yet`;
  return unsupportedPool(config, world);
}

export const takeTaskOf = ({ tasks }: SnapshotSubject) => tasks.find(({ task }) => task.value.spec.kind === 'snapshot') ?? null;

/** The primary that can be asked now, or why there is none. */
export function takerOf({ source }: SnapshotSubject, world: World): { node: NodeName } | { problem: string } {
  const primary = source?.config?.value.primary ?? null;
  if (primary === null) return { problem: 'waits for a primary' };
  if (world.machines.get(primary.node)?.instance !== primary.instance) return { problem: `the agent of ${primary.node} is gone` };
  return primary.mode === 'release' ? { problem: `${primary.node} is letting go, the next primary is asked` } : { node: primary.node };
}

/** Why it is not there yet, for people. */
export function takeReason(subject: SnapshotSubject, world: World): string {
  const trouble = takeTrouble(subject, world);
  if (trouble !== null) return trouble;
  const task = takeTaskOf(subject)?.task.value;
  if (task?.state === 'failed') return `${task.error ?? 'it could not be taken'}; tried again after a while`;
  const taker = takerOf(subject, world);
  return 'problem' in taker ? taker.problem : `${taker.node} is taking it`;
}

/** So that what failed is not tried again at once. */
const FIRST_RETRY_MS = 2_000;
/** The task ended well, and the record has not been seen: the view is behind, or somebody removed it. */
const RECORD_PATIENCE_MS = 10_000;

const setbackOf = (task: Task): string => `task/${task.id}`;
export const retrySetback = (task: Task): Action => ({ kind: 'noteSetback', what: setbackOf(task), signature: '' });

/** An ended task that did not lead anywhere: tried again at growing intervals. */
export function isRetryDue(task: Task, world: World): boolean {
  const { memory, now } = world;
  const endedForMs = now.monotonicMs - (memory.taskSinceMs.get(sightingOf(task)) ?? now.monotonicMs);
  const patienceMs = task.state === 'done' ? RECORD_PATIENCE_MS : FIRST_RETRY_MS;
  return endedForMs >= patienceMs && waitMs(memory, setbackOf(task), '', now.monotonicMs) === 0;
}

/** At another node as the next attempt: what the agent of the former primary still does of it is not recorded. */
function movedPart({ task }: ObservedTask, node: NodeName, world: World): Part {
  const key = world.keys.task(node, task.value.id);
  const next: Task = { ...retried(task.value, world), node };
  return {
    conditions: [unchanged(task), { key, is: 'absent' }],
    changes: [{ delete: task.key }, { delete: world.keys.claim(task.value.id) }, { put: key, value: JSON.stringify(next) }],
  };
}

/** What has to be written so that this node takes it. `part` null: nothing, it is asked. Null: not now, the last attempt failed a moment ago. */
export type Asking = { part: Part | null; setbacks: Action[] };

export function askedAt(subject: SnapshotSubject, node: NodeName, world: World, traceId: string): Asking | null {
  const { uid, source } = subject;
  const observed = takeTaskOf(subject);
  if (observed === null) {
    if (source === null) return null;
    const spec = { kind: 'snapshot', volume: source.uid, snapshot: uid } as const;
    return { part: filedPart(world, snapshotTaskId(uid), node, spec, traceId), setbacks: [] };
  }
  const task = observed.task.value;
  if (!hasEnded(task)) return { part: task.node === node ? null : movedPart(observed, node, world), setbacks: [] };
  if (!isRetryDue(task, world)) return null;
  const part = task.node === node ? rewrittenPart(observed, retried(task, world)) : movedPart(observed, node, world);
  return { part, setbacks: [retrySetback(task)] };
}

/** Asked for, not there yet, and possible. */
export const isPending = (subject: SnapshotSubject, world: World): boolean =>
  isWanted(subject) && subject.record === null && takeTrouble(subject, world) === null;
