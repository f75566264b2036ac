/**
 * Every metric of the agent that is not of its adapters: one place for names, labels and help, of control and of the workers. Must never decide anything.
 */
import type { Metrics } from '../../edge/metrics.ts';
import { NBD_ERROR, type NbdError } from '../nbd/layout.ts';
import type { NbdEvents } from '../nbd/ports.ts';
import { REQUEST_SECONDS, RequestCounts } from './requestCounts.ts';
import { volumeMetrics } from './volumeMetrics.ts';

const DELAY_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const TASK_SECONDS = [0.01, 0.1, 0.5, 1, 5, 30, 120, 600];

const MS_PER_SECOND = 1000;

/** What is looked at now and then, not counted. */
export type AgentLevels = {
  primaries: number;
  replicas: { served: number; failed: number };
  silences: readonly { name: string; silentMs: number }[];
  pools: readonly { name: string; capacityBytes: number; usedBytes: number; allocatedBytes: number; state: string }[];
  resyncLeftBytes: number;
  tasks: number;
  settingsVersion: number;
  /** 0 while it lives. */
  leaseLostMs: number;
};

export type AgentMetrics = ReturnType<typeof createAgentMetrics>;

export function createAgentMetrics(metrics: Metrics) {
  const eventLoopDelay = metrics.histogram(
    'event_loop_delay_seconds',
    'How late the control loop came, at the worst of each second',
    DELAY_SECONDS,
  );
  const tasks = metrics.counter('tasks_ended_total', 'Tasks that this agent performed', ['operation', 'result']);
  const taskSeconds = metrics.histogram('task_duration_seconds', 'Time that performing a task took', TASK_SECONDS, ['operation']);
  const tasksRefused = metrics.counter('tasks_refused_total', 'Tasks that could not be read');
  const settingsRefused = metrics.counter('settings_refused_total', 'Settings of which nothing was taken, because one was bad');
  const primariesEnded = metrics.counter('primaries_ended_total', 'Primaries that ended here', ['why']);
  return {
    levels: levelGauges(metrics),
    ticked: (lateMs: number) => eventLoopDelay.observe(lateMs / MS_PER_SECOND),
    taskEnded: (operation: string, error: string | null, durationMs: number) => {
      tasks.inc({ operation, result: error === null ? 'done' : 'failed' });
      taskSeconds.observe({ operation }, durationMs / MS_PER_SECOND);
    },
    taskRefused: () => tasksRefused.inc(),
    settingsRefused: () => settingsRefused.inc(),
    primaryEnded: (why: string) => primariesEnded.inc({ why }),
  };
}

/** Of a worker: counted there, added up with those of the others where they are shown. `counted`: something is another than before. */
export function createWorkerMetrics(metrics: Metrics, { acceptFailed, counted }: { acceptFailed(error: Error): void; counted(): void }) {
  const protocolErrors = metrics.counter('protocol_errors_total', 'Frames and requests that broke a rule', ['port', 'rule']);
  const connectionsRefused = metrics.counter('connections_refused_total', 'Connections that were not taken or were ended', [
    'port',
    'rule',
  ]);
  const nbd = nbdEvents(metrics, { protocolErrors, connectionsRefused, acceptFailed, counted });
  return {
    /** For the socket of one volume. */
    nbdOf: volumeMetrics(metrics, nbd),
    replicationRefused: (rule: string) => {
      connectionsRefused.inc({ port: 'replication', rule });
      counted();
    },
    replicationBroken: (rule: string) => {
      protocolErrors.inc({ port: 'replication', rule });
      counted();
    },
  };
}

type Refusals = {
  protocolErrors: { inc(labels: { port: string; rule: string }): void };
  connectionsRefused: { inc(labels: { port: string; rule: string }): void };
  acceptFailed: (error: Error) => void;
  counted: () => void;
};

const RESULTS = new Map<NbdError, string>(Object.entries(NBD_ERROR).map(([name, error]) => [error, name]));

function nbdEvents(metrics: Metrics, { protocolErrors, connectionsRefused, acceptFailed, counted }: Refusals): NbdEvents {
  const requests = new RequestCounts();
  showRequests(metrics, requests);
  const connections = metrics.gauge('nbd_connections_count', 'Clients connected');
  return {
    requestCompleted: (operation, lengthBytes, durationMs, error) => {
      requests.completed(operation, lengthBytes, durationMs, error);
      counted();
    },
    requestRefused: (rule) => {
      protocolErrors.inc({ port: 'nbd', rule });
      counted();
    },
    connectionRefused: (rule) => {
      connectionsRefused.inc({ port: 'nbd', rule });
      counted();
    },
    acceptFailed,
    connectionOpened: () => {
      connections.inc();
      counted();
    },
    connectionClosed: () => {
      connections.dec();
      counted();
    },
  };
}

function showRequests(metrics: Metrics, { operations }: RequestCounts): void {
  metrics.counter('nbd_requests_total', 'Requests answered', ['operation', 'result'], (counter) => {
    counter.reset();
    for (const [operation, { results }] of operations)
      for (const [error, count] of results) counter.inc({ operation, result: RESULTS.get(error) ?? String(error) }, count);
  });
  metrics.counter('nbd_bytes_total', 'Bytes of the requests that succeeded', ['operation'], (counter) => {
    counter.reset();
    for (const [operation, { bytes }] of operations) counter.inc({ operation }, bytes);
  });
  metrics.shownHistogram('nbd_request_duration_seconds', 'From a request read to its answer', REQUEST_SECONDS, ['operation'], () =>
    [...operations].map(([operation, { buckets, seconds }]) => ({ labels: { operation }, buckets, sum: seconds })),
  );
}

function levelGauges(metrics: Metrics): (levels: AgentLevels) => void {
  const primaries = metrics.gauge('primaries_count', 'Volumes of which the primary runs here');
  const replicas = metrics.gauge('replicas_count', 'Replicas that are held here', ['state']);
  const capacity = metrics.gauge('pool_capacity_bytes', 'Size of the file system under a pool', ['pool']);
  const used = metrics.gauge('pool_used_bytes', 'Bytes of it that anybody uses', ['pool']);
  const allocated = metrics.gauge('pool_allocated_bytes', 'Sum of the sizes promised to replicas', ['pool']);
  const quarantined = metrics.gauge('pool_quarantined_count', '1 where nothing new is placed because its disk failed', ['pool']);
  const silent = metrics.gauge('pool_silent_seconds', 'How long the disk under a pool has not answered', ['pool']);
  const resyncLeft = metrics.gauge('resync_left_bytes', 'What learners of the volumes served here still miss');
  const tasks = metrics.gauge('tasks_in_work_count', 'Tasks that are being performed');
  const settings = metrics.gauge('settings_version_info', 'Version of the settings in force', ['version']);
  const leaseLost = metrics.gauge('lease_lost_seconds', 'How long the lease in etcd is not known to live; 0: it lives');
  return (levels) => {
    primaries.set(levels.primaries);
    replicas.set({ state: 'served' }, levels.replicas.served);
    replicas.set({ state: 'failed' }, levels.replicas.failed);
    for (const { name: pool, capacityBytes, usedBytes, allocatedBytes, state } of levels.pools) {
      capacity.set({ pool }, capacityBytes);
      used.set({ pool }, usedBytes);
      allocated.set({ pool }, allocatedBytes);
      quarantined.set({ pool }, state === 'quarantined' ? 1 : 0);
    }
    for (const { name: pool, silentMs } of levels.silences) silent.set({ pool }, silentMs / MS_PER_SECOND);
    resyncLeft.set(levels.resyncLeftBytes);
    tasks.set(levels.tasks);
    settings.reset();
    settings.set({ version: String(levels.settingsVersion) }, 1);
    leaseLost.set(levels.leaseLostMs / MS_PER_SECOND);
  };
}
