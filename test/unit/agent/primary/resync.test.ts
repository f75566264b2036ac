/** Which extents a learner is compared over, from whom they come, and how far it is told to be. */
import { expect } from 'chai';
import { PROGRESS_PACE } from '../../../../agent/primary/catchUp.ts';
import { LEVELS_MAX, PACE_ALONE, PACE_BESIDE_CLIENTS } from '../../../../agent/primary/leveller.ts';
import { digestBlocks } from '../../../../agent/replica/digest.ts';
import { BLOCK_BYTES, EXTENT_BYTES } from '../../../../core/extent.ts';
import type { ResyncProgress } from '../../../../core/wire/messages.ts';
import { type FakeReplica, idOf, PrimaryBench } from '../../../support/primaryBench.ts';

const left = (bench: PrimaryBench, letter: string, leftAt: number) => {
  for (const member of bench.config.shards[0]?.members ?? []) if (member.replica === idOf(letter)) member.leftAt = leftAt;
};

/** The extents of which its digests were asked for, in order. */
const compared = (replica: FakeReplica): number[] =>
  replica.heard.flatMap((message) => (message.type === 'digest' ? [message.extent] : []));

const progressOf = (bench: PrimaryBench, letter: string) =>
  bench.primary.report().replicas.find(({ replica }) => replica === idOf(letter)) ?? expect.fail(`nothing is told of ${letter}`);

const extents = (count: number, from = 0): number[] => Array.from({ length: count }, (_, index) => from + index);

describe('A learner that was catching up before', () => {
  /** It left at 12. Of what the source stamped since, and of both logs, it had done what is below extent 5, in a session that began under version 18. */
  const returning = (resync: ResyncProgress | null) =>
    new PrimaryBench({
      inSync: 'a',
      learners: 'b',
      sizeBytes: 8 * EXTENT_BYTES,
      before: (made) => {
        left(made, 'b', 12);
        made.replica('b').resync = resync;
        made.replica('b').log = [3];
        made.replica('a').log = [4];
        for (const [extent, version] of [
          [0, 17],
          [1, 18],
          [2, 19],
          [6, 14],
          [7, 11],
        ] as const)
          made.replica('a').stamps.set(extent, version);
      },
    });

  it('is compared over what it had not done, both logs, and what was stamped under the version of that session or a later one', () => {
    const bench = returning({ since: 12, version: 18, below: 5 });
    bench.pass(500);
    expect(compared(bench.replica('b'))).to.deep.equal([1, 2, 3, 4, 6]);
    expect(bench.proposed()).to.deep.equal(['ab']);
  });

  it('is compared over everything when what it kept is of another return', () => {
    const bench = returning({ since: 11, version: 18, below: 5 });
    bench.pass(500);
    expect(compared(bench.replica('b'))).to.deep.equal([0, 1, 2, 3, 4, 6]);
  });

  it('is compared over what came into doubt, wherever that is', () => {
    const bench = new PrimaryBench({
      inSync: 'ac',
      learners: 'b',
      before: (made) => {
        left(made, 'b', 12);
        made.replica('b').resync = { since: 12, version: 18, below: 4 };
        made.replica('c').log = [1];
      },
    });
    bench.pass(500);
    expect(compared(bench.replica('b'))).to.deep.equal([1]);
  });

  it('counts what it had done as done', () => {
    const bench = returning({ since: 12, version: 18, below: 5 });
    bench.replica('b').mute.add('digest');
    bench.pass(500);
    expect(progressOf(bench, 'b')).to.deep.include({ state: 'learner', doneBytes: EXTENT_BYTES, totalBytes: 6 * EXTENT_BYTES });
  });

  it('that never was in sync goes on as well, over its own stamps and log', () => {
    const bench = new PrimaryBench({
      inSync: 'a',
      learners: 'b',
      sizeBytes: 8 * EXTENT_BYTES,
      before: (made) => {
        made.replica('b').resync = { since: 0, version: 15, below: 4 };
        made.replica('b').stamped = [0, 5];
        made.replica('b').log = [1];
        for (const extent of [2, 6]) made.replica('a').stamps.set(extent, 14);
        made.replica('a').stamps.set(3, 15);
      },
    });
    bench.pass(500);
    expect(compared(bench.replica('b'))).to.deep.equal([1, 3, 5, 6]);
  });
});

describe('A learner with much to catch up', () => {
  /** Comparing an extent costs 64 KiB of the limit: ten in each tick. */
  const EACH_TICK = 10;
  const COUNT = 2_000;
  const catchingUp = (before: (made: PrimaryBench) => void = () => undefined, inSync = 'a') =>
    new PrimaryBench({
      inSync,
      learners: 'b',
      sizeBytes: COUNT * EXTENT_BYTES,
      settings: { resyncBytesPerSecond: EACH_TICK * 64 * 1024 * 20 },
      before: (made) => {
        left(made, 'b', 12);
        for (const extent of extents(COUNT)) made.replica('a').stamps.set(extent, 13);
        before(made);
      },
    });

  it('is told how far it is, seldom, and goes on there', () => {
    const bench = catchingUp();
    bench.pass(PROGRESS_PACE.intervalMs - 100);
    expect(bench.replica('b').told('progress')).to.deep.equal([]);
    bench.pass(300);
    const { resync } = bench.replica('b');
    expect(resync).to.deep.include({ since: 12, version: 20 });
    expect(resync?.below).to.be.within(PROGRESS_PACE.extents, COUNT);
    expect(compared(bench.replica('b'))).to.include.members(extents(resync?.below ?? 0));
    bench.replica('b').breaks();
    bench.replica('b').heard.length = 0;
    Object.assign(bench.replica('b'), { isReachable: true });
    bench.pass(1_000);
    expect(compared(bench.replica('b'))[0]).to.equal(resync?.below);
  });

  it('is not told while anything is in doubt', () => {
    const doubtful = (made: PrimaryBench) => {
      made.config.minInSync = 2;
      made.replica('c').log = [7];
      made.replica('c').mute.add('digest');
    };
    const bench = catchingUp(doubtful, 'ac');
    bench.pass(PROGRESS_PACE.intervalMs + 1_000);
    expect(compared(bench.replica('b')).length).to.be.above(PROGRESS_PACE.extents);
    expect(bench.replica('b').told('progress')).to.deep.equal([]);
    bench.replica('c').mute.clear();
    bench.pass(3_000);
    expect(bench.replica('b').told('progress').length).to.equal(1);
  });

  describe('over a write that was in flight when its session began', () => {
    /** The write is on a and never comes to b, and etcd does not answer: were b promoted, it would know nothing of it, but c has it by a copy from a. */
    const copied = (mute: 'write' | 'read') => {
      const bench = new PrimaryBench({
        inSync: 'ac',
        learners: 'b',
        sizeBytes: COUNT * EXTENT_BYTES,
        settings: { replicaTimeoutMs: 60_000, ioTimeoutMs: 0, resyncBytesPerSecond: EACH_TICK * 64 * 1024 * 20 },
        before: (made) => {
          left(made, 'b', 12);
          for (const extent of extents(COUNT)) made.replica('a').stamps.set(extent, 13);
          made.replica('b').mute.add('seal');
        },
      });
      bench.pass(500);
      bench.replica('c').mute.add(mute);
      bench.write(0);
      bench.pass(500);
      bench.replica('b').mute.clear();
      bench.pass(2 * PROGRESS_PACE.intervalMs + 2_000);
      return bench;
    };
    const mayClean = (bench: PrimaryBench): boolean[] => [
      ...new Set(bench.replica('b').heard.flatMap((message) => (message.type === 'ping' ? [message.mayClean] : []))),
    ];

    it('keeps in its log all that it was given, and is not told that anything is done', () => {
      const bench = copied('write');
      expect(new Set(compared(bench.replica('b'))).size).to.equal(COUNT);
      expect(bench.answers).to.deep.equal([]);
      expect(bench.replica('b').told('progress')).to.deep.equal([]);
      expect(mayClean(bench)).to.deep.equal([false]);
      bench.replica('c').mute.clear();
      bench.pass(500);
      expect(bench.answers).to.deep.equal(['write 0: done']);
      expect(mayClean(bench)).to.deep.equal([false, true]);
    });

    it('may forget as soon as that is settled', () => {
      expect(mayClean(copied('read'))).to.deep.equal([false, true]);
    });
  });

  it('has the speed of the last seconds told, not of all', () => {
    const bench = catchingUp();
    bench.pass(4_000);
    const perSecond = EACH_TICK * 20 * EXTENT_BYTES;
    expect(progressOf(bench, 'b').bytesPerSecond).to.be.within(perSecond * 0.8, perSecond * 1.2);
    bench.replica('b').mute.add('digest');
    bench.pass(1_500);
    expect(progressOf(bench, 'b').bytesPerSecond).to.be.below(perSecond);
  });
});

describe('A learner beside clients', () => {
  /** How many extents it is asked about at once. */
  const atOnce = (act: (bench: PrimaryBench) => void) => {
    const bench = new PrimaryBench({
      inSync: 'a',
      learners: 'b',
      before: (made) => {
        made.replica('a').stamped = extents(4);
        made.replica('b').mute.add('digest').add('changed');
      },
    });
    bench.pass(1_000);
    act(bench);
    bench.settle();
    bench.replica('b').mute.delete('changed');
    bench.pass(50);
    return compared(bench.replica('b')).length;
  };

  it('is given fewer extents at a time', () => {
    expect(atOnce((bench) => bench.write(1000))).to.equal(PACE_BESIDE_CLIENTS.levels);
    expect(atOnce((bench) => bench.read(1000))).to.equal(PACE_BESIDE_CLIENTS.levels);
  });

  it('is given several when nobody is disturbed', () => {
    expect(atOnce(() => undefined)).to.equal(4);
    expect(
      atOnce((bench) => {
        bench.write(1000);
        bench.pass(500);
      }),
    ).to.equal(4);
  });
});

describe('A learner that has to write much', () => {
  const COUNT = 256;
  const MIB = 1024 * 1024;
  /** Copied whole. A client that reads all the time, or none. */
  const copying = (isBusy: boolean, mute: 'flush' | null = null) => {
    const bench = new PrimaryBench({
      inSync: 'ac',
      learners: 'b',
      sizeBytes: COUNT * EXTENT_BYTES,
      // Forty of them in a burst.
      settings: { replicaTimeoutMs: 60_000, resyncBytesPerSecond: 160 * MIB },
      before: (made) => {
        made.replica('a').stamped = extents(COUNT);
        made.replica('b').mute.add('changed');
        if (mute) made.replica('b').mute.add(mute);
      },
    });
    bench.pass(1_000);
    if (isBusy) bench.read(1_000);
    bench.settle();
    bench.replica('b').mute.delete('changed');
    bench.settle();
    if (!isBusy) bench.pass(1_000);
    return bench;
  };
  const levels = (bench: PrimaryBench) => bench.replica('b').told('level').length;

  it('makes it durable in steps, smaller ones beside clients', () => {
    const stepOf = (bench: PrimaryBench) => {
      const kinds = bench.replica('b').heard.flatMap(({ type }) => (type === 'level' || type === 'flush' ? [type] : []));
      return kinds.indexOf('flush') * EXTENT_BYTES;
    };
    expect(stepOf(copying(true))).to.be.within(PACE_BESIDE_CLIENTS.unflushedBytes, PACE_BESIDE_CLIENTS.unflushedBytes + 2 * MIB);
    expect(stepOf(copying(false))).to.be.within(PACE_ALONE.unflushedBytes, PACE_ALONE.unflushedBytes + LEVELS_MAX * MIB);
  });

  it('is given no more than two steps that it has not made durable, and goes on when it has', () => {
    const bench = copying(false, 'flush');
    expect(levels(bench) * EXTENT_BYTES).to.be.within(2 * PACE_ALONE.unflushedBytes, 2 * PACE_ALONE.unflushedBytes + LEVELS_MAX * MIB);
    expect(bench.replica('b').told('flush').length).to.equal(1);
    bench.replica('b').mute.clear();
    bench.pass(3_000);
    expect([levels(bench), bench.proposed()]).to.deep.equal([COUNT, ['acb']]);
  });

  it('holds nothing up that is in doubt', () => {
    const bench = copying(false, 'flush');
    bench.replica('c').breaks();
    Object.assign(bench.replica('c'), { isReachable: true, log: [COUNT - 1] });
    bench.pass(1_000);
    expect(bench.replica('c').told('level')).to.deep.equal([`level ${COUNT - 1} of `]);
  });
});

describe('What is copied to a learner', () => {
  const spreading = (before: (made: PrimaryBench) => void = () => undefined) => {
    const bench = new PrimaryBench({
      inSync: 'abc',
      learners: 'd',
      sizeBytes: 64 * EXTENT_BYTES,
      before: (made) => {
        left(made, 'd', 12);
        made.replica('a').stamped = extents(24);
        before(made);
      },
    });
    bench.pass(1_000);
    expect(compared(bench.replica('d'))).to.include.members(extents(24));
    return bench;
  };
  const given = (bench: PrimaryBench, letter: string) => new Set(compared(bench.replica(letter)));

  it('comes from every in-sync replica, each extent from one', () => {
    const bench = spreading();
    const shares = ['a', 'b', 'c'].map((letter) => given(bench, letter).size);
    expect(shares.reduce((sum, share) => sum + share)).to.equal(24);
    for (const share of shares) expect(share).to.be.at.least(6);
  });

  it('comes from the one with less to do', () => {
    const bench = spreading((made) => made.replica('b').mute.add('digest'));
    expect(given(bench, 'b').size).to.be.below(3);
  });

  it('comes from the authority where it is in doubt', () => {
    const bench = spreading((made) => {
      made.replica('b').log = [3, 5];
    });
    expect([...given(bench, 'a')]).to.include.members([3, 5]);
    expect([...bench.replica('d').told('level')]).to.include.members(['level 3 of ', 'level 5 of ']);
  });

  it('comes from none that lost power', () => {
    const bench = spreading((made) => {
      Object.assign(made.replica('c'), { suspect: true, log: [60] });
      made.replica('c').mute.add('level');
    });
    expect([...given(bench, 'c')]).to.deep.equal([60]);
  });

  it('to one that has nothing there, comes whole, without a digest of the source', () => {
    const content = Buffer.concat([Buffer.alloc(BLOCK_BYTES, 9)], EXTENT_BYTES);
    const bench = new PrimaryBench({
      inSync: 'a',
      learners: 'b',
      before: (made) => {
        made.replica('a').stamped = [2];
        made.replica('a').digest = digestBlocks(content);
      },
    });
    bench.pass(500);
    expect(bench.replica('a').told('digest', 'read')).to.deep.equal(['stamp of 2', 'read']);
    expect(bench.replica('b').told('digest', 'level')).to.deep.equal(['digest 2', 'level 2 of 0+256']);
  });

  it('to one that has something there, is compared first', () => {
    const bench = new PrimaryBench({
      inSync: 'a',
      learners: 'b',
      before: (made) => {
        made.replica('a').stamped = [2];
        for (const letter of ['a', 'b'])
          made.replica(letter).digest = digestBlocks(Buffer.concat([Buffer.alloc(BLOCK_BYTES, 9)], EXTENT_BYTES));
      },
    });
    bench.pass(500);
    expect(bench.replica('a').told('digest', 'read')).to.deep.equal(['stamp of 2', 'digest 2']);
    expect(bench.replica('b').told('level')).to.deep.equal(['level 2 of ']);
  });
});
