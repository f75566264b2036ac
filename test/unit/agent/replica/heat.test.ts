import { expect } from 'chai';
import { COOL_MS, Heat, LINGER_MS, LINGERING_EXTENTS_MAX } from '../../../../agent/replica/heat.ts';

const FEW = LINGERING_EXTENTS_MAX;
const MANY = LINGERING_EXTENTS_MAX + 1;

describe('Which extents stay in the log', () => {
  it('one that nobody touched in this session need not', () => {
    expect(new Heat().isCool(5, FEW, 0)).to.equal(true);
  });

  const cases: [sentence: string, otherAtMs: number | null, logged: number, firstCoolMs: number][] = [
    ['while others are written, and few are in the log, it lingers', COOL_MS - 1, FEW, LINGER_MS],
    ['with more in the log it does not', COOL_MS - 1, MANY, COOL_MS],
    ['in a volume that rests it does not', null, FEW, COOL_MS],
  ];
  for (const [sentence, everyMs, logged, firstCoolMs] of cases) {
    it(sentence, () => {
      const heat = new Heat();
      heat.touch([5], 1, 0);
      let sequence = 1;
      for (let atMs = everyMs; everyMs !== null && atMs !== null && atMs <= firstCoolMs; atMs += everyMs) {
        sequence++;
        heat.touch([6], sequence, atMs);
      }
      expect([heat.isCool(5, logged, firstCoolMs - 1), heat.isCool(5, logged, firstCoolMs)]).to.deep.equal([false, true]);
    });
  }

  it('knows the last operation of each, until it has left', () => {
    const heat = new Heat();
    heat.touch([5, 6], 1, 0);
    heat.touch([6], 2, 1);
    expect([heat.sequenceOf(5), heat.sequenceOf(6), heat.sequenceOf(7)]).to.deep.equal([1, 2, 0]);
    heat.forget(6);
    expect(heat.sequenceOf(6)).to.equal(0);
  });
});
