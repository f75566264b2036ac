/**
 * The agent's wiring, in reading order: what is checked before anything starts, what is opened, who hears of what, what ends it. Must hold no rule of its own.
 */
import type { Clock } from '../core/clock.ts';
import { type InstanceId, newInstanceId } from '../core/ids.ts';
import type { Inventory } from '../core/inventory.ts';
import { type Keys, keysOf } from '../core/keys.ts';
import type { Log } from '../core/log.ts';
import { formatHostPort } from '../core/parameter-kinds.ts';
import { systemRandom } from '../core/random.ts';
import { SPEAKS } from '../core/versions.ts';
import { identity } from '../edge/csi/identity.ts';
import { type CsiServer, startCsiServer } from '../edge/csi/server.ts';
import { connectStore, type StoreConnection } from '../edge/etcd/connect.ts';
import { checkRoute } from '../edge/http/checks.ts';
import { demandOperator, type HttpServer, startHttpServer } from '../edge/http/server.ts';
import { createMetrics, type Metrics } from '../edge/metrics.ts';
import type { Program, Running } from '../edge/program.ts';
import { SchemaWatch, schemaMetrics } from '../edge/schemaWatch.ts';
import { sleep } from '../edge/timers.ts';
import { type Certificates, loadCertificates, type TlsFiles } from '../edge/tls.ts';
import { AddressBook } from './control/addressBook.ts';
import { Agent, type AgentIdentity, machineState } from './control/agent.ts';
import { CallSlots } from './control/calls.ts';
import { Doorbell } from './control/doorbell.ts';
import { TICK_MS } from './control/engines.ts';
import { type AgentMetrics, createAgentMetrics } from './control/metrics.ts';
import { PoolProxy, type PoolProxyOptions } from './control/poolProxy.ts';
import { Pools } from './control/pools.ts';
import { Primaries } from './control/primaries.ts';
import { Registration } from './control/registration.ts';
import { ServingReports } from './control/servingReports.ts';
import { SettingsWatch } from './control/settingsWatch.ts';
import { SnapshotTasks } from './control/tasks/snapshotTasks.ts';
import { TaskRunner } from './control/tasks/taskRunner.ts';
import { Volumes } from './control/volumes.ts';
import { Wholeness } from './control/wholeness.ts';
import { Abandoned } from './csi/abandoned.ts';
import { HolderClient } from './csi/edge/holderClient.ts';
import { MachineMounts } from './csi/edge/mounts.ts';
import { nodeService } from './csi/node.ts';
import { servedBy } from './csi/served.ts';
import { whereaboutsIn } from './csi/whereabouts.ts';
import { wakefulClock } from './edge/clock.ts';
import { RealDisk } from './edge/disk.ts';
import { prepareRunDirectory, primaryWorkers, probeMachine, readBootId, readVersion } from './edge/machine.ts';
import { startPacedTicker, startTicker } from './edge/ticker.ts';
import { ownHeap, Tidier } from './edge/tidier.ts';
import type { Workers } from './edge/workers.ts';
import { type AgentSettings, parseAgentSettings, poolListen, poolPathsIn } from './settings.ts';
import type { FromWorker, WorkerBasics } from './workers/messages.ts';

const MS_PER_SECOND = 1000;
/** How long the registration waits for pools to open. */
const POOL_OPEN_MS = 10_000;

export async function startAgent(program: Program, workers: Workers): Promise<Running> {
  const { environment, log } = program;
  // What can be wrong is found before anything is opened, and all of it at once.
  const parameters = parseAgentSettings(environment, await probeMachine(poolPathsIn(environment)));
  log.setLevel(parameters.logLevel);
  if (parameters.replicationTls === 'off')
    log.warn('replication without TLS: whoever reaches its ports can read and write every replica here');
  const tls: TlsFiles = { ca: parameters.tlsCa, cert: parameters.tlsCert, key: parameters.tlsKey };
  const certificates = await loadCertificates(tls, log);
  const bootId = readBootId();
  const runDirectoryLock = prepareRunDirectory(parameters.runDirectory, new RealDisk(), log);

  const base = connect(program, parameters, certificates);
  const wired = await wire(base, workers, { bootId, tls });
  const isReady = () => base.schema.problem ?? (registration.wasRegistered ? null : 'not registered in etcd yet');
  const http = await listen(base, wired, isReady);
  const registration: Registration = register(base, bootId, wired, http);
  const snapshots = new SnapshotTasks({ ...base, ask: (uid, request, done) => wired.volumes.snapshot(uid, request, done) });
  const agent = new Agent({ ...base, ...wired, registration, snapshots, tasks: runTasks(base, wired.pools, snapshots) });
  const tidier = new Tidier(ownHeap(), base.clock.monotonicMs());
  const ticker = startPacedTicker(TICK_MS, (lateMs) => {
    const pauseMs = agent.tick(lateMs);
    tidier.look(base.clock.monotonicMs(), pauseMs <= 0);
    return pauseMs;
  });
  base.doorbell.answer(ticker.hasten);
  const csi = await openCsi(base, wired.reports);
  return {
    async stop() {
      await csi.close();
      const areClosed = await agent.stop();
      ticker.stop();
      await base.lease.revoke();
      await http.close();
      // Last: by here everything that may answer has, and what hangs is left as a crash would leave it.
      const haveEnded = await workers.stop();
      // A sync that hangs keeps a thread that is no worker's; what hung before and has closed after all holds up nobody.
      program.setStuck(haveEnded && areClosed ? null : 'some pools could not be closed');
      runDirectoryLock.release();
      base.schema.close();
      await base.close();
      certificates.close();
    },
  };
}

/** The kubelet of this node asks. */
async function openCsi({ parameters, node, registry: metrics, log, store, keys }: Base, reports: ServingReports): Promise<CsiServer> {
  const { csiSocket: socket, holderSocket, runDirectory, zone } = parameters;
  if (socket === '') return { close: async () => undefined };
  const served = servedBy(reports, runDirectory);
  const whereabouts = whereaboutsIn(store, keys, node);
  const ports = { node, zone, served, whereabouts, holder: new HolderClient(holderSocket), mounts: new MachineMounts(), sleep };
  const abandoned = new Abandoned(ports, log);
  const handlers = { Identity: identity(readVersion(), () => null), Node: nodeService(ports, () => abandoned.changed()) };
  const server = await startCsiServer({ socket, handlers, metrics, log });
  const stopping = new AbortController();
  const watching = abandoned.run(stopping.signal);
  return {
    async close() {
      stopping.abort();
      await Promise.all([server.close(), watching]);
    },
  };
}

/** What nearly everything needs. */
type Base = StoreConnection & {
  program: Program;
  parameters: AgentSettings;
  certificates: Certificates;
  node: string;
  instance: InstanceId;
  keys: Keys;
  clock: Clock;
  log: Log;
  registry: Metrics;
  metrics: AgentMetrics;
  slots: CallSlots;
  /** Rung by whatever comes from outside. */
  doorbell: Doorbell;
  schema: SchemaWatch;
};

function connect(program: Program, parameters: AgentSettings, certificates: Certificates): Base {
  const { log } = program;
  const registry = createMetrics({ processMetrics: true });
  const { etcdEndpoints: endpoints, etcdLeaseSeconds: leaseTtlSeconds, nodeName: node, cluster } = parameters;
  const doorbell = new Doorbell();
  const connection = connectStore({ endpoints, certificates, leaseTtlSeconds, metrics: registry }, log);
  connection.lease.onGranted(doorbell.ring);
  const store = doorbell.store(connection.store);
  const keys = keysOf(cluster);
  const schema = new SchemaWatch({ store, keys, log });
  schemaMetrics(registry, schema);
  return {
    ...connection,
    store,
    schema,
    program,
    parameters,
    certificates,
    node,
    instance: newInstanceId(systemRandom),
    keys,
    clock: wakefulClock,
    log,
    registry,
    metrics: createAgentMetrics(registry),
    slots: new CallSlots(),
    doorbell,
  };
}

type Wired = {
  settings: SettingsWatch;
  pools: Pools;
  primaries: Primaries;
  addresses: AddressBook;
  reports: ServingReports;
  volumes: Volumes;
};

/** Configs go to the pools here and to the primaries here, which talk to the pools of all nodes. */
async function wire(base: Base, workers: Workers, machine: { bootId: string; tls: TlsFiles }): Promise<Wired> {
  const { store, keys, clock, log, metrics, node, instance, parameters, registry } = base;
  const common = (message: FromWorker, worker: string): void => {
    if (message.type === 'log') log[message.level](message.message, message.fields);
    else registry.told(worker, message.metrics);
  };
  const { runDirectory, logLevel, pools: poolPaths } = parameters;
  const basics: WorkerBasics = { node, instance, runDirectory, logLevel, tls: parameters.replicationTls === 'on' ? machine.tls : null };
  const settings = new SettingsWatch({ store, keys, log, events: { refused: metrics.settingsRefused } });
  const reports = new ServingReports(base);
  const addresses = new AddressBook(base);
  const pools: Pools = new Pools({
    node,
    pools: openPools(base, workers, { ...basics, bootId: machine.bootId }, common, (...asked) => volumes.ask(...asked)),
    configOf: (uid) => volumes.configOf(uid),
    volumeOf: (replica) => volumes.volumeOf(replica),
    expected: () => volumes.replicasHere(),
  });
  const primaries = new Primaries({
    workers: Array.from({ length: primaryWorkers() }, (_, index) =>
      base.doorbell.channel(workers.startPrimary({ ...basics, kind: 'primary', index, pools: poolPaths })),
    ),
    settings: () => settings.settings,
    resolve: (...asked) => addresses.resolve(...asked),
    // Its clients would wait for ever: this agent lives, so nobody takes over from it.
    stuck: (sentence) => base.program.fail(new Error(sentence)),
    common,
  });
  const volumes: Volumes = new Volumes({
    ...base,
    toReplicas: (config) => pools.observe(config),
    environment: { node, instance, primaries, clock, log, reports, ended: metrics.primaryEnded },
  });
  await untilSettled(pools);
  return { settings, pools, primaries, addresses, reports, volumes };
}

/** From here on no other process works on these directories: each worker holds its pool's lock until the process ends, in whatever way. */
function openPools(
  { program, parameters, clock, log, doorbell }: Base,
  workers: Workers,
  basics: WorkerBasics & { bootId: string },
  common: (message: FromWorker, worker: string) => void,
  inForce: PoolProxyOptions['inForce'],
): PoolProxy[] {
  const { pools, tagsOf, advertisedHost: host, replicationListen } = parameters;
  return [...pools].map(([pool, path], index) => {
    const tags = tagsOf(pool);
    const data = { ...basics, kind: 'pool', pool, path, tags, listen: poolListen(replicationListen, index) } as const;
    return new PoolProxy({
      name: pool,
      tags,
      channel: doorbell.channel(workers.startPool(data)),
      addressOf: (port) => formatHostPort({ host, port }),
      clock,
      log,
      refused: (problem) => program.fail(new Error(problem)),
      hung: (reason) => program.setStuck(`pool ${pool}: ${reason}`),
      inForce,
      common,
    });
  });
}

/** A pool that does not open in time must not keep the others from being served: it is told as quarantined until it does. */
function untilSettled(pools: Pools): Promise<void> {
  return new Promise((resolve) => {
    let passedMs = 0;
    const stopTicker = startTicker(TICK_MS, () => {
      passedMs += TICK_MS;
      pools.tick();
      if (!pools.areSettled && passedMs < POOL_OPEN_MS) return;
      stopTicker();
      resolve();
    });
  });
}

/** Who speaks of it is asked in a probe: nothing is to be found out beforehand. */
function wholenessOf({ parameters, clock, log }: Base, { volumes, pools, settings }: Wired): Wholeness {
  return new Wholeness({
    clock,
    log,
    boundSeconds: parameters.wholeSeconds,
    replicaTimeoutMs: () => settings.settings.replicaTimeoutMs,
    lacking: () => volumes.lacking(new Set(pools.failed().map(({ replica }) => replica))),
  });
}

function listen(base: Base, wired: Wired, isReady: () => string | null): Promise<HttpServer> {
  const { parameters, certificates, registry, log, node, instance } = base;
  const { pools } = wired;
  const wholeness = wholenessOf(base, wired);
  const registration = { name: 'registration', run: isReady };
  return startHttpServer(
    {
      listen: parameters.httpListen,
      certificates,
      metrics: registry,
      healthChecks: [],
      readyChecks: [registration],
      addRoutes: (router) => {
        // For rolling updates alone: others shall ask this agent as soon as it is there.
        router.get('/readyz/whole', checkRoute([registration, { name: 'volumes', run: () => wholeness.reason() }]));
        router.get('/inventory', async (request, response) => {
          demandOperator(request, 'what a node holds is');
          response.json({ node, instance, ...(await pools.inventory()) } satisfies Inventory);
        });
      },
    },
    log,
  );
}

function register(base: Base, bootId: string, wired: Wired, http: HttpServer): Registration {
  const { program, parameters, node, instance } = base;
  const { advertisedHost: host, zone } = parameters;
  const identity: AgentIdentity = {
    node,
    instance,
    addresses: { http: formatHostPort({ host, port: http.address.port }) },
    bootId,
    zone,
    labels: Object.fromEntries(parameters.labels),
    version: readVersion(),
    speaks: SPEAKS,
  };
  return new Registration({
    ...base,
    leaseMs: parameters.etcdLeaseSeconds * MS_PER_SECOND,
    state: () => machineState(identity, wired),
    displaced: (sentence) => program.fail(new Error(sentence)),
  });
}

function runTasks(base: Base, pools: Pools, snapshots: SnapshotTasks): TaskRunner {
  return new TaskRunner({
    ...base,
    perform: (spec, log, claim) => (spec.kind === 'snapshot' ? snapshots.take(spec, claim, log) : pools.perform(spec)),
    ended: ({ kind }, error, durationMs) => base.metrics.taskEnded(kind, error, durationMs),
    refused: base.metrics.taskRefused,
  });
}
