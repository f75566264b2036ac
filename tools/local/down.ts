/**
 * `make down`: stops the local cluster of this checkout, or of the directory given as argument, and removes its directory.
 * Touches no process that was not started for that directory.
 */
import path from 'node:path';
import { LOCAL_DIRECTORY } from './layout.ts';
import { formatDuration, printFailure } from './progress.ts';
import { stopCluster } from './stop.ts';

const startMs = performance.now();
const directory = path.resolve(process.argv[2] ?? LOCAL_DIRECTORY);
try {
  const stopped = await stopCluster(directory);
  const shown = path.relative(process.cwd(), directory);
  const what = stopped.directory
    ? `${stopped.processes} processes stopped, ${shown} removed`
    : `No cluster in ${shown}, ${stopped.processes} processes stopped`;
  process.stdout.write(`${what} (${formatDuration(performance.now() - startMs)}).\n`);
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
}
