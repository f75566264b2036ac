import { expect } from 'chai';
import fc from 'fast-check';
import { formatBytes, formatFree, formatNeeded, parseQuantity } from '../../../operator/quantity.ts';

describe('operator: quantities', () => {
  const rows: [quantity: string | number, bytes: number | null][] = [
    ['10Gi', 10 * 2 ** 30],
    ['500G', 500e9],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['.5Ki', 512],
    ['4096', 4096],
    [4096, 4096],
    ['1e3', 1000],
    ['1E3', 1000],
    ['1E', 1e18 > Number.MAX_SAFE_INTEGER ? null : 1e18],
    ['+2k', 2000],
    ['1500m', 2],
    ['1n', 1],
    ['15e-1', 2],
    ['0', 0],
    ['-1', null],
    ['', null],
    ['.', null],
    ['Gi', null],
    ['10 Gi', null],
    ['10GiB', null],
    ['1e99', null],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740992', null],
    ['16Ti', 16 * 2 ** 40],
  ];
  for (const [quantity, bytes] of rows) {
    it(`reads ${JSON.stringify(quantity)} as ${bytes === null ? 'no size' : `${bytes} bytes`}`, () => {
      expect(parseQuantity(quantity)).to.equal(bytes);
    });
  }

  it('writes bytes as people do', () => {
    expect([0, 1023, 1024, 1536, 2 ** 30, 1.4 * 2 ** 40, 16 * 2 ** 40].map(formatBytes)).to.deep.equal([
      '0',
      '1023',
      '1Ki',
      '1.5Ki',
      '1Gi',
      '1.4Ti',
      '16Ti',
    ]);
  });

  it('never rounds so that too little free reads like what is needed', () => {
    const bytes = fc.integer({ min: 1, max: 2 ** 52 });
    fc.assert(
      fc.property(bytes, bytes, (one, other) => {
        const [free, needed] = one < other ? [one, other] : [other, one];
        fc.pre(free < needed);
        const [shownFree, shownNeeded] = [parseQuantity(formatFree(free)), parseQuantity(formatNeeded(needed))];
        expect(shownFree).to.be.at.most(free + 1); // a byte of rounding up by the parser
        expect(shownNeeded).to.be.at.least(needed);
      }),
    );
  });
});
