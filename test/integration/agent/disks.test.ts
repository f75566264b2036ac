/** Disks that hang, fail or fill up: each harms its own replicas, while the other pool and the other volumes of the same agent go on. */
import { expect } from 'chai';
import { POOL_SILENT_MS } from '../../../agent/control/poolProxy.ts';
import { newReplicaId, volumeUid } from '../../../core/ids.ts';
import type { PoolReport } from '../../../core/machine.ts';
import { systemRandom } from '../../../core/random.ts';
import type { TaskSpec } from '../../../core/task.ts';
import { type AgentProcess, Agents, LeaderStandIn, replicaOn } from '../../support/agents.ts';
import { HandNbdClient } from '../../support/nbdClient.ts';
import { SickDisk } from '../../support/sickDisk.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
const NODES = ['node-a', 'node-b', 'node-c'];
const BLOCK = Buffer.alloc(4096, 0x5a);
/** Of a volume that has nothing to do with the disk that is ill. On a loaded machine, with flushes to three disks. */
const NEIGHBOUR_MS_MAX = 2_500;
/** Of one that has a replica on it: a flush that hangs is given up with its disk, after 10 s of silence. */
const OWN_MS_MAX = POOL_SILENT_MS + 6_000;
const HTTP_MS_MAX = 1_000;

/** What is read there was never read before: the kernel does not have it, and the disk has to be asked. */
const COLD_OFFSET = SIZE / 2;

/** Writes and flushes one block after the other, reads it, and reads one that is new to it, until it is told to stop; each must succeed. */
class Writer {
  longestMs = 0;
  count = 0;
  readonly #client: HandNbdClient;
  readonly #ended: Promise<void>;
  #isStopped = false;

  private constructor(client: HandNbdClient) {
    this.#client = client;
    this.#ended = this.#write();
    this.#ended.catch(() => undefined);
  }

  static async start(socket: string, name: string): Promise<Writer> {
    return new Writer(await HandNbdClient.open(socket, name));
  }

  /** Rejects when anything failed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
    this.#client.close();
  }

  async #write(): Promise<void> {
    while (!this.#isStopped) {
      const startedMs = performance.now();
      const offset = (this.count % 1024) * 16_384;
      const answers = [
        await this.#client.write(offset, BLOCK),
        await this.#client.flush(),
        await this.#client.read(offset, BLOCK.length),
        await this.#client.read(COLD_OFFSET + (this.count % 4096) * BLOCK.length, BLOCK.length),
      ];
      for (const answer of answers) expect(answer).to.include({ outcome: 'replied', error: 0 });
      this.longestMs = Math.max(this.longestMs, performance.now() - startedMs);
      this.count++;
    }
  }
}

describe('a disk that is ill', function () {
  this.timeout(120_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  let agent: AgentProcess;
  let disk: SickDisk | null = null;

  const poolsOf = (sick: SickDisk) => ({ POOLS: `default=${agents.poolDirectory('node-a')},sick=${sick.directory}` });
  const report = async (): Promise<PoolReport | undefined> => (await agents.machine('node-a'))?.pools.find(({ name }) => name === 'sick');
  const isQuarantined = async (): Promise<PoolReport | null> => {
    const found = await report();
    return found?.state === 'quarantined' ? found : null;
  };
  const createSpec = (pool: string): TaskSpec => ({
    kind: 'create-replica',
    volume: volumeUid('uid-of-another'),
    replica: newReplicaId(systemRandom),
    pool,
    sizeBytes: 4 * MIB,
    volumeName: 'another',
  });

  /** `ill` has a replica on the sick disk, `well` has none; both have their primaries beside it. */
  async function setUp(sick: SickDisk) {
    disk = sick;
    const started = await Promise.all(NODES.map((node) => agents.start(node, node === 'node-a' ? poolsOf(sick) : {})));
    agent = started[0] as AgentProcess;
    const ill = await leader.createVolume('ill', NODES, SIZE, (node) => (node === 'node-a' ? 'sick' : 'default'));
    const well = await leader.createVolume('well', NODES, SIZE);
    for (const { uid } of [ill, well]) await leader.promote(uid, 'node-a');
    const writers = {
      ill: await Writer.start(await leader.served(ill.uid), 'ill'),
      well: await Writer.start(await leader.served(well.uid), 'well'),
    };
    await until('both are written', () => writers.ill.count > 10 && writers.well.count > 10);
    const inSync = async () => (await leader.config(ill.uid)).shards[0]?.inSync ?? [];
    const isOut = async () => !(await inSync()).includes(replicaOn(ill, 'node-a'));
    return { ill, well, writers, isOut };
  }

  /** Control is not held up: HTTP answers, the lease lives, no writer failed or waited for long. */
  async function expectOthersUnharmed({ writers, well }: Awaited<ReturnType<typeof setUp>>): Promise<void> {
    const askedMs = performance.now();
    expect((await agents.get(agent, '/readyz', false)).status).to.equal(200);
    expect(performance.now() - askedMs).to.be.lessThan(HTTP_MS_MAX);
    expect((await agents.get(agent, '/metrics')).body).to.match(/^holdfast_lease_lost_seconds 0(\.\d+)?$/m);
    const before = writers.well.count;
    await until('the other volume is written on', () => writers.well.count > before + 10);
    await writers.well.stop();
    await writers.ill.stop();
    expect(writers.well.longestMs, 'a volume beside it').to.be.lessThan(NEIGHBOUR_MS_MAX);
    expect(writers.ill.longestMs, 'a volume that loses a replica').to.be.lessThan(OWN_MS_MAX);
    expect((await leader.config(well.uid)).shards[0]?.inSync.length).to.equal(NODES.length);
    expect(agent.isRunning).to.equal(true);
  }

  beforeEach(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
  });
  afterEach(async () => {
    // First it goes on: a process that waits for it cannot even be killed.
    disk?.goOn();
    await agents.remove();
    await disk?.remove();
    disk = null;
  });

  it('and hangs is quarantined, its replica replaced; the agent ends within its bound all the same', async () => {
    const sick = await SickDisk.frail();
    const set = await setUp(sick);
    sick.hang();
    const hungMs = performance.now();
    await until('its replica leaves the in-sync set', set.isOut, 2 * POOL_SILENT_MS);
    const found = await until('it is told as quarantined', isQuarantined, 2 * POOL_SILENT_MS);
    expect(performance.now() - hungMs, 'no earlier than it may').to.be.greaterThan(POOL_SILENT_MS - 1_000);
    expect(found.reason).to.match(/its disk has not answered for 20 s; it stays quarantined until/);
    const failed = await until('its replica is told as failed', async () => (await agents.machine('node-a'))?.failedReplicas[0]);
    expect(failed).to.include({ volume: set.ill.uid, replica: replicaOn(set.ill, 'node-a') });
    expect(failed.reason).to.contain('pool sick: its disk has not answered');
    const task = await leader.ended(await leader.file('node-a', createSpec('sick')), 5_000);
    expect(task).to.include({ state: 'failed', error: `pool sick: ${found.reason}` });
    expect((await leader.ended(await leader.file('node-a', createSpec('default')))).state).to.equal('done');
    // Levels are looked at once a second.
    const counts = async () => (await agents.get(agent, '/metrics')).body.includes('holdfast_pool_quarantined_count{pool="sick"} 1');
    await until('its metrics say so', counts);
    await expectOthersUnharmed(set);

    const stoppedMs = performance.now();
    agent.child.kill('SIGTERM');
    await until('it gives up its name', async () => (await agents.machine('node-a')) === null, 15_000);
    await until('it says how it ends', () => agent.said('program kills itself: a thread of it is stuck in the kernel'), 15_000);
    expect(performance.now() - stoppedMs).to.be.lessThan(15_000);
    // What the kernel does not let go of is no longer ours to bound.
    sick.goOn();
    expect(await agent.ended).to.equal('SIGKILL');
  });

  it('and hangs already when the agent starts does not keep it from serving what else it has', async () => {
    const sick = await SickDisk.frail();
    disk = sick;
    await agents.environment('node-a');
    const first = await agents.start('node-a', poolsOf(sick));
    const volume = await leader.createVolume('well', ['node-a'], SIZE);
    await first.kill();
    sick.hang();
    const startedMs = performance.now();
    agent = await agents.start('node-a', poolsOf(sick));
    expect(performance.now() - startedMs).to.be.lessThan(POOL_SILENT_MS + 15_000);
    expect((await until('it is told as quarantined', isQuarantined)).reason).to.match(/still being opened|has not answered/);
    await leader.promote(volume.uid, 'node-a');
    const writer = await Writer.start(await leader.served(volume.uid), 'well');
    await until('it is written', () => writer.count > 10);
    await writer.stop();
    const reason = await until(
      'the reason is told',
      async () => {
        const found = await isQuarantined();
        return found?.reason?.includes('has not answered for 20 s') ? found.reason : null;
      },
      2 * POOL_SILENT_MS,
    );
    expect(reason).to.contain('until this agent is started again');
  });

  it('and fails with EIO is quarantined at once, its replica fails for good', async () => {
    const sick = await SickDisk.frail();
    const set = await setUp(sick);
    sick.fail();
    const found = await until('it is told as quarantined', isQuarantined);
    expect(found.reason).to.match(/EIO|EROFS/);
    await until('its replica leaves the in-sync set', set.isOut);
    const failed = await until('its replica is told as failed', async () => (await agents.machine('node-a'))?.failedReplicas[0]);
    expect(failed).to.include({ volume: set.ill.uid, replica: replicaOn(set.ill, 'node-a') });
    await expectOthersUnharmed(set);
  });

  it('and is full ends only the session of the replica on it: degraded and told, nothing is quarantined', async () => {
    const sick = await SickDisk.small(24 * MIB);
    const set = await setUp(sick);
    const client = await HandNbdClient.open(await leader.served(set.ill.uid), 'ill');
    const mebibyte = Buffer.alloc(MIB, 0x77);
    for (let index = 16; index < 48; index++) {
      expect(await client.write(index * MIB, mebibyte), `at ${index} MiB`).to.include({ outcome: 'replied', error: 0 });
    }
    client.close();
    await until('its replica leaves the in-sync set', set.isOut);
    const told = await until('the report says why', async () => {
      const progress = (await leader.report(set.ill.uid))?.replicas.find(({ replica }) => replica === replicaOn(set.ill, 'node-a'));
      return progress && progress.state !== 'inSync' ? progress : null;
    });
    expect(told.state).to.be.oneOf(['learner', 'out']);
    await expectOthersUnharmed(set);
    expect(await report()).to.include({ state: 'ready' });
    expect((await agents.machine('node-a'))?.failedReplicas).to.deep.equal([]);
  });
});
