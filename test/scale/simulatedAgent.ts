/**
 * One agent without data: all of `agent/control` as it ships, over real etcd with a connection and a lease of its own, and behind its ports a pool and primaries that keep
 * nothing. Left out of the program: its threads, its HTTP server, its sockets. The wiring follows `agent/start.ts`. Must never share anything with its neighbours in this
 * process but the thread and the certificate.
 */
import { AddressBook } from '../../agent/control/addressBook.ts';
import { Agent, type AgentIdentity, machineState } from '../../agent/control/agent.ts';
import { CallSlots } from '../../agent/control/calls.ts';
import { Doorbell } from '../../agent/control/doorbell.ts';
import { TICK_MS } from '../../agent/control/engines.ts';
import { createAgentMetrics } from '../../agent/control/metrics.ts';
import { PoolProxy } from '../../agent/control/poolProxy.ts';
import { Pools } from '../../agent/control/pools.ts';
import { Primaries } from '../../agent/control/primaries.ts';
import { Registration } from '../../agent/control/registration.ts';
import { ServingReports } from '../../agent/control/servingReports.ts';
import { SettingsWatch } from '../../agent/control/settingsWatch.ts';
import { SnapshotTasks } from '../../agent/control/tasks/snapshotTasks.ts';
import { TaskRunner } from '../../agent/control/tasks/taskRunner.ts';
import { Volumes } from '../../agent/control/volumes.ts';
import { wakefulClock } from '../../agent/edge/clock.ts';
import { type PacedTicker, startPacedTicker } from '../../agent/edge/ticker.ts';
import { newInstanceId } from '../../core/ids.ts';
import { keysOf } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import { systemRandom } from '../../core/random.ts';
import { SPEAKS } from '../../core/versions.ts';
import { connectStore, type StoreConnection } from '../../edge/etcd/connect.ts';
import { createMetrics } from '../../edge/metrics.ts';
import { SchemaWatch } from '../../edge/schemaWatch.ts';
import type { Certificates } from '../../edge/tls.ts';
import { FakePool } from './fakePool.ts';
import { FakePrimaries } from './fakePrimaries.ts';
import { AGENT_LEASE_SECONDS, type NodePlan } from './plan.ts';

const POOL = 'default';
const MS_PER_SECOND = 1_000;

/** What the agents of one process have in common. */
export type Surroundings = {
  cluster: string;
  endpoints: readonly string[];
  certificates: Certificates;
  bootId: string;
  learnMs: number;
  lost: ReadonlySet<string>;
  log: Log;
  fail: (error: Error) => void;
};

type Base = ReturnType<typeof baseOf>;

function baseOf(connection: StoreConnection, surroundings: Surroundings, plan: NodePlan, doorbell: Doorbell) {
  const store = doorbell.store(connection.store);
  const keys = keysOf(surroundings.cluster);
  return {
    ...connection,
    store,
    schema: new SchemaWatch({ store, keys, log: surroundings.log }),
    node: plan.node,
    instance: newInstanceId(systemRandom),
    keys,
    clock: wakefulClock,
    log: surroundings.log.child({ node: plan.node }),
    metrics: createAgentMetrics(createMetrics({ processMetrics: false })),
    slots: new CallSlots(),
    doorbell,
    leaseMs: AGENT_LEASE_SECONDS * MS_PER_SECOND,
  };
}

function wire(base: Base, surroundings: Surroundings, plan: NodePlan, fakes: FakePrimaries) {
  const { store, keys, clock, log, metrics, node, instance, doorbell } = base;
  const { fail } = surroundings;
  const settings = new SettingsWatch({ store, keys, log, events: { refused: metrics.settingsRefused } });
  const reports = new ServingReports(base);
  const addresses = new AddressBook(base);
  const proxy = new PoolProxy({
    name: POOL,
    tags: [],
    channel: doorbell.channel(new FakePool(POOL, plan.capacityBytes)),
    addressOf: (port) => `${node}:${port}`,
    clock,
    log,
    refused: (problem) => fail(new Error(problem)),
    hung: (reason) => fail(new Error(`${node}: ${reason}`)),
    inForce: (...asked) => volumes.ask(...asked),
    common: () => undefined,
  });
  const pools: Pools = new Pools({
    node,
    pools: [proxy],
    configOf: (uid) => volumes.configOf(uid),
    volumeOf: (replica) => volumes.volumeOf(replica),
    expected: () => volumes.replicasHere(),
  });
  const primaries = new Primaries({
    workers: [doorbell.channel(fakes)],
    settings: () => settings.settings,
    resolve: (...asked) => addresses.resolve(...asked),
    stuck: (sentence) => fail(new Error(`${node}: ${sentence}`)),
    common: () => undefined,
  });
  const volumes: Volumes = new Volumes({
    ...base,
    toReplicas: (config) => pools.observe(config),
    environment: { node, instance, primaries, clock, log, reports, ended: metrics.primaryEnded },
  });
  return { settings, pools, primaries, addresses, reports, volumes };
}

export class SimulatedAgent {
  readonly node: string;
  readonly #connection: StoreConnection;
  readonly #fakes: FakePrimaries;
  readonly #registration: Registration;
  readonly #agent: Agent;
  readonly #ticker: PacedTicker;

  constructor(plan: NodePlan, surroundings: Surroundings) {
    const { endpoints, certificates, bootId, log, learnMs, lost } = surroundings;
    this.node = plan.node;
    this.#connection = connectStore({ endpoints, certificates, leaseTtlSeconds: AGENT_LEASE_SECONDS }, log);
    const doorbell = new Doorbell();
    this.#connection.lease.onGranted(doorbell.ring);
    const base = baseOf(this.#connection, surroundings, plan, doorbell);
    const { node, instance } = base;
    this.#fakes = new FakePrimaries({ node, instance, learnMs, lost });
    const wired = wire(base, surroundings, plan, this.#fakes);
    const { zone, labels } = plan;
    const identity: AgentIdentity = {
      node,
      instance,
      addresses: { http: `${node}:1` },
      bootId,
      zone,
      labels,
      version: '0.0.0',
      speaks: SPEAKS,
    };
    this.#registration = new Registration({
      ...base,
      state: () => machineState(identity, wired),
      displaced: (sentence) => surroundings.fail(new Error(sentence)),
    });
    const snapshots = new SnapshotTasks({ ...base, ask: (uid, request, done) => wired.volumes.snapshot(uid, request, done) });
    const tasks = new TaskRunner({
      ...base,
      perform: (spec, log_, claim) => (spec.kind === 'snapshot' ? snapshots.take(spec, claim, log_) : wired.pools.perform(spec)),
      ended: ({ kind }, error, durationMs) => base.metrics.taskEnded(kind, error, durationMs),
      refused: base.metrics.taskRefused,
    });
    this.#agent = new Agent({ ...base, ...wired, registration: this.#registration, snapshots, tasks });
    this.#ticker = startPacedTicker(TICK_MS, (lateMs) => this.#agent.tick(lateMs));
    doorbell.answer(this.#ticker.hasten);
  }

  get isRegistered(): boolean {
    return this.#registration.wasRegistered;
  }

  connectionsChanged(): void {
    this.#fakes.connectionsChanged();
  }

  /** As by a power loss: nothing is let go, and its lease runs out by itself. */
  async vanish(): Promise<void> {
    this.#ticker.stop();
    this.#fakes.close();
    await this.#connection.close();
  }
}
