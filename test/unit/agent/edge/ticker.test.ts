/** A worker's timer: as slow as its last tick allows, and fast again when something is heard. */
import { expect } from 'chai';
import { startPacedTicker } from '../../../../agent/edge/ticker.ts';

describe('A paced ticker', () => {
  it('ticks no more while there is nothing to do, until it is hastened', async () => {
    let ticks = 0;
    let ticked: () => void = () => undefined;
    const next = () => new Promise<void>((resolve) => (ticked = resolve));
    const first = next();
    const ticker = startPacedTicker(5, () => {
      ticks++;
      ticked();
      return ticks < 3 ? 0 : 3_600_000;
    });
    await first;
    await next();
    await next();
    expect(ticks).to.equal(3);
    const hastened = next();
    ticker.hasten();
    ticker.hasten();
    await hastened;
    expect(ticks).to.equal(4);
    ticker.stop();
  });
});
