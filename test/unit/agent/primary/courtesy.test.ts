/** When copying rests for clients, and for how long. */
import { expect } from 'chai';
import { Courtesy, REST_MAX, REST_MIN, SLICE_MS } from '../../../../agent/primary/courtesy.ts';

const TICK_MS = 5;

/**
 * Copying as long as it may, beside clients with a request in each tick, for `durationMs`; requests wait as long as `waitMs` says of whether copying goes on.
 * What part of the time, of its last quarter, it may copy.
 */
function partCopied(courtesy: Courtesy, waitMs: (isCopying: boolean) => number, durationMs: number, fromMs = 0): number {
  let copied = 0;
  let looked = 0;
  for (let nowMs = fromMs; nowMs < fromMs + durationMs; nowMs += TICK_MS) {
    const isCopying = courtesy.mayCopy(nowMs, true);
    const wait = waitMs(isCopying);
    courtesy.waited(nowMs - wait, nowMs);
    if (nowMs - fromMs < (durationMs * 3) / 4) continue;
    looked++;
    if (isCopying) copied++;
  }
  return copied / looked;
}

const quiet = (courtesy: Courtesy, waitMs: number): void => {
  for (let nowMs = 0; nowMs < 1_000; nowMs += TICK_MS) {
    courtesy.idle(nowMs);
    courtesy.waited(nowMs - waitMs, nowMs);
  }
};

describe('Courtesy of copying to clients', () => {
  it('copies all the time while nobody asks', () => {
    const courtesy = new Courtesy();
    for (let nowMs = 0; nowMs < 1_000; nowMs += TICK_MS) expect(courtesy.mayCopy(nowMs, false)).to.equal(true);
  });

  it('rests between slices beside clients, little as long as they do not feel it', () => {
    const courtesy = new Courtesy();
    quiet(courtesy, 2);
    expect(partCopied(courtesy, () => 2, 8_000, 1_000)).to.be.closeTo(1 / (1 + REST_MIN), 0.06);
  });

  it('rests longer the longer they wait, to a limit', () => {
    const courtesy = new Courtesy();
    quiet(courtesy, 2);
    const felt = partCopied(courtesy, (isCopying) => (isCopying ? 8 : 2), 8_000, 1_000);
    expect(felt).to.be.within(0.05, 0.3);
    const starved = partCopied(courtesy, (isCopying) => (isCopying ? 60 : 2), 8_000, 9_000);
    expect(starved).to.be.closeTo(1 / (1 + REST_MAX), 0.06);
  });

  it('finds out in its rests how long they wait without it', () => {
    const courtesy = new Courtesy();
    expect(partCopied(courtesy, (isCopying) => (isCopying ? 40 : 2), 8_000)).to.be.at.most(0.3);
    const another = new Courtesy();
    expect(partCopied(another, () => 20, 8_000)).to.be.at.least(0.6);
  });

  it('goes on where they wait as long without it', () => {
    const courtesy = new Courtesy();
    quiet(courtesy, 2);
    expect(partCopied(courtesy, () => 30, 30_000, 1_000)).to.be.at.least(0.6);
  });

  it('works again at once when nobody asks any more', () => {
    const courtesy = new Courtesy();
    courtesy.mayCopy(0, true);
    expect(courtesy.mayCopy(SLICE_MS, true)).to.equal(false);
    expect(courtesy.mayCopy(SLICE_MS + 1, false)).to.equal(true);
  });

  it('does not make up for a slice in which it stood still', () => {
    const courtesy = new Courtesy();
    courtesy.mayCopy(0, true);
    expect(courtesy.mayCopy(60_000, true)).to.equal(false);
    expect(courtesy.mayCopy(60_000 + 2 * SLICE_MS * REST_MAX, true)).to.equal(true);
  });
});
