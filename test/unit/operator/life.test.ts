/** The whole control loop in memory: lives of volumes, told as sentences, and then as chance has them. */
import { expect } from 'chai';
import { keysOf } from '../../../core/keys.ts';
import type { ServingReport } from '../../../core/machine.ts';
import type { StorageNodeObject } from '../../../operator/api.ts';
import { collectionPath } from '../../../operator/api.ts';
import { KEYS } from '../../support/operator/builders.ts';
import { Rig } from '../../support/operator/rig.ts';

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';

async function rigWith(letters: string): Promise<Rig> {
  const rig = new Rig();
  for (const letter of letters) rig.start(letter);
  rig.elect();
  await rig.until('nodes are known', () => rig.api.objectsOf(collectionPath('storagenodes')).length === letters.length);
  return rig;
}

const keysLeft = (rig: Rig): string[] =>
  [...rig.store.entriesOf(KEYS.root).keys()].filter(
    (key) => !key.startsWith(KEYS.machines) && !key.startsWith(KEYS.deleted) && ![KEYS.leader, KEYS.settings, KEYS.schema].includes(key),
  );
const reasons = (rig: Rig): string[] => rig.api.objectsOf(EVENTS).map((event) => (event as unknown as { reason: string }).reason);

describe('operator: lives of volumes, in memory', function () {
  this.timeout(60_000);

  it('makes, attaches, detaches and deletes one, and leaves nothing', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    expect(rig.volume('pgdata')?.status?.inSync).to.equal('3/3');
    rig.change('pgdata', { attachTo: 'node-b' });
    await rig.until('attached', () => rig.volume('pgdata')?.status?.attachment?.node === 'node-b');
    await rig.until('healthy again', () => rig.phase('pgdata') === 'Healthy');
    rig.change('pgdata', { attachTo: '' });
    await rig.until('detached', () => rig.config('pgdata')?.primary === null);
    rig.api.delete(rig.path('pgdata'));
    await rig.until('gone', () => rig.volume('pgdata') === null);
    await rig.until('no task is left', () => keysLeft(rig).length === 0);
    expect(rig.disks.all).to.deep.equal([]);
    expect(reasons(rig)).to.deep.equal(['Scheduled', 'Healthy', 'Attached', 'Healthy', 'Detached']);
  });

  it('says of every node why a volume is pending, and places it when that changes', async () => {
    const rig = await rigWith('ab');
    await rig.create('pgdata');
    await rig.until('pending', () => rig.phase('pgdata') === 'Pending');
    expect(rig.volume('pgdata')?.status?.unschedulable).to.deep.equal([
      { node: 'node-a', reason: 'could hold one, but 3 are needed and only 2 found' },
      { node: 'node-b', reason: 'could hold one, but 3 are needed and only 2 found' },
    ]);
    rig.start('c');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    expect(rig.volume('pgdata')?.status).to.not.have.property('unschedulable');
  });

  it('fails over when the agent that serves is gone, and takes the replica back', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('attached', () => rig.phase('pgdata') === 'Healthy');
    rig.kill('a');
    await rig.until('unavailable', () => rig.phase('pgdata') === 'Unavailable');
    expect(rig.config('pgdata')).to.deep.include({ epoch: 2, primary: null });
    rig.change('pgdata', { attachTo: 'node-b' });
    await rig.until('served on b', () => rig.volume('pgdata')?.status?.attachment?.node === 'node-b');
    expect(rig.phase('pgdata')).to.equal('Degraded');
    rig.start('a');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    expect(rig.config('pgdata')?.epoch).to.equal(3);
  });

  it('promotes an agent anew that was started again, without anybody asking', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('attached', () => rig.phase('pgdata') === 'Healthy');
    rig.start('a');
    await rig.until('epoch 2 is served', () => rig.config('pgdata')?.epoch === 2 && rig.phase('pgdata') === 'Healthy');
    expect(reasons(rig)).to.include('AgentRestarted');
  });

  it('replaces a failed replica, attached or not, and deletes its files', async () => {
    for (const attachTo of ['node-a', '']) {
      const rig = await rigWith('abcd');
      await rig.create('pgdata', { attachTo });
      await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
      const failed = rig.config('pgdata')?.shards[0]?.members.find(({ node }) => node !== attachTo);
      if (!failed) throw new Error('no member');
      rig.agents
        .get(failed.node)
        ?.failed.push({ volume: rig.configs[0]?.uid ?? ('' as never), replica: failed.replica, reason: 'a flipped bit' });
      await rig.until(
        'the member is gone',
        () => !rig.config('pgdata')?.shards[0]?.members.some(({ replica }) => replica === failed.replica),
      );
      await rig.until('healthy again', () => rig.phase('pgdata') === 'Healthy' && !rig.disks.all.includes(failed.replica));
      expect(reasons(rig)).to.include.members(['ReplicaFailed', 'ReplicaReplaced']);
    }
  });

  it('replaces the replica of a node that stays away, and deletes it when that comes back', async () => {
    const rig = await rigWith('abcd');
    rig.replaceAfterMs = 5_000;
    rig.elect();
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const [away] = rig.config('pgdata')?.shards[0]?.members ?? [];
    if (!away) throw new Error('no member');
    rig.kill(away.node.slice(-1));
    await rig.until(
      'healthy without it',
      () => rig.phase('pgdata') === 'Healthy' && !rig.volume('pgdata')?.status?.replicas?.some(({ node }) => node === away.node),
    );
    expect(rig.disks.all).to.include(away.replica);
    rig.start(away.node.slice(-1));
    await rig.until('deleted', () => !rig.disks.all.includes(away.replica) && rig.store.entriesOf(KEYS.tasks).size === 0);
  });

  it('grows and shrinks the number of replicas', async () => {
    const rig = await rigWith('abcde');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    rig.change('pgdata', { replicas: 5 });
    await rig.until('five', () => rig.volume('pgdata')?.status?.inSync === '5/5' && rig.config('pgdata')?.minInSync === 3);
    rig.change('pgdata', { replicas: 1 });
    await rig.until('one', () => rig.volume('pgdata')?.status?.inSync === '1/1' && rig.disks.all.length === 1);
    expect(rig.config('pgdata')?.minInSync).to.equal(1);
  });

  it('makes a replica elsewhere that an agent cannot make', async () => {
    const rig = await rigWith('abcd');
    rig.agent('a').failCreatesWith = 'no space';
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    expect(rig.config('pgdata')?.shards[0]?.members.map(({ node }) => node)).to.have.members(['node-b', 'node-c', 'node-d']);
  });

  it('leaves a deletion to a machine that is away, and ends it when that is back', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    rig.kill('a');
    rig.api.delete(rig.path('pgdata'));
    await rig.until('gone', () => rig.volume('pgdata') === null);
    await rig.until('one task is left', () => rig.store.entriesOf(KEYS.tasks).size === 1);
    expect(rig.disks.all.length).to.equal(1);
    rig.start('a');
    await rig.until('nothing is left', () => keysLeft(rig).length === 0 && rig.disks.all.length === 0);
  });

  it('cleans up after an object that was removed by force, and only after that', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    rig.api.deleteByForce(rig.path('pgdata'));
    await rig.until('nothing is left', () => keysLeft(rig).length === 0 && rig.disks.all.length === 0);
  });

  it('does not touch a volume that only its view does not show', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const list = rig.api.list.bind(rig.api);
    rig.api.list = async (path) => ({ ...(await list(path)), ...(path === collectionPath('volumes') ? { items: [] } : {}) });
    rig.api.breakWatches();
    await rig.step(100);
    expect(rig.config('pgdata')).to.not.equal(null);
    expect(rig.disks.all.length).to.equal(3);
  });

  it('shows nodes as they are, also when they are gone', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const node = () => rig.api.object<StorageNodeObject>(`${collectionPath('storagenodes')}/node-a`);
    const ready = () => node()?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    await rig.until('it holds one', () => node()?.status?.replicas === 1 && ready() === 'True');
    expect(node()?.status).to.deep.include({ capacity: '100Gi', used: '0' });
    rig.kill('a');
    await rig.until('not ready', () => ready() === 'False');
    expect(node()?.status).to.deep.include({ capacity: '100Gi', replicas: 1 });
  });

  it('writes how far a learner is only now and then', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const config = rig.config('pgdata');
    const [shard] = config?.shards ?? [];
    if (!config || !shard) throw new Error('no config');
    for (const letter of 'abc') rig.agent(letter).isStill = true;
    const learner = shard.inSync.at(-1);
    rig.store.put(KEYS.volume(config.uid), { ...config, shards: [{ ...shard, inSync: shard.inSync.slice(0, 2) }] });
    const report = rig.store.json<ServingReport>(KEYS.servingOf(config.uid));
    const statusWrites = () => rig.api.written.get(`${rig.path('pgdata')}/status`) ?? 0;
    const before = statusWrites();
    for (let step = 1; step <= 60; step++) {
      const replicas = [{ replica: learner, state: 'learner', doneBytes: step, totalBytes: 100, bytesPerSecond: 1 }];
      rig.store.put(KEYS.servingOf(config.uid), { ...report, replicas });
      await rig.step();
    }
    expect(statusWrites() - before).to.be.within(3, 5); // at once, then every 2 s for 6 s
    expect(rig.volume('pgdata')?.status?.replicas?.some(({ progress }) => (progress?.doneBytes ?? 0) >= 40)).to.equal(true);
  });

  it('asks for no write of a status whose object has changed since the pass looked', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    rig.store.commitFaults.push('held');
    rig.change('pgdata', { attachTo: 'node-b' });
    await rig.step(2);
    rig.change('pgdata', { attachTo: 'node-c' });
    await rig.step(2);
    rig.store.release();
    await rig.until('it is served there', () => rig.volume('pgdata')?.status?.attachment?.node === 'node-c');
    expect(rig.api.conflicts).to.equal(0);
  });

  it('starts no transaction after the Lease was lost', async () => {
    const rig = await rigWith('abc');
    const nowhere = { nodeSelector: { no: 'where' }, poolTags: [], zones: 'Ignore' as const };
    for (let index = 0; index < 20; index++) await rig.create(`v${index}`, { placement: nowhere });
    await rig.until('all are pending', () => rig.volumes.every(({ status }) => status?.unschedulable !== undefined));
    for (const letter of 'abc') rig.agent(letter).isStill = true;
    rig.store.commitFaults.push(...Array.from({ length: 20 }, () => 'held' as const));
    for (let index = 0; index < 20; index++) rig.change(`v${index}`, { placement: { ...nowhere, nodeSelector: {} } });
    const before = rig.store.asked.length;
    await rig.step(5);
    expect(rig.store.asked.length - before).to.equal(16);
    rig.depose();
    rig.store.release();
    await rig.step(5);
    expect(rig.store.asked.length - before).to.equal(16);
  });

  it('moves replicas to a machine that is added, until all are about as full, whoever leads', async () => {
    const rig = await rigWith('abc');
    for (const name of ['v0', 'v1', 'v2', 'v3']) await rig.create(name, { size: '20Gi' });
    const allHealthy = (): boolean => rig.volumes.every(({ status }) => status?.phase === 'Healthy' && status.inSync === '3/3');
    await rig.until('healthy', allHealthy);
    rig.start('d');
    const on = (letter: string): number =>
      rig.configs.filter(({ shards }) => shards[0]?.members.some(({ node }) => node === `node-${letter}`)).length;
    await rig.until('some are on their way', () => on('d') > 0);
    rig.elect();
    await rig.until('all have three', () => [...'abcd'].every((letter) => on(letter) === 3));
    await rig.until('at rest', () => allHealthy() && rig.disks.all.length === 12 && rig.store.entriesOf(KEYS.tasks).size === 0);
    const before = rig.configs.map(({ version }) => version);
    await rig.step(700);
    expect(rig.configs.map(({ version }) => version)).to.deep.equal(before);
  });

  it('publishes the settings once, whoever leads', async () => {
    const rig = await rigWith('a');
    await rig.until('settings', () => rig.store.entry(KEYS.settings) !== null);
    const { revision } = rig.store.entry(KEYS.settings) ?? {};
    rig.elect();
    await rig.step(20);
    expect(rig.store.entry(KEYS.settings)?.revision).to.equal(revision);
    expect(keysOf('test').settings).to.equal(KEYS.settings);
  });
});
