/** One thread of soak.ts: simulates the seed that it is told, answers with the outcome, waits for the next. */
import { parentPort } from 'node:worker_threads';
import { drawOptions } from './options.ts';
import { runSeed } from './seedRun.ts';

parentPort?.on('message', async ({ seed, steps }: { seed: number; steps: number }) => {
  parentPort?.postMessage(await runSeed(drawOptions(seed, steps)));
});
