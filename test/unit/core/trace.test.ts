import { expect } from 'chai';
import fc from 'fast-check';
import type { Random } from '../../../core/random.ts';
import { formatTraceparent, newTrace, nextStep, parseTraceparent, traceFrom } from '../../../core/trace.ts';

const counting = (): Random => {
  let count = 0;
  return { unit: () => 0, hex: (length) => (++count).toString(16).padStart(2 * length, '0') };
};
const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT_ID = '00f067aa0ba902b7';

describe('traceparent', () => {
  it('is read and written', () => {
    const text = `00-${TRACE_ID}-${PARENT_ID}-01`;
    const trace = parseTraceparent(text);
    expect(trace).to.deep.equal({ traceId: TRACE_ID, parentId: PARENT_ID, sampled: true });
    expect(trace && formatTraceparent(trace)).to.equal(text);
    expect(parseTraceparent(`00-${TRACE_ID}-${PARENT_ID}-00`)?.sampled).to.equal(false);
  });

  const rows: [string, string, boolean][] = [
    ['of a later version, with more fields', `01-${TRACE_ID}-${PARENT_ID}-01-more`, true],
    ['of this version, with more fields', `00-${TRACE_ID}-${PARENT_ID}-01-more`, false],
    ['of the version that is none', `ff-${TRACE_ID}-${PARENT_ID}-01`, false],
    ['in capitals', `00-${TRACE_ID.toUpperCase()}-${PARENT_ID}-01`, false],
    ['with a trace id of zeroes', `00-${'0'.repeat(32)}-${PARENT_ID}-01`, false],
    ['with a parent id of zeroes', `00-${TRACE_ID}-${'0'.repeat(16)}-01`, false],
    ['cut short', `00-${TRACE_ID}-${PARENT_ID}`, false],
    ['too long', `01-${TRACE_ID}-${PARENT_ID}-01-${'x'.repeat(300)}`, false],
    ['empty', '', false],
  ];
  for (const [sentence, text, isTrace] of rows) {
    it(`${sentence} is ${isTrace ? 'one' : 'none'}`, () => {
      expect(parseTraceparent(text) !== null).to.equal(isTrace);
    });
  }

  it('never throws, and what it reads it writes back', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const trace = parseTraceparent(text);
        return trace === null || parseTraceparent(formatTraceparent(trace)) !== null;
      }),
    );
  });

  it('the trace goes on, the step is a new one', () => {
    const random = counting();
    const given = newTrace(random);
    expect(given.traceId).to.match(/^[0-9a-f]{32}$/);
    const next = nextStep(given, random);
    expect(next.traceId).to.equal(given.traceId);
    expect(next.parentId).to.not.equal(given.parentId);
    expect(traceFrom(formatTraceparent(given), random).traceId).to.equal(given.traceId);
    expect(traceFrom('garbage', random).traceId).to.not.equal(given.traceId);
  });

  it('is never of zeroes, whatever the source draws', () => {
    const trace = newTrace({ unit: () => 0, hex: (length) => '00'.repeat(length) });
    expect(parseTraceparent(formatTraceparent(trace))).to.deep.equal(trace);
  });
});
