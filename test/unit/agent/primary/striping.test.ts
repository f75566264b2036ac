/** Data and runs of a striped volume: what is dealt out comes together again as it was. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { AllocationRun } from '../../../../agent/ports.ts';
import { joinChunks, joinRuns, splitChunks } from '../../../../agent/primary/striping.ts';
import { EXTENT_BYTES, shardRanges } from '../../../../core/extent.ts';

const MIB = EXTENT_BYTES;

/** Bytes that tell where they were, in chunks of some length. */
function chunksOf(lengthBytes: number, chunkBytes: number): Buffer[] {
  const all = Buffer.alloc(lengthBytes);
  for (let at = 0; at + 4 <= lengthBytes; at += 1024) all.writeUInt32LE(at, at);
  const chunks: Buffer[] = [];
  for (let at = 0; at < lengthBytes; at += chunkBytes) chunks.push(all.subarray(at, at + chunkBytes));
  return chunks;
}

describe('the data of a striped volume', () => {
  it('comes together as it was dealt out, without a copy', () => {
    const lengths = fc.integer({ min: 1, max: 6 * 1024 }).map((kib) => kib * 1024);
    fc.assert(
      fc.property(
        fc.nat(8 * 1024),
        lengths,
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 4096, max: 3 * MIB }),
        (at, length, shards, chunk) => {
          const offset = at * 1024;
          const chunks = chunksOf(length, chunk);
          const parts = splitChunks(offset, length, chunks, shards);
          for (const range of shardRanges(offset, length, shards)) {
            expect(parts[range.shard]?.reduce((sum, piece) => sum + piece.length, 0)).to.equal(range.lengthBytes);
          }
          const joined = joinChunks(offset, length, parts);
          expect(Buffer.concat(joined).equals(Buffer.concat(chunks))).to.equal(true);
          expect(joined.every((piece) => piece.buffer === chunks[0]?.buffer)).to.equal(true);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('what is allocated of a striped volume', () => {
  const run = (mebibytes: number, hole: boolean): AllocationRun => ({ lengthBytes: mebibytes * MIB, hole });

  it('is the runs of the shards in turn, equal neighbours as one', () => {
    const parts = [[run(2, false)], [run(1, false), run(1, true)]];
    expect(joinRuns(0, 4 * MIB, parts)).to.deep.equal([run(3, false), run(1, true)]);
  });

  it('begins and ends within an extent', () => {
    const half = { lengthBytes: MIB / 2, hole: true };
    expect(joinRuns(MIB / 2, MIB, [[half], [{ ...half, hole: false }]])).to.deep.equal([half, { ...half, hole: false }]);
  });

  it('ends where the first shard knows no further', () => {
    expect(joinRuns(0, 6 * MIB, [[run(1, false)], [run(3, true)]])).to.deep.equal([run(1, false), run(1, true)]);
  });
});
