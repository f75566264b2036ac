/** One thread of soak.ts: simulates the seed that it is told, answers with the outcome, waits for the next. */
import { parentPort } from 'node:worker_threads';
import { drawOptions } from './options.ts';
import { simulate } from './simulate.ts';

parentPort?.on('message', ({ seed, steps }: { seed: number; steps: number }) => {
  parentPort?.postMessage(simulate(drawOptions(seed, steps)));
});
