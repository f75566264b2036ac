/** Where the bytes of a striped volume lie: every byte in one shard and in one place there, and sizes that add up. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  EXTENT_BYTES,
  ExtentSet,
  firstExtent,
  offsetInShard,
  offsetInVolume,
  shardBytes,
  shardOf,
  shardRanges,
  volumeBytesOf,
} from '../../../core/extent.ts';

const BLOCK = 4096;
const MIB = EXTENT_BYTES;
const shards = fc.integer({ min: 1, max: 64 });
const sizes = fc.integer({ min: 1, max: 1 << 22 }).map((blocks) => blocks * BLOCK);
const indices = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('striping', () => {
  it('deals extents out in turn', () => {
    expect(indices(7).map((extent) => shardOf(extent, 3))).to.deep.equal([0, 1, 2, 0, 1, 2, 0]);
    expect(indices(7).map((extent) => offsetInShard(extent * MIB + 5, 3))).to.deep.equal([5, 5, 5, MIB + 5, MIB + 5, MIB + 5, 2 * MIB + 5]);
  });

  it('leaves offsets as they are where there is one shard', () => {
    fc.assert(
      fc.property(sizes, (offset) => {
        expect([offsetInShard(offset, 1), offsetInVolume(offset, 1, 0), shardBytes(offset, 1, 0)]).to.deep.equal([offset, offset, offset]);
        expect(shardRanges(offset, BLOCK, 1)).to.deep.equal([{ shard: 0, offsetBytes: offset, lengthBytes: BLOCK }]);
      }),
    );
  });

  it('puts every byte into one place, and finds it there again', () => {
    fc.assert(
      fc.property(sizes, shards, (offset, count) => {
        const shard = shardOf(firstExtent(offset), count);
        expect(offsetInVolume(offsetInShard(offset, count), count, shard)).to.equal(offset);
      }),
    );
  });

  it('makes shards whose sizes add up, and which have room for just that volume', () => {
    fc.assert(
      fc.property(sizes, shards, (size, count) => {
        const parts = indices(count).map((shard) => shardBytes(size, count, shard));
        expect(parts.reduce((sum, part) => sum + part, 0)).to.equal(size);
        expect(volumeBytesOf(parts)).to.equal(size);
      }),
    );
  });

  it('offers no more than the smallest shard has room for', () => {
    fc.assert(
      fc.property(sizes, sizes, shards, fc.nat(), (small, large, count, which) => {
        fc.pre(small <= large);
        const behind = which % count;
        const parts = indices(count).map((shard) => shardBytes(shard === behind ? small : large, count, shard));
        const offered = volumeBytesOf(parts);
        expect(offered).to.be.within(small, large);
        indices(count).forEach((shard) => {
          expect(shardBytes(offered, count, shard)).to.be.at.most(parts[shard] ?? 0);
        });
      }),
    );
  });

  it('cuts a range into one range a shard: together all of it, in the place of its bytes', () => {
    fc.assert(
      fc.property(sizes, sizes, shards, (offset, length, count) => {
        const ranges = shardRanges(offset, length, count);
        expect(ranges.reduce((sum, range) => sum + range.lengthBytes, 0)).to.equal(length);
        expect(new Set(ranges.map((range) => range.shard)).size).to.equal(ranges.length);
        expect(ranges[0]?.shard).to.equal(shardOf(firstExtent(offset), count));
        for (const { shard, offsetBytes, lengthBytes } of ranges) {
          expect(lengthBytes).to.be.above(0);
          for (const at of [offsetBytes, offsetBytes + lengthBytes - 1]) {
            expect(offsetInVolume(at, count, shard)).to.be.within(offset, offset + length - 1);
          }
        }
      }),
    );
  });

  it('has an empty range in one place', () => {
    expect(shardRanges(2 * MIB + 1, 0, 3)).to.deep.equal([{ shard: 2, offsetBytes: 1, lengthBytes: 0 }]);
  });
});

describe('a set of extents', () => {
  it('grows: what it holds stays, and there is room for more', () => {
    const set = new ExtentSet(5);
    set.add(4);
    set.grow(20);
    set.grow(10);
    set.add(19);
    expect([set.extents, set.size, [...set]]).to.deep.equal([20, 2, [4, 19]]);
  });

  it('takes nothing beyond its room from a larger one', () => {
    const [small, large] = [new ExtentSet(4), new ExtentSet(100)];
    for (const extent of [1, 3, 4, 99]) large.add(extent);
    small.addAll(large);
    expect([small.size, [...small]]).to.deep.equal([2, [1, 3]]);
  });
});
