/** What two versions have in common, and what is made of what another program says of itself. */
import { expect } from 'chai';
import { commonVersion, formatRange, PROTOCOL, rangeOf, SCHEMA, SCHEMA_LOWEST_READER, type VersionRange } from '../../../core/versions.ts';

const range = (lowest: number, highest: number): VersionRange => ({ lowest, highest });

describe('two ranges of versions', () => {
  for (const [one, other, common] of [
    [range(1, 1), range(1, 1), 1],
    [range(1, 2), range(1, 1), 1],
    [range(1, 2), range(2, 3), 2],
    [range(1, 3), range(2, 4), 3],
    [range(2, 3), range(2, 2), 2],
    [range(1, 1), range(2, 3), null],
    [range(3, 3), range(1, 2), null],
    [range(0, 0), range(0, 0), null],
  ] as const) {
    it(`${formatRange(one)} and ${formatRange(other)}: ${common ?? 'none in common'}, whoever asks`, () => {
      expect(commonVersion(one, other)).to.equal(common);
      expect(commonVersion(other, one)).to.equal(common);
    });
  }
});

describe('a range that another program tells', () => {
  it('is the first version where it tells none: so were the programs before there was one to tell', () => {
    expect(rangeOf(undefined)).to.deep.equal(range(1, 1));
  });

  it('may have fields that nobody here knows', () => {
    expect(rangeOf({ lowest: 1, highest: 4, preferred: 3 })).to.deep.equal(range(1, 4));
  });

  for (const input of [
    null,
    1,
    '1',
    [],
    {},
    { lowest: 1 },
    { lowest: 2, highest: 1 },
    { lowest: 0, highest: 1 },
    { lowest: 1, highest: 1.5 },
  ]) {
    it(`has nothing in common with anybody where it is ${JSON.stringify(input)}`, () => {
      expect(commonVersion(rangeOf(input), range(1, 100))).to.equal(null);
    });
  }
});

describe('what this program knows', () => {
  it('is a range of each, and nobody is promised to read what he does not know', () => {
    for (const { lowest, highest } of [PROTOCOL, SCHEMA]) expect(lowest).to.be.within(1, highest);
    expect(SCHEMA_LOWEST_READER).to.be.within(1, SCHEMA.highest);
  });
});
