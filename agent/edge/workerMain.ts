/** What runs in a worker's thread: the same hosts for every pool and every group of primaries, with the engines that ship. Everything else is in `workerWiring.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../core/assert.ts';
import { Primary } from '../primary/primary.ts';
import { Replica } from '../replica/replica.ts';
import type { Channel } from '../workers/channel.ts';
import type { PoolWorkerData, PrimaryWorkerData } from '../workers/messages.ts';
import { runPoolWorker, runPrimaryWorker } from './workerWiring.ts';

assert(parentPort, 'this file is run by the agent, in a thread of its own');
const port = parentPort;
const channel = <Sent, Heard>(): Channel<Sent, Heard> => ({
  post: (message) => port.postMessage(message),
  // What control said before is kept by the port.
  listen: (listener) => port.on('message', listener),
});

const data = workerData as PoolWorkerData | PrimaryWorkerData;
if (data.kind === 'pool') await runPoolWorker(data, channel(), (options) => new Replica({ ...options, nextTurn: setImmediate }));
else await runPrimaryWorker(data, channel(), (options) => new Primary(options));
