/** Stops a process so that it is stopped when this returns: after SIGSTOP alone, threads that run may still say something. */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const STOP_MS_MAX = 5_000;

/** One letter a thread, as in /proc. */
const threadStates = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] ?? '?';
  });

/** It answers nothing more, and its connections stay open. */
export function stopWhole(child: ChildProcess): void {
  if (child.pid === undefined) return;
  child.kill('SIGSTOP');
  const endMs = performance.now() + STOP_MS_MAX;
  while (!threadStates(child.pid).every((state) => state === 'T')) {
    if (performance.now() > endMs) throw new Error(`process ${child.pid} did not stop within ${STOP_MS_MAX} ms`);
  }
}
