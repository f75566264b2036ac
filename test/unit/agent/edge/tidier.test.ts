/** When a thread's heap is collected: at rest, seldom, and only when it has grown. */
import { expect } from 'chai';
import { COLLECT_MS, ownHeap, QUIET_MS, Tidier } from '../../../../agent/edge/tidier.ts';

const setUp = () => {
  const heap = { bytes: 100, collections: 0 };
  const collect = () => {
    heap.collections++;
    heap.bytes = 40;
  };
  return { heap, tidier: new Tidier({ totalBytes: () => heap.bytes, collect }, 0) };
};

describe('A heap that is tidied up', () => {
  it('is collected when nothing was to be done for a while, not before', () => {
    const { heap, tidier } = setUp();
    tidier.look(QUIET_MS - 1, false);
    tidier.look(QUIET_MS, true);
    tidier.look(2 * QUIET_MS - 1, false);
    expect(heap.collections).to.equal(0);
    tidier.look(2 * QUIET_MS, false);
    expect(heap.collections).to.equal(1);
  });

  it('is collected again only when it has grown, and seldom', () => {
    const { heap, tidier } = setUp();
    tidier.look(QUIET_MS, false);
    tidier.look(QUIET_MS + COLLECT_MS, false);
    expect(heap.collections).to.equal(1);
    heap.bytes = 90;
    tidier.look(QUIET_MS + COLLECT_MS - 1, false);
    expect(heap.collections).to.equal(1);
    tidier.look(QUIET_MS + COLLECT_MS, false);
    expect(heap.collections).to.equal(2);
  });

  it('is this thread’s own, and smaller afterwards', () => {
    const heap = ownHeap();
    let kept: object[] | null = Array.from({ length: 200_000 }, (_, index) => ({ index, next: [index] }));
    const beforeBytes = heap.totalBytes();
    expect(kept.length).to.equal(200_000);
    kept = null;
    heap.collect();
    expect(heap.totalBytes()).to.be.lessThan(beforeBytes);
  });
});
