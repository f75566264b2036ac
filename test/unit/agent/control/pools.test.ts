/** Pools and their workers, over channels within one thread: what lies where, what fails, what hangs. */
import { expect } from 'chai';
import { POOL_SILENT_MS, PoolProxy } from '../../../../agent/control/poolProxy.ts';
import { type ExpectedReplica, Pools } from '../../../../agent/control/pools.ts';
import type { ReplicaMeta, ReplicaStore } from '../../../../agent/ports.ts';
import type { Accept, ReplicaLink } from '../../../../agent/replication/link.ts';
import { type Channel, channelWithinThread } from '../../../../agent/workers/channel.ts';
import type { FromPool, ToPool } from '../../../../agent/workers/messages.ts';
import { PoolHost } from '../../../../agent/workers/poolHost.ts';
import type { OpenedPool, PoolProblem } from '../../../../agent/workers/poolPort.ts';
import type { PoolPort } from '../../../../agent/workers/replicas.ts';
import type { VolumeConfig } from '../../../../core/config.ts';
import type { ReplicaId } from '../../../../core/ids.ts';
import { silentLog } from '../../../../core/log.ts';
import type { PoolReport } from '../../../../core/machine.ts';
import type { PoolSpec } from '../../../../core/task.ts';
import type { FromReplica } from '../../../../core/wire/messages.ts';
import { configWith, INSTANCE, REPLICAS, UID } from '../../../support/configs.ts';
import { FakeReplica } from '../../../support/fakeEngines.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest } from '../../../support/scriptedStore.ts';

const R1 = REPLICAS[0] as ReplicaId;
const R2 = REPLICAS[1] as ReplicaId;
const TICK_MS = 50;

const storeOf = (replica: ReplicaId): ReplicaStore =>
  ({
    meta: { format: 1, volume: UID, volumeName: 'pgdata', replica, sizeBytes: 4096, failed: null, config: null } as ReplicaMeta,
  }) as ReplicaStore;
const reportOf = (name: string): PoolReport => ({
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
  readonly #listeners: ((message: ToPool) => void)[] = [];
  readonly proxySide: Channel<ToPool, FromPool>;

  constructor(name: string, clock: ManualClock) {
    this.name = name;
    const [here, there] = channelWithinThread<ToPool, FromPool>();
    this.proxySide = here;
    there.listen((message) => (this.isHeld ? this.#held.push(message) : this.#hear(message)));
    this.#host = new PoolHost({
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

  tick(): void {
    if (!this.isHeld) this.#host.tick();
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

class Node {
  readonly clock = new ManualClock();
  readonly workers = new Map(['default', 'fast'].map((name) => [name, new Worker(name, this.clock)]));
  readonly refused: string[] = [];
  readonly hung: string[] = [];
  config: VolumeConfig | null = null;
  expected: ExpectedReplica[] = [];
  readonly pools: Pools;

  constructor() {
    const proxies = [...this.workers.values()].map(
      ({ name, proxySide }) =>
        new PoolProxy({
          name,
          tags: ['nvme'],
          channel: proxySide,
          addressOf: (port) => `10.0.0.1:${port}`,
          clock: this.clock,
          log: silentLog,
          refused: (problem) => this.refused.push(problem),
          hung: (reason) => this.hung.push(reason),
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
      for (const worker of this.workers.values()) worker.tick();
      this.pools.tick();
      // Microtasks carry the messages: a few turns are enough.
      await Promise.resolve().then(() => undefined);
    }
    await atRest();
  }

  report(name = 'default'): PoolReport | undefined {
    return this.pools.reports().find((one) => one.name === name);
  }
}

const create = (replica = R1, pool = 'default'): PoolSpec => ({
  kind: 'create-replica',
  volume: UID,
  replica,
  pool,
  sizeBytes: 4096,
  volumeName: 'pgdata',
});
const remove = (replica = R1, pool = 'default'): PoolSpec => ({ kind: 'delete-replica', volume: UID, replica, pool });
const HUNG = `its disk has not answered for ${POOL_SILENT_MS / 1000} s; it stays quarantined until this agent is started again`;

describe('the pools of a node', () => {
  it('are told as quarantined until they are open, then with what the disk says and where they answer', async () => {
    const node = new Node();
    expect(node.report()).to.deep.include({ state: 'quarantined', reason: 'it is still being opened', tags: ['nvme'] });
    expect(node.report()).to.not.have.property('address');
    expect(node.pools.areSettled).to.equal(false);
    await node.open();
    expect(node.report()).to.deep.equal({ ...reportOf('default'), address: '10.0.0.1:9450' });
    expect(node.pools.areSettled).to.equal(true);
  });

  it('that are in use end the agent, with the sentence', async () => {
    const node = new Node();
    node.default.fail('pool default: /pool is in use by process 7', false);
    await atRest();
    expect(node.refused).to.deep.equal(['pool default: /pool is in use by process 7']);
  });

  it('whose disk cannot be used are quarantined with the reason, and what should be on them has failed; the others go on', async () => {
    const node = new Node();
    node.default.fail('pool default: EIO', true);
    node.fast.open();
    await atRest();
    node.expected = [{ volume: UID, replica: R1, pool: 'default' }];
    expect(node.report()).to.include({ state: 'quarantined', reason: 'pool default: EIO' });
    expect(node.pools.failed()).to.deep.equal([{ volume: UID, replica: R1, reason: 'pool default: EIO' }]);
    expect(await node.pools.perform(create())).to.equal('pool default: EIO');
    expect(await node.pools.perform(create(R2, 'fast'))).to.equal(null);
    expect(node.refused).to.deep.equal([]);
  });

  it('do what a task says, and what they hold is known when it has ended', async () => {
    const node = await new Node().open();
    node.config = configWith();
    expect(await node.pools.perform(create())).to.equal(null);
    expect(node.pools.count()).to.deep.equal({ served: 1, failed: 0 });
    expect(node.default.engines[0]?.observed).to.deep.equal([configWith()]);
    expect(await node.pools.perform(remove())).to.equal(null);
    expect(node.pools.count()).to.deep.equal({ served: 0, failed: 0 });
    expect(await node.pools.perform(create(R1, 'slow'))).to.equal("pool slow is not one of this agent's (default, fast)");
  });

  it('never have one id twice', async () => {
    const node = await new Node().open([R1]);
    expect(await node.pools.perform(create(R1, 'fast'))).to.match(/is here already, in pool default, and is another/);
    expect(await node.pools.perform(remove(R1, 'fast'))).to.match(/is in pool default, not in fast/);
    expect(node.fast.calls).to.deep.equal([]);
  });

  it('hear of later configs, the latest only while they are busy', async () => {
    const node = await new Node().open([R1]);
    node.default.isHeld = true;
    for (const version of [3, 4, 5, 6]) node.pools.observe(configWith({ version }));
    await atRest();
    node.default.goOn();
    await atRest();
    expect(node.default.engines[0]?.observed.map(({ version }) => version)).to.deep.equal([3, 6]);
  });

  it('hear of configs that were seen while they were opened', async () => {
    const node = new Node();
    node.pools.observe(configWith());
    await node.open([R1]);
    expect(node.default.engines[0]?.observed).to.deep.equal([configWith()]);
  });

  it('tell replicas that failed, and those that are missing, but not while it is not known what is there', async () => {
    const node = new Node();
    node.expected = [{ volume: UID, replica: R2, pool: 'default' }];
    expect(node.pools.failed()).to.deep.equal([]);
    await node.open([R1]);
    node.default.engines[0]?.fail('fdatasync: EIO');
    await node.run(TICK_MS);
    expect(node.pools.failed()).to.deep.equal([
      { volume: UID, replica: R1, reason: 'fdatasync: EIO' },
      { volume: UID, replica: R2, reason: 'its files are missing: no pool of this agent has them' },
    ]);
  });

  it('are closed when each has said so', async () => {
    const node = await new Node().open([R1]);
    node.fast.isHeld = true;
    node.pools.close();
    await atRest();
    expect([node.default.isClosed, node.default.engines[0]?.isClosed, node.pools.areClosed]).to.deep.equal([true, true, false]);
    expect(await node.pools.perform(create(R2))).to.equal('pool default: the agent is stopping');
    node.fast.goOn();
    await atRest();
    expect(node.pools.areClosed).to.equal(true);
  });
});

describe('a pool that does not answer', () => {
  it('is given up after 10 s: its replicas have failed, its tasks end, the other pool goes on', async () => {
    const node = await new Node().open([R1]);
    await node.run(2_000);
    node.default.isHeld = true;
    const asked = node.pools.perform(create(R2));
    await node.run(POOL_SILENT_MS - 1_000);
    expect(node.report()).to.include({ state: 'ready' });
    await node.run(2_500);
    expect(node.report()).to.include({ state: 'quarantined', reason: HUNG, address: '10.0.0.1:9450' });
    expect(node.hung).to.deep.equal([HUNG]);
    expect(await asked).to.equal(`pool default: ${HUNG}`);
    expect(node.pools.failed()).to.deep.equal([{ volume: UID, replica: R1, reason: `pool default: ${HUNG}` }]);
    expect(node.pools.count()).to.deep.equal({ served: 0, failed: 1 });
    expect(await node.pools.perform(remove())).to.equal(`pool default: ${HUNG}`);
    expect(await node.pools.perform(create(R2, 'fast'))).to.equal(null);
    expect(node.report('fast')).to.include({ state: 'ready' });
  });

  it('and answers again stays given up, serves no one, and lets its replicas be deleted', async () => {
    const node = await new Node().open([R1]);
    node.default.isHeld = true;
    await node.run(POOL_SILENT_MS + 2_000);
    node.default.goOn();
    await node.run(2_000);
    expect(node.report()).to.include({ state: 'quarantined', reason: HUNG });
    expect(node.default.engines[0]?.isClosed, 'its session ends').to.equal(true);
    expect(node.default.knock(R1)).to.include({ type: 'refused', code: 'failed', message: `pool default: ${HUNG}` });
    expect(await node.pools.perform(create(R2))).to.equal(`pool default: ${HUNG}`);
    expect(await node.pools.perform(remove())).to.equal(null);
    expect(node.pools.failed()).to.deep.equal([]);
  });

  it('of which only a sync hangs is given up, too, and ends the sessions of its replicas', async () => {
    const node = await new Node().open([R1]);
    node.default.oldestCallMs = POOL_SILENT_MS - 1;
    await node.run(5_000);
    expect(node.report()).to.include({ state: 'ready' });
    node.default.oldestCallMs = POOL_SILENT_MS;
    await node.run(3_000);
    expect(node.report()).to.include({ state: 'quarantined', reason: HUNG });
    expect(node.default.engines[0]?.isClosed).to.equal(true);
  });

  it('is not blamed for a time in which the whole process stood still', async () => {
    const node = await new Node().open([R1]);
    await node.run(2_000);
    for (const worker of node.workers.values()) worker.isHeld = true;
    await node.run(1_500);
    node.clock.advance(60_000);
    node.pools.tick();
    for (const worker of node.workers.values()) worker.goOn();
    node.default.oldestCallMs = 60_000;
    await node.run(TICK_MS);
    node.default.oldestCallMs = 0;
    await node.run(5_000);
    expect(node.report()).to.include({ state: 'ready' });
    expect(node.hung).to.deep.equal([]);
  });

  it('while it is opened does not hold up the agent, and is served by no one when it opens after all', async () => {
    const node = new Node();
    node.fast.open();
    node.default.isHeld = true;
    node.expected = [{ volume: UID, replica: R1, pool: 'default' }];
    await node.run(POOL_SILENT_MS + 2_000);
    expect(node.pools.areSettled).to.equal(true);
    expect(node.pools.failed()).to.deep.equal([{ volume: UID, replica: R1, reason: `pool default: ${HUNG}` }]);
    node.default.goOn();
    node.default.open([R1]);
    await node.run(2_000);
    expect(node.report()).to.include({ state: 'quarantined', reason: HUNG });
    expect(node.default.knock(R1)).to.include({ type: 'refused', code: 'failed' });
  });

  it('that is only slow to open is ready when it has opened', async () => {
    const node = new Node();
    node.fast.open();
    await node.run(30_000);
    expect(node.report()).to.include({ state: 'quarantined', reason: 'it is still being opened' });
    node.default.open([R1]);
    await node.run(1_000);
    expect(node.report()).to.include({ state: 'ready' });
    expect(node.pools.count()).to.deep.equal({ served: 1, failed: 0 });
  });
});
