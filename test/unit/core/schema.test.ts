/** The schema of etcd: who may act on what stands there. */
import { expect } from 'chai';
import { parseSchema, schemaProblem } from '../../../core/schema.ts';
import { SCHEMA } from '../../../core/versions.ts';

const text = (version: number, lowestReader = version): string => JSON.stringify({ version, lowestReader, writtenBy: '1.2.3' });

describe('the schema of etcd', () => {
  it('is the first where nobody says so: so is a store of programs that knew of none', () => {
    expect(parseSchema(null)?.version).to.equal(1);
    expect(schemaProblem(null, { lowest: 1, highest: 1 })).to.equal(null);
  });

  for (const [found, lowest, highest, problem] of [
    [text(1), 1, 1, null],
    [text(1), 1, 2, null],
    [text(2), 1, 2, null],
    [text(3, 2), 1, 2, null],
    [
      text(2),
      1,
      1,
      'etcd is of schema 2 (written by 1.2.3), which is for programs that know 2 or later; this one knows 1: it is too old to act here',
    ],
    [
      text(3, 3),
      1,
      2,
      'etcd is of schema 3 (written by 1.2.3), which is for programs that know 3 or later; this one knows 1 to 2: it is too old to act here',
    ],
    [
      text(1),
      2,
      3,
      'etcd is of schema 1 (written by 1.2.3); this program knows 2 to 3: it is too new, upgrade by one version after the other',
    ],
    ['{', 1, 1, 'the schema of etcd cannot be read: {'],
    ['{"version":1}', 1, 1, 'the schema of etcd cannot be read: {"version":1}'],
    ['{"version":1,"lowestReader":2}', 1, 9, 'the schema of etcd cannot be read: {"version":1,"lowestReader":2}'],
    ['null', 1, 9, 'the schema of etcd cannot be read: null'],
  ] as const) {
    it(`${found} for a program that knows ${lowest} to ${highest}: ${problem ?? 'known'}`, () => {
      expect(schemaProblem(found, { lowest, highest })).to.equal(problem);
    });
  }

  it('may say more than is known here', () => {
    expect(schemaProblem(JSON.stringify({ version: 1, lowestReader: 1, writtenBy: '9', since: 'May' }))).to.equal(null);
  });

  it('of this program is one that it may act on itself', () => {
    expect(schemaProblem(text(SCHEMA.highest))).to.equal(null);
  });
});
