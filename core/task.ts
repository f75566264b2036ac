/**
 * Tasks: things the leader wants done on a node. Pure transitions.
 *
 *   filed --claim--> running --end--> done | failed --archive--> history/
 *     ^                 |
 *     +---- refile -----+   the claim vanished with its agent: attempt + 1
 *
 * The task's id is made from what it is to do, so filing it twice files it once. Effects on the node are idempotent; an end counts only
 * if the claim of that very attempt still stands, so a late loser changes nothing.
 */
import { assert } from './assert.ts';
import type { InstanceId, NodeName, ReplicaId, SnapshotUid, VolumeUid } from './ids.ts';

/** What a clone's replica starts from: what this replica of a snapshot holds, in the same pool. */
export type CloneSource = { snapshot: SnapshotUid; attempt: number; replica: ReplicaId };

export type TaskSpec =
  | {
      kind: 'create-replica';
      volume: VolumeUid;
      replica: ReplicaId;
      pool: string;
      /** Of the replica: its shard's size. */
      sizeBytes: number;
      volumeName: string;
      source?: CloneSource;
    }
  | { kind: 'delete-replica'; volume: VolumeUid; replica: ReplicaId; pool: string }
  /** Filed at the primary's node. Each performance is an attempt of its own, whose number the record tells. */
  | { kind: 'snapshot'; volume: VolumeUid; snapshot: SnapshotUid }
  /** All that a pool has of a snapshot, of whatever attempt. */
  | { kind: 'delete-snapshot'; volume: VolumeUid; snapshot: SnapshotUid; pool: string };

export type CreateSpec = Extract<TaskSpec, { kind: 'create-replica' }>;
/** What one pool does. */
export type PoolSpec = Extract<TaskSpec, { pool: string }>;
/** About one replica. */
export type ReplicaSpec = Extract<TaskSpec, { replica: ReplicaId }>;

export type TaskState = 'filed' | 'running' | 'done' | 'failed';

export type Task = {
  id: string;
  node: NodeName;
  spec: TaskSpec;
  attempt: number;
  /** The leader's generation. */
  filedBy: number;
  traceId: string;
  state: TaskState;
  error?: string;
};

/** `claims/<task>`, under the claiming agent's lease. */
export type Claim = { node: NodeName; instance: InstanceId; attempt: number };

export const hasEnded = (task: Task): boolean => task.state === 'done' || task.state === 'failed';

export function fileTask(id: string, node: NodeName, spec: TaskSpec, filedBy: number, traceId: string): Task {
  return { id, node, spec, attempt: 1, filedBy, traceId, state: 'filed' };
}

export function startTask(task: Task): Task {
  assert(task.state === 'filed', `task ${task.id} is ${task.state}, not filed`);
  return { ...task, state: 'running' };
}

export function endTask(task: Task, error: string | null): Task {
  assert(task.state === 'running', `task ${task.id} is ${task.state}, not running`);
  return error === null ? { ...task, state: 'done' } : { ...task, state: 'failed', error };
}

/** A running task without its claim: nobody does it any more. Files it again, or null if somebody does or it has ended. */
export function refileIfLost(task: Task, claim: Claim | null, filedBy: number): Task | null {
  if (task.state !== 'running') return null;
  if (claim && claim.attempt === task.attempt) return null;
  const { error: _, ...rest } = task;
  return { ...rest, state: 'filed', attempt: task.attempt + 1, filedBy };
}
