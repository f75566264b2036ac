/** Whether a volume answers, by what the kernel counts of its device. */
import { expect } from 'chai';
import { answers } from '../../../../agent/holder/edge/answering.ts';
import type { Traffic } from '../../../../agent/holder/edge/nbdDevices.ts';

const LOOKS = 4;
const IDLE = { unanswered: 0, answered: 7 };
const STUCK = { unanswered: 2, answered: 7 };

/** What is seen at each look; the last again and again. */
const seen = (isLinked: boolean, ...sights: (Traffic | null)[]): Parameters<typeof answers>[0] => ({
  isLinked: () => isLinked,
  traffic: () => (sights.length > 1 ? (sights.shift() ?? null) : (sights[0] ?? null)),
});

describe('agent/holder: whether a volume answers', () => {
  it('does where nothing is in flight', async () => {
    expect(await answers(seen(true, { reads: IDLE, writes: IDLE }), LOOKS)).to.equal(true);
  });

  it('does when as much is answered as was in flight, though there is always more', async () => {
    const sights = [7, 8, 9].map((answered) => ({ reads: IDLE, writes: { unanswered: 2, answered } }));
    expect(await answers(seen(true, ...sights), LOOKS)).to.equal(true);
    expect(await answers(seen(true, ...sights.slice(0, 2)), LOOKS)).to.equal(false);
  });

  it('does not when reads are answered and writes are not', async () => {
    const later = { reads: { unanswered: 1, answered: 900 }, writes: STUCK };
    expect(await answers(seen(true, { reads: IDLE, writes: STUCK }, later), LOOKS)).to.equal(false);
  });

  it('does not without a connection, when what waits for one is not counted', async () => {
    expect(await answers(seen(false, { reads: IDLE, writes: IDLE }), LOOKS)).to.equal(false);
  });

  it('does not when the device is gone', async () => {
    expect(await answers(seen(true, null), LOOKS)).to.equal(false);
    expect(await answers(seen(true, { reads: STUCK, writes: STUCK }, null), LOOKS)).to.equal(false);
  });
});
