/** Pools whose disks hang: when that is noticed, and what becomes of what lies on them. */
import { expect } from 'chai';
import { POOL_SILENT_MS } from '../../../../agent/control/poolProxy.ts';
import { UID } from '../../../support/configs.ts';
import { create, HUNG, PoolsOfNode, R1, R2, remove, TICK_MS } from '../../../support/poolsOfNode.ts';

describe('a pool that does not answer', () => {
  it('is given up after 20 s: its replicas have failed, its tasks end, the other pool goes on', async () => {
    const node = await new PoolsOfNode().open([R1]);
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
    const node = await new PoolsOfNode().open([R1]);
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
    const node = await new PoolsOfNode().open([R1]);
    node.default.oldestCallMs = POOL_SILENT_MS - 1;
    await node.run(5_000);
    expect(node.report()).to.include({ state: 'ready' });
    node.default.oldestCallMs = POOL_SILENT_MS;
    await node.run(3_000);
    expect(node.report()).to.include({ state: 'quarantined', reason: HUNG });
    expect(node.default.engines[0]?.isClosed).to.equal(true);
  });

  it('is not blamed for a time in which the whole process stood still', async () => {
    const node = await new PoolsOfNode().open([R1]);
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
    const node = new PoolsOfNode();
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
    const node = new PoolsOfNode();
    node.fast.open();
    await node.run(30_000);
    expect(node.report()).to.include({ state: 'quarantined', reason: 'it is still being opened' });
    node.default.open([R1]);
    await node.run(1_000);
    expect(node.report()).to.include({ state: 'ready' });
    expect(node.pools.count()).to.deep.equal({ served: 1, failed: 0 });
  });
});
