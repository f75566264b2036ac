/** What is sent to whoever has nothing of an extent: all that is not zeroes, and nothing else. */
import { expect } from 'chai';
import fc from 'fast-check';
import { writtenRuns } from '../../../../agent/primary/difference.ts';
import { BLOCK_BYTES } from '../../../../core/extent.ts';

/** Blocks of which each is zeroes but for one byte, or altogether; the last may be short. */
const extents = fc
  .record({ marks: fc.array(fc.option(fc.nat(BLOCK_BYTES - 1)), { minLength: 1, maxLength: 12 }), missingBytes: fc.nat(BLOCK_BYTES - 1) })
  .map(({ marks, missingBytes }) => {
    const data = Buffer.alloc(marks.length * BLOCK_BYTES - missingBytes);
    for (const [block, at] of marks.entries()) {
      const offset = block * BLOCK_BYTES + (at ?? 0);
      if (at !== null && offset < data.length) data[offset] = block + 1;
    }
    return data;
  });

describe('what is written of an extent', () => {
  it('is all of it that is not zeroes, in as few runs as there can be', () => {
    fc.assert(
      fc.property(extents, (data) => {
        const made = Buffer.alloc(data.length);
        let end = -1;
        for (const { block, blocks, data: pieces } of writtenRuns(data)) {
          expect(block, 'a block of zeroes between two runs').to.be.greaterThan(end);
          end = block + blocks;
          const bytes = Buffer.concat(pieces ?? []);
          expect(bytes.length).to.equal(Math.min(blocks * BLOCK_BYTES, data.length - block * BLOCK_BYTES));
          bytes.copy(made, block * BLOCK_BYTES);
          for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
            expect(
              bytes.subarray(at, at + BLOCK_BYTES).some((byte) => byte !== 0),
              'a block of zeroes is sent',
            ).to.equal(true);
          }
        }
        expect(made.equals(data)).to.equal(true);
      }),
    );
  });

  it('is nothing where all is zeroes', () => {
    expect(writtenRuns(Buffer.alloc(3 * BLOCK_BYTES + 1))).to.deep.equal([]);
  });
});
