/** How a volume grows: what is offered is what every replica has room for, whoever is slow, gone or new. */
import { expect } from 'chai';
import { BLOCKS_PER_EXTENT, EXTENT_BYTES } from '../../../../core/extent.ts';
import { PrimaryBench } from '../../../support/primaryBench.ts';

const MIB = EXTENT_BYTES;

const serving = (options: ConstructorParameters<typeof PrimaryBench>[0]): PrimaryBench => {
  const bench = new PrimaryBench(options);
  bench.pass(500);
  expect(bench.events).to.deep.equal(['socket opens']);
  return bench;
};

const resize = (bench: PrimaryBench, mebibytes: number) => bench.lands((config) => ({ ...config, sizeBytes: mebibytes * MIB }));
const offered = (bench: PrimaryBench): number => bench.primary.device.sizeBytes / MIB;
/** Replicas of before the config was raised. */
const small = (letters: string, mebibytes: number) => (made: PrimaryBench) => {
  for (const letter of letters) made.replica(letter).sizeBytes = mebibytes * MIB;
};
/** The first block of an extent. */
const blockOf = (extent: number): number => extent * BLOCKS_PER_EXTENT;

describe('A volume that grows', () => {
  it('is offered with its new size when all replicas have it, and written there only then', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('b').mute.add('resize');
    resize(bench, 8);
    bench.pass(1_000);
    expect([bench.replica('a').told('resize'), bench.replica('b').told('resize')]).to.deep.equal([
      ['resize to 8 MiB'],
      ['resize to 8 MiB'],
    ]);
    bench.write(blockOf(6));
    expect([offered(bench), bench.answers]).to.deep.equal([4, [`write ${blockOf(6)}: invalid`]]);
    bench.replica('b').mute.clear();
    bench.pass(100);
    bench.write(blockOf(6), 'the same');
    bench.settle();
    expect([offered(bench), bench.answers[1]]).to.deep.equal([8, 'the same: done']);
    expect(bench.primary.report().sizeBytes).to.equal(8 * MIB);
  });

  it('goes on without one that does not grow when that has left', () => {
    const bench = serving({ inSync: 'ab' });
    bench.replica('b').mute.add('resize');
    resize(bench, 8);
    bench.replica('b').breaks();
    bench.pass(100);
    expect(offered(bench)).to.equal(4);
    bench.lands();
    bench.pass(100);
    expect(offered(bench)).to.equal(8);
  });

  it('never shrinks, whatever a config says', () => {
    const bench = serving({ inSync: 'ab' });
    resize(bench, 2);
    bench.pass(100);
    bench.write(blockOf(3), 'write');
    bench.settle();
    expect([offered(bench), bench.answers]).to.deep.equal([4, ['write: done']]);
  });

  it('keeps a replica out that has less room than it said before', () => {
    const bench = serving({ inSync: 'ab', minInSync: 2 });
    bench.replica('b').breaks();
    Object.assign(bench.replica('b'), { isReachable: true, sizeBytes: 2 * MIB });
    bench.pass(2_500);
    expect(bench.primary.report().reason).to.contain('it has 2097152 bytes, and had 4194304');
    expect(bench.replica('b').told('resize', 'changed').slice(1)).to.deep.equal([]);
  });

  it('levels an extent as far as everybody has it', () => {
    const bench = serving({ inSync: 'ab', minInSync: 2, sizeBytes: 3.5 * MIB });
    bench.replica('a').mute.add('resize');
    resize(bench, 8);
    bench.replica('b').breaks();
    Object.assign(bench.replica('b'), { isReachable: true, log: [3], digest: Buffer.alloc(BLOCKS_PER_EXTENT * 16, 1) });
    bench.pass(1_000);
    expect(bench.replica('b').told('level')).to.deep.equal(['level 3 of 0+128']);
  });

  describe('over a replica that has no room to grow', () => {
    const full = (letters: string) => (made: PrimaryBench) => {
      small(letters, 4)(made);
      for (const letter of letters) made.replica(letter).growthProblem = 'no space';
    };

    it('is served with its size of before, by all that count, and grows when somebody has made room', () => {
      const bench = serving({ inSync: 'ab', minInSync: 2 });
      full('ab')(bench);
      resize(bench, 8);
      bench.pass(500);
      bench.write(blockOf(3), 'write');
      bench.settle();
      expect([offered(bench), bench.answers, bench.proposals]).to.deep.equal([4, ['write: done'], []]);
      expect(bench.primary.report().growthTrouble).to.equal('node-a: no space; node-b: no space');
      for (const letter of 'ab') bench.replica(letter).growthProblem = null;
      bench.pass(11_000);
      expect([offered(bench), bench.proposals]).to.deep.equal([8, []]);
      expect(bench.primary.report().growthTrouble).to.equal(undefined);
    });

    it('is served so by the next primary too', () => {
      const bench = serving({ inSync: 'ab', minInSync: 2, sizeBytes: 8 * MIB, before: full('ab') });
      bench.write(blockOf(3), 'write');
      bench.settle();
      expect([offered(bench), bench.answers, bench.proposals]).to.deep.equal([4, ['write: done'], []]);
    });

    it('goes on without a learner that has none', () => {
      const bench = serving({ inSync: 'a', learners: 'b', sizeBytes: 8 * MIB, before: full('b') });
      expect([offered(bench), bench.replica('b').told('changed'), bench.proposals]).to.deep.equal([8, [], []]);
    });
  });

  describe('across a failover', () => {
    it('is offered at once where all had grown', () => {
      const bench = serving({ inSync: 'ab', sizeBytes: 8 * MIB });
      expect([offered(bench), bench.replica('a').told('resize')]).to.deep.equal([8, []]);
    });

    it('asks those first that had not: they take part when they have the room', () => {
      const bench = new PrimaryBench({
        inSync: 'ab',
        sizeBytes: 8 * MIB,
        before: (made) => {
          small('b', 4)(made);
          made.replica('b').mute.add('resize');
        },
      });
      bench.pass(500);
      expect(bench.replica('b').told('seal', 'resize', 'changed', 'ping')).to.deep.equal(['seal', 'resize to 8 MiB']);
      expect([bench.events, bench.proposals]).to.deep.equal([[], []]);
      expect(bench.primary.report().reason).to.contain('node-b (it grows)');
      bench.replica('b').mute.clear();
      bench.pass(200);
      expect([bench.events, offered(bench)]).to.deep.equal([['socket opens'], 8]);
    });

    it('asks one that had grown by a config of before again', () => {
      const bench = new PrimaryBench({
        inSync: 'a',
        sizeBytes: 8 * MIB,
        before: (made) => {
          small('a', 4)(made);
          made.replica('a').mute.add('resize');
        },
      });
      bench.pass(100);
      resize(bench, 16);
      bench.replica('a').mute.clear();
      bench.pass(500);
      expect(bench.replica('a').told('resize')).to.deep.equal(['resize to 8 MiB', 'resize to 16 MiB']);
      expect(offered(bench)).to.equal(16);
    });
  });

  describe('and a learner', () => {
    it('is sent nothing and does not join before it has the size', () => {
      const bench = serving({
        inSync: 'a',
        learners: 'b',
        sizeBytes: 8 * MIB,
        before: (made) => {
          small('b', 4)(made);
          made.replica('b').mute.add('resize');
        },
      });
      bench.write(blockOf(6), 'write');
      bench.settle();
      expect(bench.answers).to.deep.equal(['write: done']);
      expect([bench.replica('b').told('write', 'changed'), bench.proposals]).to.deep.equal([[], []]);
      bench.replica('b').mute.clear();
      bench.pass(100);
      expect(bench.replica('b').told('resize', 'changed', 'flush')).to.deep.equal(['resize to 8 MiB', 'changed since 0', 'flush']);
      expect(bench.proposed()).to.deep.equal(['ab']);
    });

    it('that is there when the config is raised is waited for, until its session ends', () => {
      const bench = serving({ inSync: 'a', learners: 'b', before: (made) => made.replica('b').mute.add('flush') });
      bench.replica('b').mute.add('resize');
      resize(bench, 8);
      bench.pass(500);
      expect(offered(bench)).to.equal(4);
      bench.replica('b').breaks();
      bench.pass(100);
      expect(offered(bench)).to.equal(8);
    });

    it('that was about to join has to grow first', () => {
      const bench = serving({ inSync: 'a', learners: 'b', before: (made) => made.replica('b').mute.add('flush') });
      bench.replica('b').mute.add('resize');
      resize(bench, 8);
      bench.replica('b').mute.delete('flush');
      bench.pass(500);
      expect(bench.proposals).to.deep.equal([]);
      bench.replica('b').mute.clear();
      bench.pass(100);
      expect(bench.proposed()).to.deep.equal(['ab']);
    });
  });

  it('of several shards is as large as the slowest of them allows', () => {
    const bench = serving({ inSync: 'ab/cd/ef', sizeBytes: 6 * MIB });
    bench.replica('d').mute.add('resize');
    resize(bench, 12);
    bench.pass(200);
    expect([...'ace'].map((letter) => bench.replica(letter).told('resize'))).to.deep.equal(Array(3).fill(['resize to 4 MiB']));
    // The third extent of the second shard is the eighth of the volume.
    expect(offered(bench)).to.equal(7);
    bench.replica('d').mute.clear();
    bench.pass(100);
    bench.write(blockOf(7) - 1, 'write', false, 2);
    bench.settle();
    expect([offered(bench), bench.answers]).to.deep.equal([12, ['write: done']]);
  });

  it('in the background keeps its primary until it has grown', () => {
    const bench = new PrimaryBench({ inSync: 'a', mode: 'background' });
    bench.pass(500);
    bench.replica('a').mute.add('resize');
    resize(bench, 8);
    bench.pass(4_000);
    expect([bench.primary.phase, bench.proposals]).to.deep.equal(['ready', []]);
    bench.replica('a').mute.clear();
    bench.pass(100);
    expect(bench.proposals.map(({ primary }) => primary)).to.deep.equal([null]);
  });
});
