/** When the leader raises the schema of etcd: when everybody says that he knows it, and not before. */
import { expect } from 'chai';
import { decideSchema, type SchemaDecision } from '../../../../operator/reconcile/schema.ts';

const OWN = { highest: 2, lowestReader: 2, version: '0.9.0', raiseAfterMs: 60_000 };
/** Nobody who does not know it has been known for longer than that. */
const LONG = { hasVolumes: true, agreedForMs: 60_000 };
const FIRST = JSON.stringify({ version: 1, lowestReader: 1, writtenBy: '0.8.0' });
const knows = (highest: number) => ({ speaks: { protocol: { lowest: 1, highest: 1 }, schema: { lowest: 1, highest } } });
/** As agents told before they said what they know. */
const SILENT = {};

function decide(
  text: string | null,
  machines: Record<string, object>,
  storageNodes = Object.keys(machines),
  own = OWN,
  since = LONG,
): SchemaDecision {
  return decideSchema({ text, machines: new Map(Object.entries(machines)), storageNodes, ...since }, own);
}

const SECOND = { version: 2, lowestReader: 2, writtenBy: '0.9.0' };

describe('operator: the schema of etcd', () => {
  it('is raised when every agent knows it', () => {
    expect(decide(FIRST, { a: knows(2), b: knows(3) })).to.deep.equal({ next: SECOND, waitsFor: [] });
  });

  it('is not raised while one knows less, or does not say', () => {
    expect(decide(FIRST, { a: knows(2), b: knows(1), c: SILENT })).to.deep.equal({ next: null, waitsFor: ['b (knows 1)', 'c (knows 1)'] });
  });

  it('is not raised while one is away: it may come back as it was', () => {
    expect(decide(FIRST, { a: knows(2) }, ['a', 'b'])).to.deep.equal({ next: null, waitsFor: ['b (not heard of)'] });
  });

  it('is not raised over one whose words make no sense', () => {
    expect(decide(FIRST, { a: { speaks: { schema: { lowest: 3, highest: 2 } } } }).next).to.equal(null);
  });

  it('is written down as the first where there is none and not all know more', () => {
    const next = { version: 1, lowestReader: 1, writtenBy: '0.9.0' };
    expect(decide(null, { a: knows(2), b: SILENT })).to.deep.equal({ next, waitsFor: ['b (knows 1)'] });
    expect(decide(null, { a: SILENT }, ['a'], { ...OWN, highest: 1, lowestReader: 1 }).next).to.deep.equal(next);
  });

  it('is not raised before all have known it for a while, unless nothing stands in the store yet', () => {
    const soon = { hasVolumes: true, agreedForMs: 59_999 };
    const wait = 'the 60 s in which it may still be gone back (SCHEMA_RAISE_AFTER_SECONDS)';
    expect(decide(FIRST, { a: knows(2) }, ['a'], OWN, soon)).to.deep.equal({ next: null, waitsFor: [wait] });
    expect(decide(FIRST, { a: knows(2) }, ['a'], OWN, { ...soon, hasVolumes: false }).next).to.equal(null);
    expect(decide(null, { a: knows(2) }, ['a'], OWN, soon).next?.version).to.equal(1);
    expect(decide(null, { a: knows(2) }, ['a'], OWN, { hasVolumes: false, agreedForMs: 0 }).next).to.deep.equal(SECOND);
  });

  it('is that of the first leader where there is nobody yet', () => {
    expect(decide(null, {}, [], OWN, { hasVolumes: false, agreedForMs: 0 }).next).to.deep.equal(SECOND);
  });

  it('is never lowered, and left alone where it cannot be read', () => {
    const third = JSON.stringify({ version: 3, lowestReader: 2, writtenBy: '1.0.0' });
    for (const text of [third, JSON.stringify(SECOND), 'nonsense']) {
      expect(decide(text, { a: knows(2), b: SILENT })).to.deep.equal({ next: null, waitsFor: [] });
    }
  });
});
