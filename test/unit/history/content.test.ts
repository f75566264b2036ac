/** What a block says of who wrote it, and the faults of a seed. */
import { expect } from 'chai';
import { BLOCK_BYTES, decodeBlock, encodeBlock, UNWRITTEN } from '../../history/content.ts';
import { describeFault, episodes, KINDS } from '../../history/faults.ts';
import { SeededRandom } from '../../support/seededRandom.ts';

const NAME = { salt: 7, block: 254 };
const SIZES = { nodes: 4, volumes: 2 };

describe('history: the content of a block', () => {
  it('names the client and the number of the write', () => {
    expect(decodeBlock(NAME, encodeBlock(NAME, 3, 17))).to.equal('3.17');
    expect(decodeBlock(NAME, Buffer.alloc(BLOCK_BYTES))).to.equal(UNWRITTEN);
  });

  it('is no value when it is of two writes, of another block, of another run, or cut', () => {
    const content = encodeBlock(NAME, 3, 17);
    const torn = Buffer.concat([content.subarray(0, 2048), encodeBlock(NAME, 3, 18).subarray(2048)]);
    expect(decodeBlock(NAME, torn)).to.match(/^torn at 4095/);
    expect(decodeBlock(NAME, Buffer.concat([content.subarray(0, 512), Buffer.alloc(BLOCK_BYTES - 512)]))).to.match(/^torn/);
    expect(decodeBlock({ ...NAME, block: 255 }, content)).to.match(/^strange/);
    expect(decodeBlock({ ...NAME, salt: 8 }, content)).to.match(/^strange/);
    expect(decodeBlock(NAME, content.subarray(0, 4080))).to.match(/^torn/);
  });
});

describe('history: the faults of a seed', () => {
  const told = (seed: number, kinds: Parameters<typeof episodes>[1]['kinds'] = []) =>
    episodes(new SeededRandom(seed), { ...SIZES, durationMs: 600_000, together: 2, kinds }).flatMap(({ faults }) =>
      faults.map(({ fault }) => describeFault(fault)),
    );

  it('are the same for the same seed, others for another, and of every kind in ten minutes', () => {
    expect(told(5)).to.deep.equal(told(5));
    expect(told(5)).to.not.deep.equal(told(6));
    expect([...new Set(told(5).map((fault) => fault.split(' ')[0]))].sort()).to.deep.equal([...KINDS].sort());
  });

  it('are only those that were asked for', () => {
    expect(new Set(told(5, ['kill', 'isolated']).map((fault) => fault.split(' ')[0]))).to.deep.equal(new Set(['kill', 'isolated']));
  });
});
