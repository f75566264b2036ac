/** The whole control loop in memory while the API server is away: what a caretaker does, what it leaves, and what follows when the API server is back. */
import { expect } from 'chai';
import { collectionPath, type StorageNodeObject } from '../../../operator/api.ts';
import { KEYS } from '../../support/operator/builders.ts';
import { Rig } from '../../support/operator/rig.ts';

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const NODES = collectionPath('storagenodes');

async function rigWith(letters: string): Promise<Rig> {
  const rig = new Rig();
  for (const letter of letters) rig.start(letter);
  rig.elect();
  await rig.until('nodes are known', () => rig.api.objectsOf(NODES).length === letters.length);
  return rig;
}

async function served(rig: Rig, name = 'pgdata', node = 'node-a'): Promise<void> {
  await rig.create(name, { attachTo: node });
  await rig.until('healthy', () => rig.phase(name) === 'Healthy');
}

/** `lease`: also the Lease cannot be renewed any more. */
function goAway(rig: Rig, lease: 'held' | 'not held' = 'not held'): void {
  rig.api.isDown = true;
  rig.api.breakWatches();
  rig.holdsLease = lease === 'held';
}

function comeBack(rig: Rig): void {
  rig.api.isDown = false;
  rig.holdsLease = true;
}

const reasons = (rig: Rig): string[] => rig.api.objectsOf(EVENTS).map((event) => (event as unknown as { reason: string }).reason);
const nodesOf = (rig: Rig): string[] => (rig.config('pgdata')?.shards[0]?.members ?? []).map(({ node }) => node).sort();

describe('operator: the API server is away', function () {
  this.timeout(60_000);

  for (const lease of ['held', 'not held'] as const) {
    it(`promotes an agent that was started again, and people see it afterwards (the Lease is ${lease})`, async () => {
      const rig = await rigWith('abc');
      await served(rig);
      goAway(rig, lease);
      rig.start('a');
      await rig.until('epoch 2 is whole', () => rig.config('pgdata')?.epoch === 2 && rig.config('pgdata')?.shards[0]?.inSync.length === 3);
      expect([rig.volume('pgdata')?.status?.epoch, reasons(rig)]).to.deep.equal([1, ['Scheduled', 'Attached', 'Healthy']]);
      comeBack(rig);
      await rig.until('people see it', () => rig.volume('pgdata')?.status?.epoch === 2 && rig.phase('pgdata') === 'Healthy');
      expect(reasons(rig)).to.include('AgentRestarted');
    });
  }

  it('fences a primary that is gone for good, and attaches elsewhere when people can say where', async () => {
    const rig = await rigWith('abc');
    await served(rig);
    goAway(rig);
    rig.kill('a');
    await rig.until('fenced', () => rig.config('pgdata')?.epoch === 2);
    expect(rig.config('pgdata')?.primary).to.equal(null);
    comeBack(rig);
    rig.change('pgdata', { attachTo: 'node-b' });
    await rig.until('served on b', () => rig.volume('pgdata')?.status?.attachment?.node === 'node-b');
  });

  it('has a detached volume that lost a replica brought back', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    goAway(rig);
    const [config] = rig.configs;
    const [shard] = config?.shards ?? [];
    if (!config || !shard) throw new Error('no config');
    const learner = { ...shard, members: shard.members.map((member, index) => (index === 2 ? { ...member, leftAt: 3 } : member)) };
    rig.store.put(KEYS.volume(config.uid), {
      ...config,
      version: config.version + 1,
      shards: [{ ...learner, inSync: shard.inSync.slice(0, 2) }],
    });
    await rig.until('all are in sync', () => rig.config('pgdata')?.shards[0]?.inSync.length === 3);
  });

  it('replaces a replica that failed', async () => {
    const rig = await rigWith('abcd');
    await served(rig);
    goAway(rig);
    const failed = rig.config('pgdata')?.shards[0]?.members.find(({ node }) => node !== 'node-a');
    if (!failed) throw new Error('no member');
    const volume = rig.configs[0]?.uid ?? ('' as never);
    rig.agents.get(failed.node)?.failed.push({ volume, replica: failed.replica, reason: 'a flipped bit' });
    await rig.until(
      'another is there, in sync',
      () => !nodesOf(rig).includes(failed.node) && rig.config('pgdata')?.shards[0]?.inSync.length === 3,
    );
    expect(nodesOf(rig)).to.have.length(3);
    comeBack(rig);
    await rig.until('people are told', () => reasons(rig).includes('ReplicaReplaced') && rig.phase('pgdata') === 'Healthy');
  });

  it('ends the making of a volume that was placed before', async () => {
    const rig = await rigWith('abc');
    for (const letter of 'abc') rig.agent(letter).isStill = true;
    await rig.create('pgdata');
    await rig.until('filed', () => rig.store.entriesOf(KEYS.tasks).size === 3);
    for (const letter of 'abc') rig.agent(letter).isStill = false;
    goAway(rig);
    await rig.until('made', () => rig.config('pgdata')?.shards[0]?.inSync.length === 3);
    comeBack(rig);
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
  });

  it('begins nothing that people ask for, takes nothing away, and does all of it afterwards', async () => {
    const rig = await rigWith('abcd');
    await served(rig);
    await served(rig, 'doomed', 'node-b');
    // Seen before the API server went away, and not acted on: what was asked for may be otherwise since.
    rig.holdsLease = false;
    rig.change('pgdata', { attachTo: 'node-c', replicas: 2, size: '3Gi' });
    rig.api.change<StorageNodeObject>(`${NODES}/node-d`, ({ spec }) => Object.assign(spec, { evict: true }));
    rig.api.delete(rig.path('doomed'));
    await rig.create('new');
    await rig.createSnapshot('now', 'pgdata');
    rig.api.deleteByForce(rig.path('doomed'));
    const before = rig.configs;
    const written = new Map(rig.api.written);
    await rig.step(200);
    expect(rig.configs).to.deep.equal(before);
    expect(rig.store.entriesOf(KEYS.tasks).size).to.equal(0);
    expect(rig.api.written).to.deep.equal(written);
    rig.holdsLease = true;
    await rig.until('all of it is done', () => rig.config('pgdata')?.primary?.node === 'node-c' && rig.config('doomed') === null);
    await rig.until('all are healthy', () => rig.phase('pgdata') === 'Healthy' && rig.phase('new') === 'Healthy', 2_000);
    expect(rig.volume('pgdata')?.status?.inSync).to.equal('2/2');
  });

  it('decides nothing in a term that has not seen the API server: what it saw before may be long over', async () => {
    const rig = await rigWith('abc');
    await served(rig);
    goAway(rig);
    rig.elect();
    rig.start('a');
    await rig.step(50);
    expect(rig.config('pgdata')?.epoch).to.equal(1);
    comeBack(rig);
    await rig.until('served again', () => rig.config('pgdata')?.epoch === 2 && rig.phase('pgdata') === 'Healthy');
  });

  it('stops as soon as etcd names another, though it has nothing to write', async () => {
    const rig = await rigWith('abc');
    await served(rig);
    goAway(rig);
    await rig.step(20);
    const gets = rig.deposals;
    rig.store.put(KEYS.leader, { generation: 99, holder: 'another' });
    await rig.until('deposed', () => rig.deposals > gets, 20);
    rig.start('a');
    await rig.step(50);
    expect(rig.config('pgdata')?.epoch).to.equal(1);
  });

  it('does not count the time in which the API server was away against anybody', async () => {
    const rig = await rigWith('abcd');
    await served(rig);
    const before = nodesOf(rig);
    goAway(rig);
    await rig.step(1_000);
    comeBack(rig);
    await rig.step(100);
    expect([nodesOf(rig), rig.config('pgdata')?.epoch, rig.phase('pgdata')]).to.deep.equal([before, 1, 'Healthy']);
  });
});
