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
    let most = 0;
    const counted = async (): Promise<void> => {
      most = Math.max(most, writes.inFlight);
      await first.write();
    };
    for (let index = 0; index < 40; index++) expect(writes.offer(`b${index}`, 'x', counted)).to.equal(true);
    expect(writes.inFlight).to.equal(16);
    first.release();
    await atRest();
    expect([done, writes.inFlight, most, writes.offer('a', 'x', async () => undefined)]).to.deep.equal([41, 0, 16, true]);
  });

  it('that wait are the latest of each object, and none is begun when another leads', async () => {
    let isOver = false;
    const written: string[] = [];
    const write = (what: string) => async (): Promise<void> => void written.push(what);
    const writes = new KubeWrites(
      new ManualClock(),
      silentLog,
      () => undefined,
      () => isOver,
    );
    const first = held();
    for (let index = 0; index < 16; index++) writes.offer(`a${index}`, 'x', first.write);
    writes.offer('b', 'x', write('old'));
    writes.offer('b', 'x', write('new'));
    first.release();
    await atRest();
    expect(written).to.deep.equal(['new']);
    const second = held();
    for (let index = 0; index < 16; index++) writes.offer(`a${index}`, 'x', second.write);
    writes.offer('b', 'x', write('too late'));
    isOver = true;
    second.release();
    await atRest();
    expect([written, writes.offer('c', 'x', write('after'))]).to.deep.equal([['new'], false]);
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
