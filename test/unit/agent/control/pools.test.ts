/** Pools and their workers: what lies where, and what fails. */
import { expect } from 'chai';
import { configWith, UID } from '../../../support/configs.ts';
import { create, PoolsOfNode, R1, R2, remove, reportOf, TICK_MS } from '../../../support/poolsOfNode.ts';
import { atRest } from '../../../support/scriptedStore.ts';

describe('the pools of a node', () => {
  it('are told as quarantined until they are open, then with what the disk says and where they answer', async () => {
    const node = new PoolsOfNode();
    expect(node.report()).to.deep.include({ state: 'quarantined', reason: 'it is still being opened', tags: ['nvme'] });
    expect(node.report()).to.not.have.property('address');
    expect(node.pools.areSettled).to.equal(false);
    await node.open();
    expect(node.report()).to.deep.equal({ ...reportOf('default'), address: '10.0.0.1:9450' });
    expect(node.pools.areSettled).to.equal(true);
  });

  it('that are in use end the agent, with the sentence', async () => {
    const node = new PoolsOfNode();
    node.default.fail('pool default: /pool is in use by process 7', false);
    await atRest();
    expect(node.refused).to.deep.equal(['pool default: /pool is in use by process 7']);
  });

  it('whose disk cannot be used are quarantined with the reason, and what should be on them has failed; the others go on', async () => {
    const node = new PoolsOfNode();
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
    const node = await new PoolsOfNode().open();
    node.config = configWith();
    expect(await node.pools.perform(create())).to.equal(null);
    expect(node.pools.count()).to.deep.equal({ served: 1, failed: 0 });
    expect(node.default.engines[0]?.observed).to.deep.equal([configWith()]);
    expect(await node.pools.perform(remove())).to.equal(null);
    expect(node.pools.count()).to.deep.equal({ served: 0, failed: 0 });
    expect(await node.pools.perform(create(R1, 'slow'))).to.equal("pool slow is not one of this agent's (default, fast)");
  });

  it('never have one id twice', async () => {
    const node = await new PoolsOfNode().open([R1]);
    expect(await node.pools.perform(create(R1, 'fast'))).to.match(/is here already, in pool default, and is another/);
    expect(await node.pools.perform(remove(R1, 'fast'))).to.match(/is in pool default, not in fast/);
    expect(node.fast.calls).to.deep.equal([]);
  });

  it('hear of later configs, the latest only while they are busy', async () => {
    const node = await new PoolsOfNode().open([R1]);
    node.default.isHeld = true;
    for (const version of [3, 4, 5, 6]) node.pools.observe(configWith({ version }));
    await atRest();
    node.default.goOn();
    await atRest();
    expect(node.default.engines[0]?.observed.map(({ version }) => version)).to.deep.equal([3, 6]);
  });

  it('hear of configs that were seen while they were opened', async () => {
    const node = new PoolsOfNode();
    node.pools.observe(configWith());
    await node.open([R1]);
    expect(node.default.engines[0]?.observed).to.deep.equal([configWith()]);
  });

  it('hear of a volume only where a replica of it lies or is to lie', async () => {
    const node = await new PoolsOfNode().open([R1]);
    await node.pools.perform(create(R2, 'fast'));
    const elsewhere = configWith({ version: 4, shards: [{ members: [], inSync: [] }] });
    node.pools.observe(elsewhere);
    await atRest();
    for (const { engines } of [node.default, node.fast]) expect(engines[0]?.observed).to.deep.equal([elsewhere]);
    await node.pools.perform(remove(R2, 'fast'));
    node.fast.isHeld = true;
    node.pools.observe({ ...elsewhere, version: 5 });
    await atRest();
    expect(node.fast.heldBack, 'it holds none any more').to.equal(0);
  });

  it('tell replicas that failed, and those that are missing, but not while it is not known what is there', async () => {
    const node = new PoolsOfNode();
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
    const node = await new PoolsOfNode().open([R1]);
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
