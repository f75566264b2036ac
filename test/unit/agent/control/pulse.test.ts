/** Whether a thread still answers, by the time that this one has seen pass. */
import { expect } from 'chai';
import { Pulse } from '../../../../agent/control/pulse.ts';

const setUp = () => {
  const asked: number[] = [];
  const pulse = new Pulse({ askEveryMs: 1_000, ask: (id) => asked.push(id) });
  return { asked, pulse };
};

describe('a pulse', () => {
  it('asks in its turn, and only when the last answer is there', () => {
    const { asked, pulse } = setUp();
    pulse.tick(0);
    pulse.tick(5_000);
    expect(asked).to.deep.equal([1]);
    pulse.answered(1);
    pulse.tick(5_050);
    expect(asked).to.deep.equal([1, 2]);
  });

  it('says when it is due: to ask, or to count the silence', () => {
    const { pulse } = setUp();
    pulse.tick(100);
    expect(pulse.dueAtMs).to.equal(1_100);
    pulse.tick(700);
    expect(pulse.dueAtMs).to.equal(1_700);
    pulse.answered(1);
    expect(pulse.dueAtMs).to.equal(1_100);
  });

  it('counts silence from tick to tick, and none for which this thread stood still', () => {
    const { pulse } = setUp();
    for (let nowMs = 0; nowMs <= 4_000; nowMs += 1_000) pulse.tick(nowMs);
    expect(pulse.silentMs).to.equal(4_000);
    pulse.tick(64_000);
    expect(pulse.silentMs).to.be.at.most(5_500);
  });

  it('takes the answer to an earlier question for none', () => {
    const { pulse } = setUp();
    pulse.tick(0);
    pulse.answered(1);
    pulse.tick(1_000);
    pulse.tick(2_000);
    pulse.answered(1);
    expect([pulse.hasAnswered, pulse.silentMs]).to.deep.equal([false, 1_000]);
    pulse.answered(2);
    expect([pulse.hasAnswered, pulse.silentMs]).to.deep.equal([true, 0]);
  });
});
