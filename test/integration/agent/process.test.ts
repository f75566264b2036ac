/** One agent as a process: registers, does tasks, ends; whoever kills it, and whatever it was given. */
import { existsSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { newReplicaId, volumeUid } from '../../../core/ids.ts';
import { systemRandom } from '../../../core/random.ts';
import type { CreateSpec, Task, TaskSpec } from '../../../core/task.ts';
import { Agents, keys, LeaderStandIn } from '../../support/agents.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const LEASE_MS = 3_000;
/** For etcd to notice that a lease has run out. */
const EXPIRY_MARGIN_MS = 2_500;

const createSpec = (): CreateSpec => ({
  kind: 'create-replica',
  volume: volumeUid('uid-1'),
  replica: newReplicaId(systemRandom),
  pool: 'default',
  sizeBytes: 16 * MIB,
  volumeName: 'one',
});
const deletionOf = ({ volume, replica, pool }: CreateSpec): TaskSpec => ({ kind: 'delete-replica', volume, replica, pool });

describe('an agent process', function () {
  this.timeout(60_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  beforeEach(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
  });
  afterEach(() => agents.remove());

  it('registers with all it has, is ready, and shows its metrics only to those with a certificate', async () => {
    const labels = { ZONE: 'eu-1', LABELS: 'disk=nvme', POOL_TAGS: 'default=fast' };
    const agent = await agents.start('node-a', labels);
    const machine = await agents.machine('node-a');
    expect(machine).to.deep.include({ node: 'node-a', zone: 'eu-1', labels: { disk: 'nvme' }, settingsVersion: 0, failedReplicas: [] });
    expect(machine?.pools[0]).to.include({ name: 'default', state: 'ready', allocatedBytes: 0 });
    expect(machine?.pools[0]?.tags).to.deep.equal(['fast']);
    await until('ready', async () => (await agents.get(agent, '/readyz', false)).status === 200);
    expect((await agents.get(agent, '/readyz/whole', false)).body, 'an update waits a moment longer').to.match(/^volumes: /);
    expect((await agents.get(agent, '/metrics', false)).status).to.equal(401);
    const { body } = await agents.get(agent, '/metrics');
    for (const name of ['primaries_count 0', 'replicas_count{state="served"} 0', 'event_loop_delay_seconds_count']) {
      expect(body).to.contain(`holdfast_${name}`);
    }
    const [, leaseLost] = /^holdfast_lease_lost_seconds (\S+)$/m.exec(body) ?? [];
    expect(Number(leaseLost), 'it has its lease').to.be.lessThan(1);
    // One thread a disk more or less decides whether a disk that hangs takes the others along.
    expect(readdirSync(`/proc/${agent.child.pid}/task`).length).to.be.greaterThan(8);
  });

  it('vanishes within its lease when it is killed, and comes back at once under another instance', async () => {
    const agent = await agents.start('node-a');
    const before = await agents.machine('node-a');
    await agent.kill();
    const killedMs = performance.now();
    await until('the machine is gone', async () => (await agents.machine('node-a')) === null, LEASE_MS + EXPIRY_MARGIN_MS);
    expect(performance.now() - killedMs).to.be.greaterThan(1_000);
    const startedMs = performance.now();
    const again = await agents.start('node-a');
    const usualMs = performance.now() - startedMs;
    const after = await agents.machine('node-a');
    expect(after?.instance).to.not.equal(before?.instance);
    // Killed and started before the lease has run out: it does not wait for its own former self.
    await again.kill();
    const restartedMs = performance.now();
    await agents.start('node-a');
    expect(performance.now() - restartedMs, 'as quick as a start with nobody there').to.be.lessThan(usualMs + LEASE_MS - 500);
  });

  it('stopped, it takes everything back at once and ends with 0', async () => {
    const agent = await agents.start('node-a');
    const stoppedMs = performance.now();
    expect(await agent.kill('SIGTERM')).to.equal(0);
    expect(await agents.machine('node-a')).to.equal(null);
    expect(performance.now() - stoppedMs).to.be.lessThan(LEASE_MS);
  });

  it('does tasks, also again, and says what went wrong', async () => {
    await agents.start('node-a');
    const spec = createSpec();
    const created = await leader.ended(await leader.file('node-a', spec));
    expect(created).to.include({ state: 'done', attempt: 1 });
    expect(await agents.read(keys.claim(created.id))).to.equal(null);
    expect(agents.replicasOn('node-a')).to.deep.equal([spec.replica]);
    expect((await leader.ended(await leader.file('node-a', spec))).state).to.equal('done');
    const huge = await leader.ended(await leader.file('node-a', { ...createSpec(), pool: 'slow' }));
    expect(huge).to.include({ state: 'failed', error: "pool slow is not one of this agent's (default)" });
    await until('told', async () => (await agents.machine('node-a'))?.pools[0]?.allocatedBytes === 16 * MIB);
    expect((await leader.ended(await leader.file('node-a', deletionOf(spec)))).state).to.equal('done');
    expect(agents.replicasOn('node-a')).to.deep.equal([]);
    const late = await leader.ended(await leader.file('node-a', spec));
    expect(late.state, 'an id never comes again').to.equal('failed');
  });

  it('killed in the middle of its tasks, each is done once in effect, and none is lost', async () => {
    let agent = await agents.start('node-a');
    const ends = new Map<string, number>();
    const states = new Map<string, string>();
    const view = agents.store.view(keys.tasksOf('node-a'), () => {
      for (const { key, value } of view.entries.values()) {
        const { state, attempt } = JSON.parse(value) as Task;
        const now = `${state}/${attempt}`;
        if (states.get(key) !== now && state === 'done') ends.set(key, (ends.get(key) ?? 0) + 1);
        states.set(key, now);
      }
    });
    const tasks: Task[] = [];
    for (let index = 0; index < 40; index++) tasks.push(await leader.file('node-a', createSpec()));
    for (let kills = 0; kills < 3; kills++) {
      await until('a task is claimed', async () => (await agents.store.list(keys.claims)).entries.length > 0, 5_000);
      await agent.kill();
      agent = await agents.start('node-a');
    }
    await until(
      'all are done',
      async () => {
        for (const task of tasks) await leader.refile(task);
        const all = await Promise.all(tasks.map((task) => leader.task(task)));
        return all.every((task) => task?.state === 'done');
      },
      30_000,
    );
    await until('the view shows it', () => ends.size === tasks.length);
    view.close();
    expect([...ends.values()].every((count) => count === 1)).to.equal(true);
    expect(agents.replicasOn('node-a').sort()).to.deep.equal(tasks.map(({ spec }) => (spec as CreateSpec).replica).sort());
    expect((await agents.store.list(keys.claims)).entries).to.deep.equal([]);
  });

  it('a second one on the same pool ends with 1 and a sentence that names the first; the first goes on', async () => {
    const first = await agents.start('node-a');
    const second = await agents.spawn('node-b', { POOLS: `default=${agents.poolDirectory('node-a')}` });
    expect(await second.ended).to.equal(1);
    const last = second.lines.at(-1) as { error?: { message?: string } } | undefined;
    expect(last?.error?.message).to.match(new RegExp(`pool default: .* is in use by process ${first.child.pid}; only one agent`));
    const third = await agents.spawn('node-c', { RUN_DIR: agents.runDirectory('node-a') });
    expect(await third.ended).to.equal(1);
    expect(JSON.stringify(third.lines.at(-1))).to.match(/RUN_DIR .* is in use by process/);
    expect(first.isRunning).to.equal(true);
    expect(await agents.machine('node-b')).to.equal(null);
  });

  it('one with the same name displaces it: the newest start wins, the older ends with a sentence', async () => {
    const older = await agents.start('node-a');
    await agents.environment('node-b');
    const other = { POOLS: `default=${agents.poolDirectory('node-b')}`, RUN_DIR: agents.runDirectory('node-b') };
    const newer = await agents.start('node-a', other);
    expect(await older.ended).to.equal(1);
    expect(JSON.stringify(older.lines.at(-1))).to.match(/another agent has registered as node-a/);
    expect(newer.isRunning).to.equal(true);
    expect(await agents.machine('node-a')).to.not.equal(null);
  });

  it('lists all problems of a bad configuration, starts nothing, and ends with 2', async () => {
    const pools = path.join(agents.directory, 'nowhere');
    const bad = {
      POOLS: `default=${pools}`,
      ETCD_LEASE_SECONDS: '1',
      LOG_LEVEL: 'loud',
      REPLICATION_LISTEN: '0.0.0.0',
      TLS_KEY: '/nowhere',
    };
    const agent = await agents.spawn('node-a', bad);
    expect(await agent.ended).to.equal(2);
    expect(agent.stderr).to.match(/^holdfast-agent: 5 problems in the configuration, nothing started:\n/);
    for (const key of Object.keys(bad)) expect(agent.stderr).to.contain(`  ${key}`);
    expect(agent.stderr).to.contain(`${pools} does not exist`);
    expect(existsSync(agents.runDirectory('node-a')), 'nothing was made').to.equal(false);
    expect(await agents.machine('node-a')).to.equal(null);
  });

  it('takes settings as a whole or not at all, and says which it runs', async () => {
    const agent = await agents.start('node-a');
    await agents.put(keys.settings, { version: 3, values: { leaseMs: 4_000 } });
    await until('version 3', async () => (await agents.machine('node-a'))?.settingsVersion === 3);
    await agents.put(keys.settings, { version: 4, values: { leaseMs: 5_000, heartbeatMs: 1 } });
    await until('refused', () => agent.said('settings refused, the ones before stay in force'));
    expect((await agents.get(agent, '/metrics')).body).to.contain('holdfast_settings_refused_total 1');
    await agents.put(keys.settings, { version: 5, values: {} });
    await until('version 5', async () => (await agents.machine('node-a'))?.settingsVersion === 5);
  });

  it('a damaged replica is told with file and reason, harms no other, and can be deleted', async () => {
    const agent = await agents.start('node-a');
    const config = await leader.createVolume('one', ['node-a'], 16 * MIB);
    const other = await leader.createVolume('two', ['node-a'], 16 * MIB);
    const [replica, otherReplica] = [config, other].map(({ shards }) => shards[0]?.members[0]?.replica ?? '');
    await agent.kill();
    truncateSync(path.join(agents.poolDirectory('node-a'), 'replicas', String(replica), 'intents'), 100);
    await agents.start('node-a');
    const failed = (await agents.machine('node-a'))?.failedReplicas;
    expect(failed?.length).to.equal(1);
    expect(failed?.[0]).to.include({ replica, volume: config.uid });
    expect(failed?.[0]?.reason).to.match(/intents: .*/);
    await leader.promote(other.uid, 'node-a');
    await leader.served(other.uid);
    const deleted = { put: keys.deletedOf(config.uid), value: '{}' };
    await agents.store.commit([], [{ delete: keys.volume(config.uid) }, { delete: keys.pointer('node-a', config.uid) }, deleted]);
    const removal = { kind: 'delete-replica', volume: config.uid, replica: replica as never, pool: 'default' } as const;
    expect((await leader.ended(await leader.file('node-a', removal))).state).to.equal('done');
    expect(agents.replicasOn('node-a')).to.deep.equal([otherReplica]);
    await until('no longer told', async () => (await agents.machine('node-a'))?.failedReplicas.length === 0);
  });

  it('a replica that a config says is here, and no pool has, is told as missing', async () => {
    const agent = await agents.start('node-a');
    const config = await leader.createVolume('one', ['node-a'], 16 * MIB);
    const replica = config.shards[0]?.members[0]?.replica ?? '';
    await agent.kill();
    rmSync(path.join(agents.poolDirectory('node-a'), 'replicas', replica), { recursive: true });
    await agents.start('node-a');
    const failed = await until('told', async () => (await agents.machine('node-a'))?.failedReplicas[0]);
    expect(failed).to.include({ replica, volume: config.uid });
    expect(failed.reason).to.contain('missing');
  });

  it('removes the sockets that a killed process left, and nothing else', async () => {
    const agent = await agents.start('node-a');
    const { uid } = await leader.createVolume('one', ['node-a'], 16 * MIB);
    await leader.promote(uid, 'node-a');
    const socket = await leader.served(uid);
    await agent.kill();
    const bystander = path.join(agents.runDirectory('node-a'), 'notes.sock');
    writeFileSync(bystander, 'not a socket');
    expect(existsSync(socket)).to.equal(true);
    await agents.start('node-a');
    expect(existsSync(socket)).to.equal(false);
    expect(existsSync(bystander)).to.equal(true);
  });

  it('registers again after etcd was silent for longer than its lease, without having ended', async () => {
    const agent = await agents.start('node-a');
    const before = await agents.machine('node-a');
    await agents.etcd.kill();
    await until(
      'the lease counts as lost',
      async () => /^holdfast_lease_lost_seconds [1-9]/m.test((await agents.get(agent, '/metrics')).body),
      15_000,
    );
    await agents.etcd.start();
    await until('back', async () => (await agents.machine('node-a').catch(() => null))?.instance === before?.instance, 20_000);
    const { id } = await leader.file('node-a', createSpec());
    await until('does tasks', async () => (await agents.read<Task>(keys.task('node-a', id)))?.state === 'done');
    expect(agent.isRunning).to.equal(true);
  });
});
