import { expect } from 'chai';
import { Ledger } from '../../../../operator/placement/ledger.ts';
import { poolLevels } from '../../../../operator/placement/levels.ts';
import { config, GiB, placementNode, pool } from '../../../support/operator/builders.ts';

const LIMITS = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };
const levelsOf = (change: Parameters<typeof pool>[0], ledger = new Ledger([])): string[] =>
  poolLevels([placementNode('a', { pools: [pool(change)] })], ledger, LIMITS).map(({ limit, level }) => `${limit} ${level}`);

describe('operator: how near pools are to their limits', () => {
  const rows: [situation: string, change: Parameters<typeof pool>[0], levels: string[]][] = [
    ['nothing is near', { usedBytes: 70 * GiB, allocatedBytes: 150 * GiB }, []],
    ['much is used', { usedBytes: 80 * GiB }, ['pressure near']],
    ['it is pressed, and not yet full', { usedBytes: 86 * GiB }, ['pressure reached', 'reserve near']],
    ['it is full', { usedBytes: 96 * GiB }, ['pressure reached', 'reserve reached']],
    ['much is promised', { allocatedBytes: 175 * GiB }, ['overProvisioning near']],
    ['all is promised', { allocatedBytes: 190 * GiB }, ['overProvisioning reached']],
  ];
  for (const [situation, change, levels] of rows) {
    it(`are told when ${situation}`, () => expect(levelsOf(change)).to.deep.equal(levels));
  }

  it('count what configs promise as well', () => {
    expect(levelsOf({}, new Ledger([config({ sizeBytes: 180 * GiB }, 'a')]))).to.deep.equal(['overProvisioning near']);
  });

  it('say nothing of a pool that could not be opened: nobody knows how large it is', () =>
    expect(levelsOf({ state: 'quarantined', capacityBytes: 0, usedBytes: 0, allocatedBytes: 4096 })).to.deep.equal([]));

  it('say nothing of nodes that are away', () => {
    expect(poolLevels([placementNode('a', null)], new Ledger([]), LIMITS)).to.deep.equal([]);
  });
});

describe('operator: the ledger from pass to pass', () => {
  it('forgets what a pass gave away, and follows configs', () => {
    const ledger = new Ledger([config({ sizeBytes: GiB }, 'ab')]);
    ledger.reserve('node-a', 'default', GiB);
    expect([ledger.promisedBytes('node-a', 'default'), ledger.replicas('node-a')]).to.deep.equal([2 * GiB, 2]);
    ledger.beginPass();
    expect([ledger.promisedBytes('node-a', 'default'), ledger.replicas('node-a')]).to.deep.equal([GiB, 1]);
    ledger.replace(config({ sizeBytes: GiB }, 'ab'), config({ sizeBytes: 3 * GiB }, 'bc'));
    expect(['node-a', 'node-b', 'node-c'].map((node) => [ledger.promisedBytes(node, 'default'), ledger.replicas(node)])).to.deep.equal([
      [0, 0],
      [3 * GiB, 1],
      [3 * GiB, 1],
    ]);
  });
});
