/**
 * The agent's wiring, in reading order: what is checked before anything starts, what is opened, who hears of what, what ends it. Must hold no rule of its own.
 */
import type { Clock } from '../core/clock.ts';
import { type InstanceId, newInstanceId } from '../core/ids.ts';
import { type Keys, keysOf } from '../core/keys.ts';
import type { Log } from '../core/log.ts';
import { formatHostPort } from '../core/parameter-kinds.ts';
import { systemRandom } from '../core/random.ts';
import { connectStore, type StoreConnection } from '../edge/etcd/connect.ts';
import { startHttpServer } from '../edge/http/server.ts';
import { createMetrics, type Metrics } from '../edge/metrics.ts';
import type { Program, Running } from '../edge/program.ts';
import { type Certificates, loadCertificates } from '../edge/tls.ts';
import { AddressBook } from './control/addressBook.ts';
import { Agent, type AgentIdentity, machineState } from './control/agent.ts';
import { CallSlots } from './control/calls.ts';
import { type Engines, TICK_MS } from './control/engines.ts';
import { type AgentMetrics, createAgentMetrics } from './control/metrics.ts';
import { type OpenPools, openPools } from './control/poolPort.ts';
import { Registration } from './control/registration.ts';
import { Replicas } from './control/replicas.ts';
import { ServingReports } from './control/servingReports.ts';
import { SettingsWatch } from './control/settingsWatch.ts';
import { TaskRunner } from './control/tasks/taskRunner.ts';
import { Volumes } from './control/volumes.ts';
import { wakefulClock } from './edge/clock.ts';
import { RealDisk } from './edge/disk.ts';
import { machineProbe, prepareRunDirectory, readBootId, readVersion } from './edge/machine.ts';
import { NbdServer } from './edge/nbdServer.ts';
import { connectAnywhere, listenForReplication, replicationEvents } from './edge/network.ts';
import { startTicker } from './edge/ticker.ts';
import type { DiskLock } from './replica/store/disk.ts';
import { type AgentSettings, parseAgentSettings } from './settings.ts';

const MS_PER_SECOND = 1000;

export async function startAgent(program: Program, engines: Engines): Promise<Running> {
  const { environment, log } = program;
  // What can be wrong is found before anything is opened, and all of it at once.
  const parameters = parseAgentSettings(environment, machineProbe);
  log.setLevel(parameters.logLevel);
  const certificates = await loadCertificates({ ca: parameters.tlsCa, cert: parameters.tlsCert, key: parameters.tlsKey }, log);

  const machine = await openMachine(parameters, log);
  const base = connect(parameters, certificates, log);
  const volumes = await wireVolumes(base, machine.pools, engines);
  const ports = await listen(base, volumes.replicas, () => (registration.wasRegistered ? null : 'not registered in etcd yet'));
  const registration: Registration = register(base, machine, volumes, ports, (sentence) => program.fail(new Error(sentence)));
  const tasks = runTasks(base, volumes.replicas);

  const agent = new Agent({ ...base, ...volumes, pools: machine.pools.ports, registration, tasks });
  const stopTicker = startTicker(TICK_MS, (lateMs) => agent.tick(lateMs));
  return {
    async stop() {
      const areClosed = await agent.stop();
      stopTicker();
      await ports.replication.close();
      if (areClosed) await machine.pools.close();
      machine.runDirectoryLock.release();
      await base.lease.revoke();
      await ports.http.close();
      await base.close();
      certificates.close();
    },
  };
}

type Machine = { bootId: string; pools: OpenPools; runDirectoryLock: DiskLock };

/** From here on no other process works on these directories: the locks are held until this one ends, in whatever way. */
async function openMachine({ pools: paths, tagsOf, runDirectory }: AgentSettings, log: Log): Promise<Machine> {
  const bootId = readBootId();
  const runDirectoryLock = prepareRunDirectory(runDirectory, new RealDisk(), log);
  const pools = await openPools({ paths, tagsOf, diskOf: () => new RealDisk(), bootId, random: systemRandom });
  return { bootId, pools, runDirectoryLock };
}

/** What nearly everything needs. */
type Base = StoreConnection & {
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
};

function connect(parameters: AgentSettings, certificates: Certificates, log: Log): Base {
  const registry = createMetrics({ processMetrics: true });
  const acceptFailed = (error: Error) => log.error('NBD socket takes no connection for the moment', { error });
  const { etcdEndpoints: endpoints, etcdLeaseSeconds: leaseTtlSeconds, nodeName: node, cluster } = parameters;
  return {
    ...connectStore({ endpoints, certificates, leaseTtlSeconds, metrics: registry }, log),
    parameters,
    certificates,
    node,
    instance: newInstanceId(systemRandom),
    keys: keysOf(cluster),
    clock: wakefulClock,
    log,
    registry,
    metrics: createAgentMetrics(registry, { acceptFailed }),
    slots: new CallSlots(),
  };
}

type Wired = { settings: SettingsWatch; replicas: Replicas; reports: ServingReports; volumes: Volumes };

/** Configs go to the replicas here and to the primaries here, which talk to the replicas of all nodes. */
async function wireVolumes(base: Base, pools: OpenPools, { makeReplica, makePrimary }: Engines): Promise<Wired> {
  const { store, keys, clock, log, metrics, node, instance, certificates } = base;
  const settings = new SettingsWatch({ store, keys, log, events: { refused: metrics.settingsRefused } });
  const reports = new ServingReports(base);
  const replicas: Replicas = new Replicas({
    pools: pools.ports,
    makeReplica,
    clock,
    log,
    configOf: (uid) => volumes.configOf(uid),
    volumeOf: (replica) => volumes.volumeOf(replica),
    expected: () => volumes.replicasHere(),
    protocolError: metrics.replicationBroken,
  });
  const addresses = new AddressBook(base);
  const resolve = (peer: string) => addresses.resolve(peer);
  const events = replicationEvents(log, metrics);
  const volumes: Volumes = new Volumes({
    ...base,
    toReplicas: (config) => replicas.observe(config),
    environment: {
      node,
      instance,
      runDirectory: base.parameters.runDirectory,
      settings: () => settings.settings,
      makePrimary,
      connect: connectAnywhere({ node, accept: replicas.accept, resolve, certificates, events }),
      listen: (device, socketPath) => NbdServer.listen({ device, socketPath, events: metrics.nbd, clock }),
      clock,
      log,
      reports,
      ended: metrics.primaryEnded,
    },
  });
  replicas.found(pools.found);
  return { settings, replicas, reports, volumes };
}

type Ports = { replication: Awaited<ReturnType<typeof listenForReplication>>; http: Awaited<ReturnType<typeof startHttpServer>> };

async function listen(base: Base, { accept }: Replicas, isReady: () => string | null): Promise<Ports> {
  const { parameters, certificates, log, metrics, registry } = base;
  const replication = await listenForReplication(parameters.replicationListen, {
    accept,
    certificates,
    events: replicationEvents(log, metrics),
  });
  const readyChecks = [{ name: 'registration', run: isReady }];
  const http = await startHttpServer(
    { listen: parameters.httpListen, certificates, metrics: registry, healthChecks: [], readyChecks },
    log,
  );
  return { replication, http };
}

function register(base: Base, machine: Machine, wired: Wired, ports: Ports, displaced: (sentence: string) => void): Registration {
  const { parameters, node, instance } = base;
  const { advertisedHost: host, zone } = parameters;
  const identity: AgentIdentity = {
    node,
    instance,
    addresses: {
      replication: formatHostPort({ host, port: ports.replication.port }),
      http: formatHostPort({ host, port: ports.http.address.port }),
    },
    bootId: machine.bootId,
    zone,
    labels: Object.fromEntries(parameters.labels),
    version: readVersion(),
  };
  return new Registration({
    ...base,
    leaseMs: parameters.etcdLeaseSeconds * MS_PER_SECOND,
    state: () => machineState(identity, { ...wired, pools: machine.pools.ports }),
    displaced,
  });
}

function runTasks(base: Base, replicas: Replicas): TaskRunner {
  return new TaskRunner({
    ...base,
    perform: (spec) => replicas.perform(spec),
    ended: ({ kind }, error, durationMs) => base.metrics.taskEnded(kind, error, durationMs),
    refused: base.metrics.taskRefused,
  });
}
