/** Where replicas on other nodes answer, as a worker knows it. */
import { expect } from 'chai';
import { PeerAddresses } from '../../../../agent/workers/peerAddresses.ts';
import { configWith } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';

const ADDRESS = { host: '10.0.0.2', port: 9450 };

function setUp() {
  const clock = new ManualClock();
  const asked: string[] = [];
  const addresses = new PeerAddresses({ clock, ask: (node, pool) => asked.push(`${node}/${pool}`) });
  return { clock, asked, addresses };
}

describe('the addresses that a worker knows', () => {
  it('are asked for when somebody dials, at most once a second each', () => {
    const { clock, asked, addresses } = setUp();
    expect(addresses.resolve('node-b', 'default')).to.equal(null);
    addresses.resolve('node-b', 'default');
    addresses.resolve('node-b', 'fast');
    expect(asked).to.deep.equal(['node-b/default', 'node-b/fast']);
    clock.advance(1_000);
    addresses.resolve('node-b', 'default');
    expect(asked).to.deep.equal(['node-b/default', 'node-b/fast', 'node-b/default']);
  });

  it('follow what control says, and stay when it knows none any more', () => {
    const { addresses } = setUp();
    addresses.resolve('node-b', 'default');
    addresses.told({ node: 'node-b', pool: 'default', address: ADDRESS });
    expect(addresses.resolve('node-b', 'default')).to.deep.equal(ADDRESS);
    addresses.told({ node: 'node-b', pool: 'default', address: null });
    expect(addresses.resolve('node-b', 'default')).to.deep.equal(ADDRESS);
    addresses.told({ node: 'node-b', pool: 'default', address: { ...ADDRESS, port: 9460 } });
    expect(addresses.resolve('node-b', 'default')).to.deep.equal({ ...ADDRESS, port: 9460 });
  });

  it('that nobody asked for are not kept', () => {
    const { addresses } = setUp();
    addresses.told({ node: 'node-b', pool: 'default', address: ADDRESS });
    expect(addresses.resolve('node-b', 'default')).to.equal(null);
  });

  it('of a volume are asked for before its primary dials, but not those of this node', () => {
    const { asked, addresses } = setUp();
    addresses.prepare(configWith(), 'node-a');
    expect(asked).to.deep.equal(['node-b/default', 'node-c/default']);
  });
});
