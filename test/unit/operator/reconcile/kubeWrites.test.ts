import { expect } from 'chai';
import { OperatingError } from '../../../../core/errors.ts';
import { silentLog } from '../../../../core/log.ts';
import { KubeWrites } from '../../../../operator/reconcile/kubeWrites.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest } from '../../../support/scriptedStore.ts';

const held = (): { write: () => Promise<void>; release: () => void } => {
  let release: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { write: () => promise, release };
};

describe('operator: writes to the API server', () => {
  it('are one at a time for an object, and a bounded number in all', async () => {
    let done = 0;
    const writes = new KubeWrites(new ManualClock(), silentLog, () => done++);
    const first = held();
    expect(writes.offer('a', 'x', first.write)).to.equal(true);
    expect(writes.offer('a', 'x', first.write)).to.equal(false);
    const taken = Array.from({ length: 40 }, (_, index) => writes.offer(`b${index}`, 'x', first.write)).filter(Boolean).length;
    expect([taken, writes.inFlight]).to.deep.equal([15, 16]);
    first.release();
    await atRest();
    expect([done, writes.inFlight, writes.offer('a', 'x', async () => undefined)]).to.deep.equal([16, 0, true]);
  });

  it('that fail are taken again only after a while, which grows', async () => {
    const clock = new ManualClock();
    const writes = new KubeWrites(clock, silentLog, () => undefined);
    const fail = async () => Promise.reject(new OperatingError('Unavailable', 'write', 'no answer'));
    const waits: number[] = [];
    for (let round = 0; round < 9; round++) {
      expect(writes.offer('a', 'x', fail)).to.equal(true);
      await atRest();
      const failedMs = clock.nowMs;
      while (!writes.offer('a', 'x', async () => Promise.reject(new OperatingError('Conflict', 'probe', 'x')))) clock.advance(100);
      await atRest();
      waits.push(clock.nowMs - failedMs);
    }
    expect(waits).to.deep.equal([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  it('that lose to another change are simply decided anew', async () => {
    const writes = new KubeWrites(new ManualClock(), silentLog, () => undefined);
    writes.offer('a', 'x', async () => Promise.reject(new OperatingError('Conflict', 'write', 'it has changed')));
    await atRest();
    expect(writes.offer('a', 'x', async () => undefined)).to.equal(true);
  });

  it('forget the failures of objects that are gone', async () => {
    const writes = new KubeWrites(new ManualClock(), silentLog, () => undefined);
    writes.offer('a', 'x', async () => Promise.reject(new Error('broken')));
    await atRest();
    writes.forgetOthers(new Set());
    expect(writes.offer('a', 'x', async () => undefined)).to.equal(true);
  });
});
