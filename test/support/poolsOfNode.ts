/** A node's pools with their workers, over channels within one thread: disks that open, hold still and fail when a test says so. */
import { Doorbell } from '../../agent/control/doorbell.ts';
import { POOL_SILENT_MS, PoolProxy } from '../../agent/control/poolProxy.ts';
import { type ExpectedReplica, Pools } from '../../agent/control/pools.ts';
import type { ReplicaMeta, ReplicaStore } from '../../agent/ports.ts';
import type { Accept, ReplicaLink } from '../../agent/replication/link.ts';
import { type Channel, channelWithinThread } from '../../agent/workers/channel.ts';
import type { FromPool, ToPool } from '../../agent/workers/messages.ts';
import { PoolHost } from '../../agent/workers/poolHost.ts';
import type { OpenedPool, PoolProblem } from '../../agent/workers/poolPort.ts';
import type { PoolPort } from '../../agent/workers/replicas.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { ReplicaId } from '../../core/ids.ts';
import { silentLog } from '../../core/log.ts';
import type { PoolReport } from '../../core/machine.ts';
import type { PoolSpec } from '../../core/task.ts';
import type { FromReplica } from '../../core/wire/messages.ts';
import { configWith, INSTANCE, REPLICAS, UID } from './configs.ts';
import { FakeReplica } from './fakeEngines.ts';
import { ManualClock } from './manualClock.ts';
import { atRest } from './scriptedStore.ts';

export const R1 = REPLICAS[0] as ReplicaId;
export const R2 = REPLICAS[1] as ReplicaId;
export const TICK_MS = 50;

const storeOf = (replica: ReplicaId): ReplicaStore =>
  ({
    meta: { format: 1, volume: UID, volumeName: 'pgdata', replica, sizeBytes: 4096, failed: null, config: null } as ReplicaMeta,
  }) as ReplicaStore;
export const reportOf = (name: string): PoolReport => ({
  name,
  capacityBytes: 1000,
  usedBytes: 10,
  allocatedBytes: 0,
  tags: [],
  reflink: false,
  state: 'ready',
});

/** A pool whose disk does what a test says, and its worker. */
class Worker {
  readonly name: string;
  readonly engines: FakeReplica[] = [];
  readonly calls: string[] = [];
  accept: Accept | null = null;
  oldestCallMs = 0;
  /** The thread stands still: it hears nothing and says nothing. */
  isHeld = false;
  isClosed = false;
  /** How `open` ends; null: it does not. */
  #opened: ((opened: OpenedPool | PoolProblem) => void) | null = null;
  readonly #held: ToPool[] = [];
  readonly #host: PoolHost;
  #dueAtMs = 0;
  readonly #listeners: ((message: ToPool) => void)[] = [];
  readonly proxySide: Channel<ToPool, FromPool>;

  constructor(name: string, clock: ManualClock) {
    this.name = name;
    const [here, there] = channelWithinThread<ToPool, FromPool>();
    this.proxySide = here;
    there.listen((message) => (this.isHeld ? this.#held.push(message) : this.#hear(message)));
    this.#host = new PoolHost({
      hasten: () => {
        this.#dueAtMs = 0;
      },
      channel: { post: (message) => there.post(message), listen: (listener) => this.#listeners.push(listener) },
      open: (done) => {
        this.#opened = done;
      },
      listen: async (accept) => {
        this.accept = accept;
        return { port: 9450, close: async () => undefined };
      },
      makeReplica: (options) => {
        const engine = new FakeReplica(options);
        this.engines.push(engine);
        return engine;
      },
      oldestCallMs: () => this.oldestCallMs,
      protocolError: () => undefined,
      clock,
      log: silentLog,
    });
  }

  open(replicas: ReplicaId[] = []): void {
    const found = replicas.map((replica) => ({ replica, volume: UID, store: storeOf(replica) }));
    const close = (done: () => void) => {
      this.isClosed = true;
      done();
    };
    this.#opened?.({ port: this.#port(), found, close });
  }

  fail(problem: string, isDisk: boolean): void {
    this.#opened?.({ problem, isDisk });
  }

  /** What was said to it while it stood still. */
  get heldBack(): number {
    return this.#held.length;
  }

  /** As its timer does: no oftener than its last tick said, unless hastened. */
  tick(nowMs: number): void {
    if (!this.isHeld && nowMs >= this.#dueAtMs) this.#dueAtMs = nowMs + this.#host.tick();
  }

  goOn(): void {
    this.isHeld = false;
    for (const message of this.#held.splice(0)) this.#hear(message);
  }

  knock(replica: ReplicaId): FromReplica | undefined {
    const said: FromReplica[] = [];
    const link: ReplicaLink = { peer: 'agent:node-a', send: (message) => said.push(message), close: () => undefined };
    this.accept?.({ type: 'seal', volume: UID, replica, epoch: 1, instance: INSTANCE, config: configWith() }, link);
    return said[0];
  }

  #hear(message: ToPool): void {
    for (const listener of this.#listeners) listener(message);
  }

  #port(): PoolPort {
    const { name, calls } = this;
    return {
      name,
      report: () => reportOf(name),
      create: async ({ replica }: { replica: ReplicaId }) => {
        calls.push(`create ${replica}`);
        return { store: storeOf(replica) };
      },
      remove: async (replica: ReplicaId) => {
        calls.push(`remove ${replica}`);
        return null;
      },
      quarantine: (reason: string) => calls.push(`quarantine ${reason}`),
    } as unknown as PoolPort;
  }
}

export class PoolsOfNode {
  readonly clock = new ManualClock();
  readonly workers = new Map(['default', 'fast'].map((name) => [name, new Worker(name, this.clock)]));
  readonly refused: string[] = [];
  readonly hung: string[] = [];
  config: VolumeConfig | null = null;
  expected: ExpectedReplica[] = [];
  readonly pools: Pools;
  readonly #doorbell = new Doorbell();
  #isRung = true;

  constructor() {
    this.#doorbell.answer(() => {
      this.#isRung = true;
    });
    const proxies = [...this.workers.values()].map(
      ({ name, proxySide }) =>
        new PoolProxy({
          name,
          tags: ['nvme'],
          channel: this.#doorbell.channel(proxySide),
          addressOf: (port) => `10.0.0.1:${port}`,
          clock: this.clock,
          log: silentLog,
          refused: (problem) => this.refused.push(problem),
          hung: (reason) => this.hung.push(reason),
          inForce: (_uid, _epoch, tell) => tell({ config: this.config, isCurrent: true }),
          common: () => undefined,
        }),
    );
    this.pools = new Pools({
      node: 'node-a',
      pools: proxies,
      configOf: () => this.config,
      volumeOf: () => this.config?.uid ?? null,
      expected: () => this.expected,
    });
  }

  get default(): Worker {
    return this.workers.get('default') as Worker;
  }

  get fast(): Worker {
    return this.workers.get('fast') as Worker;
  }

  async open(inDefault: ReplicaId[] = []): Promise<this> {
    this.default.open(inDefault);
    this.fast.open();
    await atRest();
    return this;
  }

  async run(forMs: number): Promise<void> {
    for (let spentMs = 0; spentMs < forMs; spentMs += TICK_MS) {
      this.clock.advance(TICK_MS);
      for (const worker of this.workers.values()) worker.tick(this.clock.nowMs);
      if (this.#isRung || this.clock.nowMs >= this.pools.dueAtMs) this.#tick();
      // Microtasks carry the messages: a few turns are enough.
      await Promise.resolve().then(() => undefined);
    }
    await atRest();
  }

  /** As the control loop does: no oftener than it is due, unless something was heard. */
  #tick(): void {
    this.#isRung = false;
    this.pools.tick();
  }

  report(name = 'default'): PoolReport | undefined {
    return this.pools.reports().find((one) => one.name === name);
  }
}

export const create = (replica = R1, pool = 'default'): PoolSpec => ({
  kind: 'create-replica',
  volume: UID,
  replica,
  pool,
  sizeBytes: 4096,
  volumeName: 'pgdata',
});
export const remove = (replica = R1, pool = 'default'): PoolSpec => ({ kind: 'delete-replica', volume: UID, replica, pool });
export const HUNG = `its disk has not answered for ${POOL_SILENT_MS / 1000} s; it stays quarantined until this agent is started again`;
