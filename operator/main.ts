/** The operator: wiring in reading order, and nothing else. */
import { readFileSync } from 'node:fs';
import { type Clock, systemClock } from '../core/clock.ts';
import { ID_BYTES } from '../core/ids.ts';
import { type Keys, keysOf } from '../core/keys.ts';
import type { Log } from '../core/log.ts';
import { type Random, systemRandom } from '../core/random.ts';
import type { Store } from '../core/store.ts';
import { identity } from '../edge/csi/identity.ts';
import { type CsiServer, startCsiServer } from '../edge/csi/server.ts';
import { connectStore, type StoreConnection } from '../edge/etcd/connect.ts';
import { type HttpOptions, startHttpServer } from '../edge/http/server.ts';
import { KubeConnection } from '../edge/kube/connection.ts';
import { createMetrics, type Metrics } from '../edge/metrics.ts';
import { runProgram } from '../edge/program.ts';
import { SchemaWatch, schemaMetrics } from '../edge/schemaWatch.ts';
import { type Certificates, loadCertificates } from '../edge/tls.ts';
import { Access } from './api/access.ts';
import { operations } from './api/operations.ts';
import { Server } from './api/serve.ts';
import type { SnapshotObject, StorageNodeObject, VolumeObject } from './api.ts';
import { controllerService } from './csi/controller.ts';
import type { CsiPorts } from './csi/ports.ts';
import { Waiting } from './csi/waiting.ts';
import { HttpKubeApi } from './edge/kubeApi.ts';
import { HttpKubeCalls } from './edge/kubeCalls.ts';
import { ListWatchView } from './edge/kubeView.ts';
import { leasePort } from './edge/leaseApi.ts';
import { startRestServer } from './edge/restServer.ts';
import { systemTimers } from './edge/timers.ts';
import { Elector } from './election/elector.ts';
import { Facts } from './election/facts.ts';
import { Office, type OfficePorts } from './election/office.ts';
import { ELECTION_TIMES } from './election/step.ts';
import { operatorMetrics, sourceMetrics } from './metrics.ts';
import { kubeStaleReason, staleReason, storeStaleReason } from './observe/observe.ts';
import type { PlacementLimits } from './placement/checks.ts';
import type { KubeApi } from './ports.ts';
import { Controller, type ControllerPorts } from './reconcile/controller.ts';
import { Events } from './reconcile/events.ts';
import { type OperatorParameters, operatorSettings, upkeepLimits } from './settings.ts';
import { Keeper } from './store/keeper.ts';

/** The operator keeps nothing under its etcd lease; the adapter wants a time for it. */
const ETCD_LEASE_SECONDS = 10;

function openViews(store: Store, keys: Keys, api: KubeApi, log: Log, wake: () => void) {
  const ports = { api, timers: systemTimers, random: systemRandom, log };
  return {
    store: {
      volumes: store.view(keys.volumes, wake),
      primaries: store.view(keys.primaries, wake),
      tasks: store.view(keys.tasks, wake),
      claims: store.view(keys.claims, wake),
      history: store.view(keys.history, wake),
      machines: store.view(keys.machines, wake),
      serving: store.view(keys.serving, wake),
      snapshots: store.view(keys.snapshots, wake),
      scrubs: store.view(keys.scrubs, wake),
      settings: store.view(keys.settings, wake),
    },
    kube: {
      volumes: new ListWatchView<VolumeObject>('volumes', ports, wake),
      storagenodes: new ListWatchView<StorageNodeObject>('storagenodes', ports, wake),
      snapshots: new ListWatchView<SnapshotObject>('snapshots', ports, wake),
    },
  };
}

const { version: VERSION } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

type HttpParts = { parameters: OperatorParameters; certificates: Certificates; metrics: Metrics; log: Log };

const listen = ({ parameters, certificates, metrics, log }: HttpParts, readyChecks: HttpOptions['readyChecks']) =>
  startHttpServer({ listen: parameters.httpListen, certificates, metrics, healthChecks: [], readyChecks }, log);

type RestParts = Pick<ControllerPorts, 'clock' | 'timers' | 'log'> & {
  keys: Keys;
  connection: StoreConnection;
  kube: KubeConnection;
  metrics: Metrics;
  certificates: Certificates;
  parameters: OperatorParameters;
  schema: SchemaWatch;
};

/** Every operator answers, whoever leads: nothing that is asked here goes through the leader. */
async function openRest({
  connection,
  kube,
  metrics,
  certificates,
  parameters,
  schema,
  ...ports
}: RestParts): Promise<{ close(): Promise<void> }> {
  if (parameters.apiPort === 0) return { close: async () => undefined };
  const callers = new KubeConnection(parameters.kubeconfig, 'none');
  const apiPorts = { ...ports, kube: new HttpKubeCalls(kube, callers), store: connection.store };
  const access = new Access(apiPorts.kube, ports.clock);
  const served = {
    access,
    operations: operations(apiPorts, access, VERSION),
    etcdMembers: () => connection.members(),
    unfit: () => schema.refusal,
  };
  const listen = { host: parameters.httpListen.host, port: parameters.apiPort };
  const http = await startRestServer({ listen, certificates, metrics }, new Server(served), ports.log);
  return {
    async close() {
      await http.close();
      await callers.close();
    },
  };
}

type CsiParts = CsiPorts & { parameters: OperatorParameters; metrics: Metrics; log: Log; ready: () => string | null };

/** The sidecars beside this operator ask it, whoever leads. */
async function openCsi({ parameters, metrics, log, ready, ...ports }: CsiParts): Promise<CsiServer> {
  const { csiSocket: socket } = parameters;
  if (socket === '') return { close: async () => undefined };
  const Identity = identity(VERSION, ready);
  return startCsiServer({ socket, handlers: { Identity, Controller: controllerService(ports) }, metrics, log });
}

type ElectionParts = Omit<OfficePorts, 'store' | 'lead' | 'settled' | 'deposed'> & {
  limits: PlacementLimits;
  clock: Clock;
  random: Random;
  parameters: OperatorParameters;
  connection: StoreConnection;
  api: KubeApi;
  controller: Controller;
  schema: SchemaWatch;
};

function keeperOf({ parameters, connection, api, ...ports }: ElectionParts): Keeper {
  const { namespace, leaseName: name } = parameters;
  // Of etcd, not of what people asked for: also a caretaker may say it.
  const events = new Events({ ...ports, api, instance: parameters.name, mayTell: () => true });
  const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name, namespace };
  return new Keeper({
    ...ports,
    upkeep: connection.upkeep,
    limits: upkeepLimits(parameters),
    tell: (event) => events.tellOf(lease, event),
  });
}

function standForElection(parts: ElectionParts): { elector: Elector; office: Office; keeper: Keeper } {
  const { parameters, limits, connection, api, controller, schema, ...ports } = parts;
  const keeper = keeperOf(parts);
  const members = () => connection.members();
  const { name, replaceAfterSeconds } = parameters;
  const settings = { limits, replaceAfterSeconds };
  const facts = new Facts({ version: VERSION, name, clock: ports.clock, settings, members, conditions: () => keeper.conditions });
  const office = new Office({
    ...ports,
    store: connection.store,
    lead: (leadership, signal) => controller.run(leadership, signal),
    settled: (generation) => {
      elector.settled(generation);
      facts.began(generation);
    },
    deposed: () => elector.stepDown('a higher generation was seen in etcd'),
  });
  const elector = new Elector({
    ...ports,
    lease: leasePort(api, ports.clock, parameters.namespace, parameters.leaseName, () => facts.current()),
    times: ELECTION_TIMES,
    unfit: () => connection.check() ?? schema.refusal,
    onElected: (transitions) => {
      office.begin(transitions);
      keeper.begin();
    },
    onLost: (reason) => {
      facts.ended();
      office.end(reason);
      keeper.end();
    },
  });
  return { elector, office, keeper };
}

await runProgram('holdfast-operator', 'NAME', async ({ environment, log, fail }) => {
  const { parameters, agents, limits } = operatorSettings(environment, (path) => readFileSync(path, 'utf8'));
  log.setLevel(parameters.logLevel);
  const identity = `${parameters.name}_${systemRandom.hex(ID_BYTES)}`;
  const keys = keysOf(parameters.cluster);
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom, log, keys, fail, limits };

  const metrics = createMetrics({ processMetrics: true });
  const numbers = operatorMetrics(metrics);
  const certificates = await loadCertificates({ ca: parameters.tlsCa, cert: parameters.tlsCert, key: parameters.tlsKey }, log);

  const connection = connectStore({ endpoints: parameters.etcdEndpoints, certificates, leaseTtlSeconds: ETCD_LEASE_SECONDS, metrics }, log);
  const { store } = connection;
  const kubeConnection = new KubeConnection(parameters.kubeconfig);
  const api = new HttpKubeApi(kubeConnection);

  const waiting = new Waiting(systemTimers);
  const views = openViews(store, keys, api, log, () => {
    controller.wake();
    waiting.changed();
  });
  const sources = { ...views, keys };
  const schema = new SchemaWatch({ store, keys, log, changed: () => controller.wake() });
  schemaMetrics(metrics, schema);
  sourceMetrics(metrics, { etcd: () => storeStaleReason(views.store), apiserver: () => kubeStaleReason(views.kube) });

  const controller = new Controller({
    ...ports,
    sources,
    store,
    api,
    rebalance: parameters.rebalance,
    settings: agents,
    schema,
    version: VERSION,
    replaceAfterMs: parameters.replaceAfterSeconds * 1_000,
    raiseSchemaAfterMs: parameters.schemaRaiseAfterSeconds * 1_000,
    holdsLease: () => elector.holdsLease,
    taintsDeadNodes: parameters.outOfServiceTaint === 'on',
    metrics: numbers,
    instance: parameters.name,
  });
  const { elector, office, keeper } = standForElection({
    ...ports,
    parameters,
    connection,
    api,
    controller,
    schema,
    metrics: numbers,
    identity,
  });

  const http = await listen({ parameters, certificates, metrics, log }, [
    { name: 'etcd', run: () => connection.check() },
    { name: 'schema', run: () => schema.problem },
    { name: 'views', run: () => staleReason(views.store, views.kube) },
  ]);
  const rest = await openRest({ ...ports, connection, kube: kubeConnection, metrics, certificates, parameters, schema });

  const ready = () => schema.problem ?? staleReason(views.store, views.kube);
  const csi = await openCsi({ ...ports, kube: api, waiting, views: views.kube, parameters, metrics, ready });

  const stopping = new AbortController();
  const election = elector.run(stopping.signal).catch(fail);
  return {
    async stop() {
      stopping.abort();
      await election;
      await Promise.all([office.idle(), keeper.idle()]);
      await Promise.all([http.close(), rest.close(), csi.close()]);
      for (const view of [...Object.values(views.store), ...Object.values(views.kube), schema]) view.close();
      await kubeConnection.close();
      await connection.close();
      certificates.close();
    },
  };
});
