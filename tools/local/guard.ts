/**
 * Ends a cluster when the program that started it is gone, in whatever way: killed, crashed, out of memory. A handler of our own exit would miss those.
 *
 * The guard is a process that reads from a pipe which only we hold. When we are gone the kernel closes it, and the guard runs `make down`'s code.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { errorCode } from './errors.ts';
import { CHECKOUT } from './layout.ts';

export type Guard = { dismiss(): void };

const SCRIPT = 'cat > /dev/null; exec "$1" tools/local/down.ts "$2"';

export function guardCluster(directory: string): Guard {
  const node = path.join(CHECKOUT, 'node_modules/.bin/node');
  const guard = spawn('sh', ['-c', SCRIPT, 'holdfast-guard', node, directory], {
    cwd: CHECKOUT,
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  if (guard.stdin !== null && 'unref' in guard.stdin && typeof guard.stdin.unref === 'function') {
    guard.stdin.unref(); // else the pipe alone would keep this program alive
  }
  return { dismiss: () => dismiss(guard.pid) };
}

function dismiss(pid: number | undefined): void {
  if (pid === undefined) {
    return;
  }
  try {
    process.kill(-pid, 'SIGKILL'); // its whole group: the shell and the cat that it waits for
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') {
      throw error;
    }
  }
}
