/** Every key in etcd, in one place. */
import type { NodeName, ReplicaId, SnapshotUid, VolumeUid } from './ids.ts';
import type { TaskSpec } from './task.ts';

export type Keys = ReturnType<typeof keysOf>;

export function keysOf(cluster: string) {
  const root = `/holdfast/${cluster}`;
  return {
    root: `${root}/`,
    leader: `${root}/leader`,
    settings: `${root}/settings`,
    /** What stands here is of which schema (core/schema.ts). Every program reads it, leaders write it. */
    schema: `${root}/schema`,
    machines: `${root}/machines/`,
    machine: (node: NodeName) => `${root}/machines/${node}`,
    volumes: `${root}/volumes/`,
    /** Written by the leader alone. */
    volume: (uid: VolumeUid) => `${root}/volumes/${uid}`,
    /** What a primary has made of that (core/inForce.ts), under the prefix of its own node. */
    primaries: `${root}/primaries/`,
    primariesOf: (node: NodeName) => `${root}/primaries/${node}/`,
    primary: (node: NodeName, uid: VolumeUid) => `${root}/primaries/${node}/${uid}`,
    /** That a volume was deleted on purpose, from the transaction on that takes its config away, for a day. No config and no such key: it was lost. */
    deleted: `${root}/deleted/`,
    deletedOf: (uid: VolumeUid) => `${root}/deleted/${uid}`,
    /** What one agent watches: a pointer (the version of the leader's value) for each volume that concerns it. */
    pointersOf: (node: NodeName) => `${root}/nodes/${node}/`,
    pointer: (node: NodeName, uid: VolumeUid) => `${root}/nodes/${node}/${uid}`,
    pointers: `${root}/nodes/`,
    /** The other thing it watches: a primary has changed the config of a volume that concerns it (to that version). Nothing is concluded from one, or from none. */
    bells: `${root}/bells/`,
    bellsOf: (node: NodeName) => `${root}/bells/${node}/`,
    bell: (node: NodeName, uid: VolumeUid) => `${root}/bells/${node}/${uid}`,
    serving: `${root}/serving/`,
    servingOf: (uid: VolumeUid) => `${root}/serving/${uid}`,
    /** A snapshot exists from the write of this key on. */
    snapshots: `${root}/snapshots/`,
    snapshot: (uid: VolumeUid, snapshot: SnapshotUid) => `${root}/snapshots/${uid}/${snapshot}`,
    scrubs: `${root}/scrubs/`,
    scrub: (uid: VolumeUid) => `${root}/scrubs/${uid}`,
    tasks: `${root}/tasks/`,
    tasksOf: (node: NodeName) => `${root}/tasks/${node}/`,
    task: (node: NodeName, task: string) => `${root}/tasks/${node}/${task}`,
    claims: `${root}/claims/`,
    claim: (task: string) => `${root}/claims/${task}`,
    history: `${root}/history/`,
    historyOf: (task: string) => `${root}/history/${task}`,
  };
}

/** Filing the same twice is filing it once. */
export function taskIdOf(node: NodeName, spec: TaskSpec): string {
  switch (spec.kind) {
    case 'create-replica':
      return createTaskId(spec.replica);
    case 'delete-replica':
      return deleteTaskId(spec.replica);
    case 'snapshot':
      return snapshotTaskId(spec.snapshot);
    case 'delete-snapshot':
      return deleteSnapshotTaskId(spec.snapshot, node, spec.pool);
  }
}

export const createTaskId = (replica: ReplicaId): string => `create-${replica}`;
export const deleteTaskId = (replica: ReplicaId): string => `delete-${replica}`;
export const snapshotTaskId = (snapshot: SnapshotUid): string => `snapshot-${snapshot}`;
/** A claim's key is made of the task's id alone, so the id says where, too. */
export const deleteSnapshotTaskId = (snapshot: SnapshotUid, node: NodeName, pool: string): string =>
  `delete-snapshot-${snapshot}-${node}-${pool}`;
