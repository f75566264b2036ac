/**
 * Ends a local cluster and removes its directory. Needs nothing but the directory's name: processes are found by their mark, so it also works after
 * a start that was killed half way. Never unmounts anything, and never deletes through a mount.
 */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type MountEntry, mountTable } from '../../agent/edge/mountTable.ts';
import { LocalClusterError } from './errors.ts';
import { API_SERVER } from './layout.ts';
import { takeLock } from './lock.ts';
import { endProcesses, findProcesses, killProcesses, resumeProcesses } from './processes.ts';

export type Stopped = { processes: number; directory: boolean };

/** Nobody else may start or stop the cluster of this directory until the function that this gives is called. */
export function lockCluster(directory: string): () => void {
  const release = takeLock(path.join(directory, 'lock'));
  if (release === undefined) {
    throw new LocalClusterError(`Another make up or make down is at work in ${directory}: wait until it has ended.`);
  }
  return release;
}

export async function stopCluster(directory: string): Promise<Stopped> {
  if (!existsSync(directory)) {
    return { processes: await endAll(directory), directory: false }; // somebody removed it while the processes ran
  }
  const release = lockCluster(directory);
  try {
    return await stopLocked(directory);
  } finally {
    release();
  }
}

/** For whoever holds the lock. */
export async function stopLocked(directory: string): Promise<Stopped> {
  const processes = await endAll(directory);
  const mounts = findMounts(directory);
  if (mounts.length > 0) {
    throw new LocalClusterError(
      `All processes are stopped, but ${directory} is not removed: ${mounts.join(', ')} is still mounted. Unmount it (umount ${mounts[0]}) and run make down again.`,
    );
  }
  rmSync(directory, { recursive: true, force: true });
  return { processes, directory: true };
}

/**
 * Suspended processes go on first: the others may wait for them. Then agents and operators end, which give back leases and mounts while etcd and the
 * API server still answer. Those two are killed at last: nothing of theirs is kept, and an API server takes long to end when its etcd is gone.
 */
async function endAll(directory: string): Promise<number> {
  const all = findProcesses(directory);
  resumeProcesses(all);
  const controlPlane = new Set(['etcd', API_SERVER].flatMap((name) => findProcesses(path.join(directory, name))));
  const programs = all.filter((pid) => !controlPlane.has(pid));
  await endProcesses(programs, directory);
  await killProcesses(findProcesses(directory), directory); // also what a program started while it ended
  return all.length;
}

/** The mount points in a directory. */
export function findMounts(directory: string, table: readonly MountEntry[] = mountTable()): string[] {
  return table.map(({ path: mountPoint }) => mountPoint).filter((mountPoint) => mountPoint.startsWith(`${directory}/`));
}
