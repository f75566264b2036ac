/**
 * The cleaner of a node, run by a hook of the chart before it is uninstalled, with the node's root at HOST: `node agent/cleanup/main.ts`. It says that it is done by a file (DONE), which its
 * readiness looks for, and then waits to be ended. Must never be run while an agent or a holder is there.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanPool, removeOwn } from './clean.ts';

const { HOST = '/host', DONE = '/tmp/done', OWN = '', POOLS = '' } = process.env;
const paths = (text: string): string[] => text.split(',').filter((path) => path !== '');
const onHost = (path: string): string => join(HOST, path);

const left = [...paths(POOLS).flatMap((path) => cleanPool(onHost(path))), ...paths(OWN).flatMap((path) => removeOwn(onHost(path)))];
for (const sentence of left) process.stdout.write(`${sentence}\n`);
writeFileSync(DONE, '');
process.stdout.write('done\n');
process.on('SIGTERM', () => process.exit(0));
setInterval(() => undefined, 60_000);
