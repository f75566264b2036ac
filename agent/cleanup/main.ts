/**
 * The cleaner of a node, run by a hook of the chart before it is uninstalled, with the node's root at HOST: `node agent/cleanup/main.ts`. It says that it is done by a file (DONE), which its
 * readiness looks for, and then waits to be ended. Must never be run while an agent or a holder is there.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../edge/program.ts';
import { cleanPool, removeOwn } from './clean.ts';
import { cleanupSettings } from './settings.ts';

const WAIT_MS = 60_000;

await runProgram('holdfast-cleaner', 'NODE_NAME', async ({ environment, log }) => {
  const { host, own, pools, done } = cleanupSettings(environment);
  const left = [...pools.flatMap((path) => cleanPool(join(host, path))), ...own.flatMap((path) => removeOwn(join(host, path)))];
  for (const reason of left) log.warn('this is left on the node', { reason });
  // Whoever comes back after a crash before this finds less to take away, and says so then.
  writeFileSync(done, '');
  const waiting = setInterval(() => undefined, WAIT_MS);
  return { stop: async () => clearInterval(waiting) };
});
