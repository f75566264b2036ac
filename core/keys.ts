/** Every key in etcd, in one place. */
import type { NodeName, ReplicaId, VolumeUid } from './ids.ts';

export type Keys = ReturnType<typeof keysOf>;

export function keysOf(cluster: string) {
  const root = `/holdfast/${cluster}`;
  return {
    root: `${root}/`,
    leader: `${root}/leader`,
    settings: `${root}/settings`,
    machines: `${root}/machines/`,
    machine: (node: NodeName) => `${root}/machines/${node}`,
    volumes: `${root}/volumes/`,
    volume: (uid: VolumeUid) => `${root}/volumes/${uid}`,
    /** What one agent watches: a pointer (the config's version) for each volume that concerns it. */
    pointersOf: (node: NodeName) => `${root}/nodes/${node}/`,
    pointer: (node: NodeName, uid: VolumeUid) => `${root}/nodes/${node}/${uid}`,
    pointers: `${root}/nodes/`,
    serving: `${root}/serving/`,
    servingOf: (uid: VolumeUid) => `${root}/serving/${uid}`,
    tasks: `${root}/tasks/`,
    tasksOf: (node: NodeName) => `${root}/tasks/${node}/`,
    task: (node: NodeName, task: string) => `${root}/tasks/${node}/${task}`,
    claims: `${root}/claims/`,
    claim: (task: string) => `${root}/claims/${task}`,
    history: `${root}/history/`,
    historyOf: (task: string) => `${root}/history/${task}`,
  };
}

export const createTaskId = (replica: ReplicaId): string => `create-${replica}`;
export const deleteTaskId = (replica: ReplicaId): string => `delete-${replica}`;
