/**
 * A lock between processes on a file of its own. The kernel lets go of it when its holder dies, however it dies, so there is never a stale one.
 * Only the lock means anything, never the file.
 */
import { closeSync, fstatSync, mkdirSync, openSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** The part that is used here of a library without type declarations. */
type FileLocks = { tryLock(descriptor: number): boolean; waitForLock(descriptor: number): Promise<void> };
const { tryLock, waitForLock } = createRequire(import.meta.url)('fs-native-extensions') as FileLocks;

const ATTEMPTS_MAX = 10;

/** Does the work while holding the lock; waits for it as long as its holder lives. */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const descriptor = openLockFile(file);
  try {
    await waitForLock(descriptor);
    return await work();
  } finally {
    closeSync(descriptor); // lets go of the lock
  }
}

/** Takes the lock if nobody has it, and gives the function that lets go of it; nothing if somebody has it. */
export function takeLock(file: string): (() => void) | undefined {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const descriptor = openLockFile(file);
    if (!tryLock(descriptor)) {
      closeSync(descriptor);
      return undefined;
    }
    if (isStill(file, descriptor)) {
      return () => closeSync(descriptor);
    }
    closeSync(descriptor); // its last holder removed the file while we opened it: the next comer would lock another one
  }
  return undefined;
}

function openLockFile(file: string): number {
  mkdirSync(path.dirname(file), { recursive: true });
  return openSync(file, 'a');
}

function isStill(file: string, descriptor: number): boolean {
  return statSync(file, { throwIfNoEntry: false })?.ino === fstatSync(descriptor).ino;
}
