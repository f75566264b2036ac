/** What a volume with limits lets through, and when. */
import { expect } from 'chai';
import fc from 'fast-check';
import { Limits } from '../../../../agent/primary/limits.ts';
import type { VolumeLimits } from '../../../../core/config.ts';
import { BLOCKS_PER_EXTENT } from '../../../../core/extent.ts';
import { PrimaryBench, SETTINGS } from '../../../support/primaryBench.ts';

const MIB = 1024 * 1024;

describe('The limits of a volume', () => {
  const limits = (iops: number, bytesPerSecond: number): Limits => {
    const made = new Limits();
    made.set({ iops, bytesPerSecond }, 0);
    return made;
  };
  /** How many requests of a size go from `fromMs` on, asked every `stepMs`. */
  const gone = (made: Limits, bytes: number, fromMs: number, untilMs: number, stepMs = 50): number => {
    let count = 0;
    for (let nowMs = fromMs; nowMs <= untilMs; nowMs += stepMs) while (count < 1e5 && made.take(bytes, nowMs)) count++;
    return count;
  };

  it('let a tenth of a second pass at once', () => {
    expect(gone(limits(1_000, 0), 4096, 0, 0)).to.equal(100);
    expect(gone(limits(0, 40_960_000), 4096, 0, 0)).to.equal(1_000);
  });

  it('let pass in a second what they say, and the first burst', () => {
    expect(gone(limits(1_000, 0), 4096, 0, 1_000)).to.equal(1_100);
    expect(gone(limits(0, 40 * MIB), MIB, 0, 1_000)).to.be.within(43, 44);
  });

  it('save up no more than a burst', () => {
    expect(gone(limits(1_000, 0), 4096, 60_000, 60_000)).to.equal(100);
  });

  it('let one request pass however few they allow', () => {
    const made = limits(2, 0);
    expect([0, 1, 499, 500, 999, 1_000].map((nowMs) => made.take(1, nowMs))).to.deep.equal([true, false, false, true, false, true]);
  });

  it('let a request pass that is larger than the bucket when that is full, and the next when it is paid', () => {
    const made = limits(0, 10 * MIB);
    expect([0, 50, 900, 1_000, 1_100].map((nowMs) => made.take(10 * MIB, nowMs))).to.deep.equal([true, false, false, true, false]);
  });

  it('hold both at once', () => {
    const made = limits(1_000, MIB);
    expect(gone(made, MIB / 10, 0, 0)).to.equal(1);
    expect(gone(made, 0, 0, 0)).to.equal(99);
  });

  it('never let more pass than they say, whatever comes when', () => {
    const request = fc.record({ waitMs: fc.nat(200), bytes: fc.nat(100_000) });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 1e7 }),
        fc.array(request),
        (iops, bytesPerSecond, requests) => {
          const made = limits(iops, bytesPerSecond);
          let nowMs = 0;
          let [count, bytes] = [0, 0];
          for (const { waitMs, bytes: size } of requests) {
            nowMs += waitMs;
            if (!made.take(size, nowMs)) continue;
            count++;
            bytes += size;
          }
          expect(count).to.be.at.most(Math.max(1, iops / 10) + (nowMs * iops) / 1_000 + 1e-6);
          expect(bytes).to.be.at.most(bytesPerSecond / 10 + (nowMs * bytesPerSecond) / 1_000 + 100_000);
        },
      ),
    );
  });
});

describe('A primary of a volume with limits', () => {
  const serving = (limits?: VolumeLimits, inSync = 'a'): PrimaryBench => {
    const bench = new PrimaryBench({
      inSync,
      before: (made) => {
        if (limits) made.config.limits = limits;
      },
    });
    bench.pass(500);
    return bench;
  };
  const change = (bench: PrimaryBench, limits?: VolumeLimits) =>
    bench.lands(({ limits: _before, ...config }) => (limits ? { ...config, limits } : config));
  const writeMany = (bench: PrimaryBench, count: number) => {
    for (let block = 0; block < count; block++) bench.write(block, `${block}`);
    bench.settle();
  };

  it('lets requests go in their order as time goes by', () => {
    const bench = serving({ iops: 20, bytesPerSecond: 0 });
    writeMany(bench, 5);
    bench.read(9);
    expect(bench.answers).to.deep.equal(['0: done', '1: done']);
    bench.pass(100);
    expect(bench.answers).to.deep.equal(['0: done', '1: done', '2: done', '3: done']);
    bench.pass(100);
    expect(bench.answers).to.deep.equal(['0: done', '1: done', '2: done', '3: done', '4: done', 'read 9: from a']);
  });

  it('counts the bytes of a request that goes to several shards once', () => {
    const bench = serving({ iops: 0, bytesPerSecond: 10 * MIB }, 'a/b/c');
    for (const name of ['first', 'second']) bench.write(0, name, false, 2 * BLOCKS_PER_EXTENT);
    bench.pass(100);
    expect(bench.answers).to.deep.equal(['first: done']);
    bench.pass(100);
    expect(bench.answers).to.deep.equal(['first: done', 'second: done']);
  });

  it('holds up neither flushes nor questions of what is allocated', () => {
    const bench = serving({ iops: 1, bytesPerSecond: 0 });
    writeMany(bench, 2);
    bench.flush();
    bench.settle();
    expect(bench.answers).to.deep.equal(['0: done', 'flush: done']);
  });

  it('fails nothing for having waited', () => {
    const bench = serving({ iops: 1, bytesPerSecond: 0 });
    writeMany(bench, 10);
    bench.pass(9_500);
    expect(9_500).to.be.above(SETTINGS.ioTimeoutMs);
    expect(bench.answers).to.deep.equal([...'0123456789'].map((name) => `${name}: done`));
  });

  it('begins to count the time of a request when it lets it go', () => {
    const bench = serving({ iops: 1, bytesPerSecond: 0 });
    writeMany(bench, 4);
    bench.replica('a').mute.add('write');
    bench.pass(6_500);
    expect(bench.answers).to.deep.equal(['0: done', '1: io']);
  });

  it('changes them as it serves: closer, wider, none', () => {
    const bench = serving();
    writeMany(bench, 50);
    expect(bench.answers.length).to.equal(50);
    change(bench, { iops: 10, bytesPerSecond: 0 });
    writeMany(bench, 200);
    expect(bench.answers.length).to.equal(51);
    change(bench, { iops: 100, bytesPerSecond: 0 });
    bench.pass(1_000);
    expect(bench.answers.length).to.be.within(150, 152);
    change(bench);
    bench.settle();
    expect(bench.answers.length).to.equal(250);
  });

  it('refuses what waits when it closes, and forgets what a client has left', () => {
    const bench = serving({ iops: 1, bytesPerSecond: 0 });
    writeMany(bench, 3);
    const other = bench.primary.device.connect();
    other.read(0, 4096, () => bench.answers.push('nobody waits for this'));
    other.close();
    bench.lands((config) => ({ ...config, primary: config.primary && { ...config.primary, mode: 'release' } }));
    bench.settle();
    expect(bench.answers).to.deep.equal(['0: done', '1: shutdown', '2: shutdown']);
  });
});
