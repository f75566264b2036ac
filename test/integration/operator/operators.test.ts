/**
 * Two real operators over real etcd and kube-apiserver, with agents that the test plays: what happens to leaders, to etcd, to the API server, and what is
 * then true of the world.
 */
import { expect } from 'chai';
import { Leadership } from '../../../operator/election/generation.ts';
import { pool } from '../../support/operator/builders.ts';
import { FIRST_START_MS, fetchText, RealCluster } from '../../support/operator/realCluster.ts';
import { until } from '../../support/until.ts';

/** A Lease lasts 6 s, and is looked at every 1.5 s. */
const TAKE_OVER_BOUND_MS = 15_000;
const LEASE = ['lease', 'operator.holdfast.dev', '-n', 'holdfast-system'];

describe('operator: two of them', function () {
  this.timeout(120_000);
  let real: RealCluster;

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 2 });
    for (const letter of 'abcd') real.play(letter, { zone: letter < 'c' ? 'left' : 'right' });
  });
  after(async () => real?.stop());

  /** Starts what a test killed, and waits until one leads and all answer. */
  async function mended(): Promise<void> {
    await real.cluster.grow(0, 2);
    await real.leader(TAKE_OVER_BOUND_MS);
  }

  it('both answer, and exactly one leads', async () => {
    await real.leader();
    for (const operator of real.cluster.operators) {
      const url = real.cluster.url(`operator/${operator}`);
      expect(await fetchText(`${url}/healthz`, real.cluster.administrator)).to.be.a('string');
      expect(await fetchText(`${url}/readyz`, real.cluster.administrator)).to.match(/ok|views/);
    }
    const settings = await until('settings are published', () => real.store.get(real.keys.settings));
    expect(JSON.parse(settings.value)).to.deep.include({ version: 1 });
  });

  it('knows the nodes whose agents registered', async () => {
    const ready = async (): Promise<string> => (await real.cluster.kubectl(['get', 'hn', '--no-headers'])).trim();
    const table = await until('four are ready', async () => ((await ready()).match(/True +True/g)?.length === 4 ? ready() : null));
    expect(table.split('\n')[0]?.trim().split(/\s+/).slice(0, 7)).to.deep.equal(['node-a', 'True', 'True', '0', '0', '100Gi', 'left']);
  });

  it('leads a volume through its life and leaves no key, file or object', async () => {
    await real.create('life', { size: '1Gi' });
    expect((await real.untilPhase('life', 'Healthy')).status?.inSync).to.equal('3/3');
    await real.change('life', { attachTo: 'node-a' });
    const attached = await until('it is attached', async () =>
      (await real.volume('life'))?.status?.attachment ? real.volume('life') : null,
    );
    expect(attached?.status?.attachment?.socket).to.equal('/run/holdfast/life.sock');
    // The views keep no managedFields, and what is written back has none: the API server still knows whose the fields are.
    const shown = await real.cluster.kubectl(['get', 'hv', 'life', '--show-managed-fields', '-o', 'json']);
    const { managedFields } = (JSON.parse(shown) as { metadata: { managedFields: { fieldsV1: object }[] } }).metadata;
    expect(JSON.stringify(managedFields)).to.include('"f:size"').and.include('"f:finalizers"').and.include('"f:phase"');
    await real.change('life', { attachTo: 'node-b' });
    await until('it has moved', async () => (await real.volume('life'))?.status?.attachment?.node === 'node-b');
    await real.change('life', { attachTo: null, replicas: 2 });
    await until('it is detached, with two', async () => {
      const status = (await real.volume('life'))?.status;
      return status?.phase === 'Healthy' && status.inSync === '2/2' && status.primary === undefined && real.disks.all.length === 2;
    });
    await real.cluster.kubectl(['delete', 'hv', 'life', '--timeout=30s']);
    expect(await until('nothing is left', async () => ((await real.keysLeft()).length === 0 ? 'clean' : null))).to.equal('clean');
    expect(real.disks.all).to.deep.equal([]);
    expect(await real.reasons('life')).to.include.members(['Scheduled', 'Healthy', 'Attached', 'Detached']);
  });

  it('says of every node why nothing fits, and places it when something does', async () => {
    await real.create('wide', { size: '1Gi', replicas: 3, placement: { zones: 'Require' } });
    const pending = await real.untilPhase('wide', 'Pending');
    expect(pending.status?.unschedulable).to.have.length(4);
    expect(pending.status?.unschedulable?.map(({ reason }) => reason)).to.include(
      'zone left holds a replica already, and placement.zones is Require',
    );
    expect(await until('people are told', async () => ((await real.reasons('wide')).includes('Unschedulable') ? 'told' : null))).to.equal(
      'told',
    );
    await real.kill('d');
    real.play('d', { zone: 'third' });
    expect((await real.untilPhase('wide', 'Healthy')).status?.unschedulable).to.equal(undefined);
    await real.cluster.kubectl(['delete', 'hv', 'wide', '--timeout=30s']);
  });

  it('goes on where a killed leader stopped: in the middle of making a volume', async () => {
    const leader = await real.leader();
    const generation = await real.generation();
    for (const letter of 'abcd') real.agent(letter).isStill = true;
    await real.create('halfway', { size: '1Gi', attachTo: 'node-a' });
    await until('tasks are filed', async () => (await real.store.list(real.keys.tasks)).entries.length === 3);
    await real.cluster.process(`operator/${leader}`).kill('SIGKILL');
    for (const letter of 'abcd') real.agent(letter).isStill = false;
    await real.untilPhase('halfway', 'Healthy', TAKE_OVER_BOUND_MS + 15_000);
    expect(await real.generation()).to.be.greaterThan(generation);
    expect(await real.leader()).to.not.equal(leader);
    await mended();
  });

  it('fails over a volume whose agent is gone, though the leader is killed at the same moment', async () => {
    const leader = await real.leader();
    const before = await real.config('halfway');
    expect(before?.primary?.node).to.equal('node-a');
    await Promise.all([real.cluster.process(`operator/${leader}`).kill('SIGKILL'), real.kill('a')]);
    await real.change('halfway', { attachTo: 'node-b' });
    await until(
      'node-b serves it',
      async () => (await real.volume('halfway'))?.status?.attachment?.node === 'node-b',
      TAKE_OVER_BOUND_MS + 15_000,
    );
    expect((await real.config('halfway'))?.epoch).to.equal((before?.epoch ?? 0) + 1);
    expect(await real.reasons('halfway')).to.include('FailedOver');
    real.play('a');
    await real.untilPhase('halfway', 'Healthy');
    await mended();
  });

  it('lets a leader that stood still write nothing any more', async () => {
    const leader = await real.leader();
    const process = real.cluster.process(`operator/${leader}`);
    const record = await real.store.get(real.keys.leader);
    await process.kill('SIGSTOP');
    try {
      await until(
        'another leads',
        async () => (await real.generation()) > JSON.parse(record?.value ?? '{}').generation,
        TAKE_OVER_BOUND_MS,
      );
      await real.create('meanwhile', { size: '1Gi', replicas: 1 });
      await real.untilPhase('meanwhile', 'Healthy');
    } finally {
      await process.kill('SIGCONT');
    }
    await until('it knows', async () => (await real.metric(leader, 'holdfast_leader_count')) === 0);
    expect(await real.leader()).to.not.equal(leader);
    // What it would have written with the record it held.
    const old = new Leadership(real.store, real.keys, 0, record?.value ?? '');
    expect((await old.commit([], [{ put: `${real.keys.root}probe`, value: '' }])).kind).to.equal('fenced');
    expect(await real.store.get(`${real.keys.root}probe`)).to.equal(null);
    await real.cluster.kubectl(['delete', 'hv', 'meanwhile', '--timeout=30s']);
  });

  it('hands over at once when it is asked to stop', async () => {
    const leader = await real.leader();
    const generation = await real.generation();
    const startMs = performance.now();
    await real.cluster.process(`operator/${leader}`).kill('SIGTERM');
    await until('another leads', async () => (await real.generation()) > generation, TAKE_OVER_BOUND_MS);
    expect(performance.now() - startMs, 'sooner than a Lease runs out').to.be.lessThan(5_000);
    await mended();
  });

  it('never lets the generation fall, though the Lease is deleted', async () => {
    const generation = await real.generation();
    await real.cluster.kubectl(['delete', ...LEASE]);
    await until(
      'the Lease is there again',
      async () => (await real.cluster.kubectl(['get', ...LEASE, '--ignore-not-found', '-o', 'name'])).trim() !== '',
      TAKE_OVER_BOUND_MS,
    );
    await until(
      'one leads',
      async () => (await real.generation()) >= generation && (await real.leaders()).length === 1,
      TAKE_OVER_BOUND_MS,
    );
    const transitions = await until('the Lease has caught up', async () => {
      const count = Number(await real.cluster.kubectl(['get', ...LEASE, '-o', 'jsonpath={.spec.leaseTransitions}']));
      return count >= generation ? count : null;
    });
    expect(transitions).to.equal(await real.generation());
  });

  it('replaces a failed replica and deletes it', async () => {
    const config = await real.config('halfway');
    const failed = config?.shards[0]?.members.find(({ node }) => node !== 'node-b');
    if (!config || !failed) throw new Error('no such member');
    const agent = real.agent(failed.node.slice(-1));
    agent.failed.push({ volume: config.uid, replica: failed.replica, reason: 'stamps: page 3 has no valid slot' });
    await until('it is gone', () => !real.disks.all.includes(failed.replica), 30_000);
    expect((await real.untilPhase('halfway', 'Healthy')).status?.inSync).to.equal('3/3');
    expect(await real.reasons('halfway')).to.include.members(['ReplicaFailed', 'ReplicaReplaced']);
  });

  it('outlives etcd and the API server', async () => {
    const epoch = (await real.config('halfway'))?.epoch;
    await real.cluster.process('etcd/etcd-0').kill('SIGKILL');
    await real.cluster.process('apiserver/apiserver').kill('SIGKILL');
    await real.cluster.grow(0, 2);
    await real.leader(60_000);
    await real.create('after', { size: '1Gi' });
    await real.untilPhase('after', 'Healthy', 60_000);
    await real.untilPhase('halfway', 'Healthy', 60_000);
    expect((await real.config('halfway'))?.epoch).to.be.at.least(epoch ?? 1);
  });

  it('leaves a deletion to a machine that is away, which does it when it is back', async () => {
    const gone = (await real.config('after'))?.shards[0]?.members[0];
    const letter = gone?.node.slice(-1) ?? 'a';
    await real.kill(letter);
    await until('its key is gone', async () => (await real.store.get(real.keys.machine(`node-${letter}`))) === null);
    await real.cluster.kubectl(['delete', 'hv', 'after', '--timeout=60s']);
    expect(real.disks.all).to.include(gone?.replica);
    real.play(letter);
    await until('it is deleted', () => gone !== undefined && !real.disks.all.includes(gone.replica), 30_000);
    await until('its task is gone', async () => (await real.store.list(real.keys.tasks)).entries.length === 0);
  });

  it('cleans up after a volume whose object was removed by force', async () => {
    await real.create('forced', { size: '1Gi', attachTo: 'node-c' });
    await real.untilPhase('forced', 'Healthy');
    const replicas = (await real.config('forced'))?.shards[0]?.members.map(({ replica }) => replica) ?? [];
    for (const letter of 'abcd') real.agent(letter).isStill = true;
    await real.cluster.kubectl(['delete', 'hv', 'forced', '--wait=false']);
    await real.cluster.kubectl(['patch', 'hv', 'forced', '--type=merge', '-p', '{"metadata":{"finalizers":null}}']);
    expect(await real.volume('forced')).to.equal(null);
    for (const letter of 'abcd') real.agent(letter).isStill = false;
    await until(
      'nothing of it is left',
      async () => (await real.config('forced')) === null && !replicas.some((replica) => real.disks.all.includes(replica)),
      30_000,
    );
  });

  it('touches nothing whose config cannot be read, and says so', async () => {
    await real.create('damaged', { size: '1Gi' });
    await real.untilPhase('damaged', 'Healthy');
    const config = await real.config('damaged');
    if (!config) throw new Error('no config');
    await real.store.commit([], [{ put: real.keys.volume(config.uid), value: '{"uid":' }]);
    const failed = await real.untilPhase('damaged', 'Failed');
    expect(failed.status?.conditions?.[0]?.message).to.match(/^nothing is done to it: .* is not JSON$/);
    await real.store.commit([], [{ put: real.keys.volume(config.uid), value: JSON.stringify(config) }]);
    await real.untilPhase('damaged', 'Healthy');
  });

  it('says why a snapshot cannot be taken, takes it when it can, and starts a volume from it', async () => {
    await real.create('source', { size: '1Gi', replicas: 2, shards: 2 });
    await real.untilPhase('source', 'Healthy');
    const nightly = { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Snapshot', metadata: { name: 'nightly' }, spec: { volume: 'source' } };
    await real.cluster.kubectl(['create', '-f', '-'], JSON.stringify(nightly));
    await real.create('clone', { size: '2Gi', replicas: 3, shards: 2, source: { snapshot: 'nightly' } });
    const seen = () => real.cluster.kubectl(['get', 'hs', 'nightly', '-o', 'jsonpath={.status.phase}: {.status.error}']);
    const told = await until('it is answered', async () => (await seen()).includes('snapshots: unsupported on pool node-') && seen());
    expect(told).to.match(/^Pending: snapshots: unsupported on pool node-[a-d]\/default \(its file system cannot share blocks\)$/);
    const pending = await real.untilPhase('clone', 'Pending');
    expect(pending.status?.conditions?.[0]?.message).to.match(/^spec.source.snapshot: nightly is not ready: /);
    for (const letter of 'abcd') {
      await real.kill(letter);
      real.play(letter, { pools: [pool({ reflink: true })] });
    }
    const clone = await real.untilPhase('clone', 'Healthy');
    expect([clone.status?.inSync, clone.status?.size]).to.deep.equal(['3/3', '2Gi']);
    await real.cluster.kubectl(['delete', 'hs', 'nightly', '--timeout=30s']);
    expect(real.disks.allSnapshots).to.deep.equal([]);
    expect(await real.reasons('nightly')).to.include.members(['SnapshotWaits', 'SnapshotReady']);
  });

  it('leaves nothing in etcd when the last volume is gone', async () => {
    await real.cluster.kubectl(['delete', 'hv', '--all', '--timeout=60s']);
    await until('nothing is left', async () => (await real.keysLeft()).length === 0, 30_000);
    expect(real.disks.all).to.deep.equal([]);
  });
});
