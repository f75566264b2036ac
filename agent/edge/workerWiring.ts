/**
 * What a worker is made of, in reading order: its log and metrics, which control writes and shows; its certificates, which it reads itself; its host; its one
 * timer. Real threads and tests within one thread are wired by the same lines. Must hold no rule of its own.
 */
import { basename } from 'node:path';
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from '../../core/log.ts';
import { systemRandom } from '../../core/random.ts';
import { threadBlocks } from '../../core/wire/blockPool.ts';
import { SPOIL_FREED_MEMORY, spoilFreedMemory } from '../../core/wire/spoil.ts';
import { plainFields } from '../../edge/logLine.ts';
import { createMetrics, type Metrics } from '../../edge/metrics.ts';
import { type Certificates, loadCertificates } from '../../edge/tls.ts';
import { type MakePrimary, type MakeReplica, TICK_MS } from '../control/engines.ts';
import { createWorkerMetrics } from '../control/metrics.ts';
import type { Channel } from '../workers/channel.ts';
import type {
  FromPool,
  FromPrimary,
  FromWorker,
  PoolWorkerData,
  PrimaryWorkerData,
  ToPool,
  ToPrimary,
  WorkerBasics,
} from '../workers/messages.ts';
import { PoolHost } from '../workers/poolHost.ts';
import { openPoolPort } from '../workers/poolPort.ts';
import { PrimaryHost } from '../workers/primaryHost.ts';
import { wakefulClock } from './clock.ts';
import { RealDisk } from './disk.ts';
import { localReads } from './localReads.ts';
import { NbdServer, type NbdServerOptions } from './nbdServer.ts';
import { connectAnywhere, listenForReplication, replicationEvents } from './network.ts';
import { type PacedTicker, startPacedTicker } from './ticker.ts';

const METRICS_MS = 1_000;

/** Ends its timers and what it holds, if it runs in this thread; a thread of its own ends with all of it. */
export type RunningWorker = { stop(): void };

export async function runPoolWorker(
  data: PoolWorkerData,
  channel: Channel<FromPool, ToPool>,
  makeReplica: MakeReplica,
): Promise<RunningWorker> {
  const base = await openBase(data, channel, `pool-${data.pool}`);
  const { log, counters, certificates } = base;
  const { node, runDirectory, pool, path, tags, bootId, listen } = data;
  const disk = new RealDisk();
  const listening = { node, runDirectory, pool, listen, certificates, events: replicationEvents(log, counters) };
  const host = new PoolHost({
    channel,
    hasten: base.hasten,
    open: (done) => openPoolPort({ name: pool, path, tags, disk, bootId, random: systemRandom }, done),
    listen: (accept, appointed) => listenForReplication(listening, accept, appointed),
    makeReplica,
    oldestCallMs: () => disk.oldestCallMs,
    protocolError: counters.replicationBroken,
    clock: wakefulClock,
    log,
  });
  return base.run(() => host.tick());
}

export async function runPrimaryWorker(
  data: PrimaryWorkerData,
  channel: Channel<FromPrimary, ToPrimary>,
  makePrimary: MakePrimary,
): Promise<RunningWorker> {
  const base = await openBase(data, channel, `primaries-${data.index}`);
  const { log, counters, certificates } = base;
  const { node, instance, runDirectory } = data;
  const events = replicationEvents(log, counters);
  const blocks = threadBlocks;
  const openReads = localReads(data.pools, log);
  const host = new PrimaryHost({
    channel,
    hasten: base.hasten,
    node,
    instance,
    runDirectory,
    makePrimary: (options) => makePrimary({ ...options, openReads }),
    connectBy: (addresses) =>
      connectAnywhere({ node, runDirectory, certificates, events, blocks, resolve: (peer, pool) => addresses.resolve(peer, pool) }),
    listen: (device, socketPath) => listenForClients({ device, socketPath, clock: wakefulClock, blocks }, counters),
    clock: wakefulClock,
    log,
  });
  return base.run(() => host.tick());
}

/** The socket is named after the volume, which is what its metrics are called by. */
async function listenForClients(options: Omit<NbdServerOptions, 'events'>, { nbdOf }: Base['counters']): Promise<NbdServer> {
  const { events, closed } = nbdOf(basename(options.socketPath, '.sock'));
  try {
    return await NbdServer.listen({ ...options, events, closed });
  } catch (error) {
    closed();
    throw error;
  }
}

/** What every kind of worker may say. */
type Posts = { post(message: FromWorker): void };

type Base = {
  log: Log;
  counters: ReturnType<typeof createWorkerMetrics>;
  certificates: Certificates | null;
  /** From here on it ticks; each tick says how long the next may be away. */
  run(tick: () => number): RunningWorker;
  /** Before it runs, too. */
  hasten: () => void;
};

async function openBase({ tls, logLevel }: WorkerBasics, channel: Posts, worker: string): Promise<Base> {
  if (process.env.SPOIL_FREED_MEMORY === SPOIL_FREED_MEMORY.SPOIL_FREED_MEMORY) spoilFreedMemory(true);
  const log = postedLog(channel, logLevel, { worker });
  const metrics = createMetrics({ processMetrics: false });
  // All of them are told, which costs a millisecond: not where nothing happens.
  let telling: NodeJS.Timeout | null = null;
  const counted = (): void => {
    telling ??= setTimeout(() => {
      telling = null;
      void tell(metrics, channel);
    }, METRICS_MS);
  };
  const counters = createWorkerMetrics(metrics, {
    acceptFailed: (error) => log.error('NBD socket takes no connection for the moment', { error }),
    counted,
  });
  const certificates = tls && (await loadCertificates(tls, log));
  let ticker: PacedTicker | null = null;
  const run = (tick: () => number): RunningWorker => {
    ticker = startPacedTicker(TICK_MS, tick);
    counted();
    return {
      stop: () => {
        ticker?.stop();
        if (telling !== null) clearTimeout(telling);
        certificates?.close();
      },
    };
  };
  return { log, counters, certificates, run, hasten: () => ticker?.hasten() };
}

async function tell({ registry }: Metrics, channel: Posts): Promise<void> {
  channel.post({ type: 'metrics', metrics: (await registry.getMetricsAsJSON()) as Extract<FromWorker, { type: 'metrics' }>['metrics'] });
}

/** Control writes the lines: in the order in which they come, each of them whole. */
function postedLog(channel: Posts, least: LogLevel, bound: LogFields): Log {
  const write = (level: LogLevel) => (message: string, fields?: LogFields) => {
    // Asked before, not after: a debug line that nobody wants costs nothing.
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(least)) return;
    channel.post({ type: 'log', level, message, fields: plainFields({ ...bound, ...fields }) });
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => postedLog(channel, least, { ...bound, ...fields }),
  };
}
