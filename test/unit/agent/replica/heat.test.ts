import { expect } from 'chai';
import { COOL_MS, Heat, LINGER_MS, LINGERING_EXTENTS_MAX } from '../../../../agent/replica/heat.ts';

const FEW = LINGERING_EXTENTS_MAX;
const MANY = LINGERING_EXTENTS_MAX + 1;

describe('Which extents stay in the log', () => {
  it('one that nobody touched in this session need not', () => {
    expect(new Heat().isCool(5, FEW, 0)).to.equal(true);
  });

  const cases: [sentence: string, logged: number, firstCoolMs: number][] = [
    ['with few in the log it lingers, also when the volume rests', FEW, LINGER_MS],
    ['with more in the log it does not', MANY, COOL_MS],
  ];
  for (const [sentence, logged, firstCoolMs] of cases) {
    it(sentence, () => {
      const heat = new Heat();
      heat.touch([5], 1, 0);
      expect([heat.isCool(5, logged, firstCoolMs - 1), heat.isCool(5, logged, firstCoolMs)]).to.deep.equal([false, true]);
    });
  }

  it('each write begins its time anew, and no other does', () => {
    const heat = new Heat();
    heat.touch([5, 6], 1, 0);
    heat.touch([6], 2, LINGER_MS - 1);
    expect([heat.isCool(5, FEW, LINGER_MS), heat.isCool(6, FEW, LINGER_MS)]).to.deep.equal([true, false]);
  });

  it('knows the last operation of each, until it has left', () => {
    const heat = new Heat();
    heat.touch([5, 6], 1, 0);
    heat.touch([6], 2, 1);
    expect([heat.sequenceOf(5), heat.sequenceOf(6), heat.sequenceOf(7)]).to.deep.equal([1, 2, 0]);
    heat.forget(6);
    expect(heat.sequenceOf(6)).to.equal(0);
  });
});
