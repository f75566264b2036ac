/** Reads of the local replica's bytes past its session: when they may be had, and when the session has to be asked. */
import { expect } from 'chai';
import { BLOCKS_PER_EXTENT } from '../../../../core/extent.ts';
import { PrimaryBench, SETTINGS } from '../../../support/primaryBench.ts';

const serving = (options: ConstructorParameters<typeof PrimaryBench>[0]): PrimaryBench => {
  const bench = new PrimaryBench(options);
  bench.pass(500);
  expect(bench.events).to.deep.equal(['socket opens']);
  return bench;
};
/** In another extent than block 0. */
const FAR = 2 * BLOCKS_PER_EXTENT;

describe('A read that waits for nobody', () => {
  it('is the local replica’s, which is not asked', () => {
    const bench = serving({ inSync: 'abc' });
    expect(bench.readNow(0)).to.equal('A');
    expect(bench.replica('a').told('read')).to.deep.equal([]);
  });

  it('is not to be had where the cache has not got it; asking goes on as ever', () => {
    const bench = serving({ inSync: 'ab' });
    for (const each of bench.cached) each.isCold = true;
    expect(bench.readNow(0)).to.equal(null);
    bench.read(0);
    bench.settle();
    expect(bench.answers).to.deep.equal(['read 0: from a']);
  });

  it('is not of a local replica that is not in sync, nor of any other', () => {
    expect(serving({ inSync: 'bc', learners: 'a' }).readNow(0)).to.equal(null);
    expect(serving({ inSync: 'bc' }).readNow(0)).to.equal(null);
  });

  it('is not of what a write in flight touches, until that is settled', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('b').mute.add('write');
    bench.write(4, 'write 4', false, 2);
    bench.settle();
    expect([3, 4, 5, 6].map((block) => bench.readNow(block))).to.deep.equal(['A', null, null, 'A']);
    bench.replica('b').mute.clear();
    bench.settle();
    expect(bench.readNow(4)).to.equal('A');
  });

  it('is not of what is in doubt, until it is level', () => {
    const bench = new PrimaryBench({
      inSync: 'ab',
      before: (made) => {
        made.replica('b').log = [0];
        made.replica('b').mute.add('digest');
      },
    });
    bench.pass(500);
    expect([bench.readNow(0), bench.readNow(FAR)]).to.deep.equal([null, 'A']);
    bench.replica('b').mute.clear();
    bench.pass(200);
    expect(bench.readNow(0)).to.equal('A');
  });

  it('leaves only under the lease of everybody who counts', () => {
    const bench = serving({ inSync: 'ab' });
    bench.nowMs += SETTINGS.leaseMs;
    expect(bench.readNow(0)).to.equal(null);
    bench.pass(200);
    expect(bench.readNow(0)).to.equal('A');
  });

  it('is none where there are no leases: somebody has to be asked', () => {
    const bench = serving({ inSync: 'ab', settings: { leaseMs: 0 } });
    expect(bench.readNow(0)).to.equal(null);
  });

  it('is the bytes first and the lease then: what was read under one that ran out meanwhile is told to nobody', () => {
    const bench = serving({ inSync: 'ab' });
    for (const each of bench.cached) {
      each.whileReading = () => {
        bench.nowMs += SETTINGS.leaseMs;
      };
    }
    expect(bench.readNow(0)).to.equal(null);
  });

  it('ends with the session, and is there again with the next', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('a').breaks();
    expect(bench.cached.map(({ isOpen }) => isOpen)).to.deep.equal([false]);
    expect(bench.readNow(0)).to.equal(null);
    bench.replica('a').isReachable = true;
    bench.pass(500);
    expect(bench.cached.map(({ isOpen }) => isOpen)).to.deep.equal([false, true]);
    expect(bench.readNow(0)).to.equal('A');
  });

  it('ends with the primary', () => {
    const bench = serving({ inSync: 'ab' });
    bench.primary.stop();
    expect(bench.cached.map(({ isOpen }) => isOpen)).to.deep.equal([false]);
    expect(bench.readNow(0)).to.equal(null);
  });

  it('is within the volume, and within one shard, at that one’s own offset', () => {
    const bench = serving({ inSync: 'ab/cd' });
    expect(bench.readNow(2 * BLOCKS_PER_EXTENT)).to.equal('A');
    expect(bench.cached.map(({ offsets }) => offsets)).to.deep.equal([[BLOCKS_PER_EXTENT]]);
    expect(bench.readNow(BLOCKS_PER_EXTENT - 1, 2), 'of two shards').to.equal(null);
    expect(bench.readNow(BLOCKS_PER_EXTENT), 'of a shard without a replica here').to.equal(null);
    expect(bench.readNow(8 * BLOCKS_PER_EXTENT), 'beyond the end').to.equal(null);
  });

  it('counts for the volume’s limits, and takes nothing from them where it is not told', () => {
    const bench = serving({ inSync: 'ab' });
    bench.lands((config) => ({ ...config, limits: { iops: 20, bytesPerSecond: 0 } }));
    bench.pass(200);
    for (const each of bench.cached) each.isCold = true;
    expect([bench.readNow(0), bench.readNow(0), bench.readNow(0)]).to.deep.equal([null, null, null]);
    for (const each of bench.cached) each.isCold = false;
    expect([bench.readNow(0), bench.readNow(0), bench.readNow(0)]).to.deep.equal(['A', 'A', null]);
  });

  it('keeps the volume from resting, as any other', () => {
    const bench = serving({ inSync: 'ab' });
    bench.pass(3_000);
    expect(bench.primary.isResting).to.equal(true);
    bench.read(0);
    for (let round = 0; round < 30; round++) {
      bench.pass(100);
      expect(bench.readNow(0)).to.equal('A');
    }
    expect(bench.primary.isResting).to.equal(false);
  });
});
