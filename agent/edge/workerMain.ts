/**
 * What runs in a worker's thread: the same hosts for every pool and every group of primaries, with the engines that ship. Everything else is in
 * `workerWiring.ts`. The first import must come before anything else is loaded.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { keepCompiled } from '../../edge/compileCache.ts';
import type { Channel } from '../workers/channel.ts';
import type { PoolWorkerData, PrimaryWorkerData } from '../workers/messages.ts';

const { runPoolWorker, runPrimaryWorker } = await import('./workerWiring.ts');

if (parentPort === null) throw new Error('this file is run by the agent, in a thread of its own');
const port = parentPort;
const channel = <Sent, Heard>(): Channel<Sent, Heard> => ({
  post: (message) => port.postMessage(message),
  // What control said before is kept by the port.
  listen: (listener) => port.on('message', listener),
});

const data = workerData as PoolWorkerData | PrimaryWorkerData;
if (data.kind === 'pool') {
  const { Replica } = await import('../replica/replica.ts');
  await runPoolWorker(data, channel(), (options) => new Replica({ ...options, nextTurn: setImmediate }));
} else {
  const { Primary } = await import('../primary/primary.ts');
  await runPrimaryWorker(data, channel(), (options) => new Primary(options));
}
keepCompiled();
