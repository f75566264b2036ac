/**
 * How workers are started: each in a thread of its own, or all in this one for tests. Must never go on without one that ended by itself: a half agent, which
 * holds its lease and serves only some of its volumes, is worse than none.
 */
import { Worker } from 'node:worker_threads';
import type { Engines } from '../control/engines.ts';
import { type Channel, channelWithinThread } from '../workers/channel.ts';
import type { FromPool, FromPrimary, PoolWorkerData, PrimaryWorkerData, ToPool, ToPrimary } from '../workers/messages.ts';
import { type RunningWorker, runPoolWorker, runPrimaryWorker } from './workerWiring.ts';

export type Workers = {
  startPool(data: PoolWorkerData): Channel<ToPool, FromPool>;
  startPrimary(data: PrimaryWorkerData): Channel<ToPrimary, FromPrimary>;
  /** False: some did not end within the bound. Nothing is heard of them any more. */
  stop(): Promise<boolean>;
};

/** A thread that is not held up in the kernel ends at once. */
const STOP_MS_MAX = 1_000;
/**
 * Of V8's heap, beside which the buffers of data lie. Far more than thousands of volumes need; a leak ends the agent before it takes the node. The young
 * generation takes what I/O makes and drops.
 */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 1_024, maxYoungGenerationSizeMb: 32 };
const MAIN = new URL('./workerMain.ts', import.meta.url);

/** `failed`: a worker has ended by itself. */
export function threadWorkers(failed: (error: Error) => void): Workers {
  const threads = new Map<Worker, string>();
  let isStopping = false;
  const start = <Sent, Heard>(name: string, data: PoolWorkerData | PrimaryWorkerData): Channel<Sent, Heard> => {
    const thread = new Worker(MAIN, { name, workerData: data, resourceLimits: RESOURCE_LIMITS });
    threads.set(thread, name);
    thread.on('error', (cause) => failed(new Error(`worker ${name} failed: ${cause.message}`, { cause })));
    thread.on('exit', (code) => {
      threads.delete(thread);
      if (!isStopping) failed(new Error(`worker ${name} ended with ${code}`));
    });
    return channelOf(thread);
  };
  return {
    startPool: (data) => start(`pool-${data.pool}`, data),
    startPrimary: (data) => start(`primaries-${data.index}`, data),
    stop: async () => {
      isStopping = true;
      const bound = new Promise<void>((resolve) => {
        setTimeout(resolve, STOP_MS_MAX).unref();
      });
      await Promise.race([bound, Promise.all([...threads.keys()].map((thread) => thread.terminate()))]);
      return threads.size === 0;
    },
  };
}

/** What is heard before anybody listens is kept: the thread may be quick. */
function channelOf<Sent, Heard>(thread: Worker): Channel<Sent, Heard> {
  let kept: Heard[] = [];
  let listener = (message: Heard): void => {
    kept.push(message);
  };
  thread.on('message', (message: Heard) => listener(message));
  return {
    post: (message) => thread.postMessage(message),
    listen: (heard) => {
      listener = heard;
      const waiting = kept;
      kept = [];
      for (const message of waiting) heard(message);
    },
  };
}

/** The same hosts over channels within this thread, with the engines that a test gives. What they throw reaches the process as it would from anywhere. */
export function workersWithin({ makeReplica, makePrimary }: Engines): Workers {
  const running: Promise<RunningWorker>[] = [];
  return {
    startPool: (data) => {
      const [here, there] = channelWithinThread<ToPool, FromPool>();
      running.push(runPoolWorker(data, there, makeReplica));
      return here;
    },
    startPrimary: (data) => {
      const [here, there] = channelWithinThread<ToPrimary, FromPrimary>();
      running.push(runPrimaryWorker(data, there, makePrimary));
      return here;
    },
    stop: async () => {
      for (const worker of await Promise.all(running)) worker.stop();
      return true;
    },
  };
}
