/** What a primary says that it keeps, and that what lost its source waits within the bound. */
import { expect } from 'chai';
import { PrimaryBench } from '../../../support/primaryBench.ts';

const loadOf = (bench: PrimaryBench, what: string): number | undefined =>
  bench.primary.load().find((each) => each.what.startsWith(what))?.count;

describe('The load of a primary', () => {
  it('counts what is in flight, locked, waiting, and pinged', () => {
    const bench = new PrimaryBench({ inSync: 'abc' });
    bench.pass(500);
    bench.write(1);
    bench.write(2);
    expect(loadOf(bench, 'operations in flight')).to.equal(2);
    expect(loadOf(bench, 'bytes in flight')).to.equal(8192);
    bench.settle();
    for (const { what, count, max } of bench.primary.load()) expect(count, what).to.be.at.most(max);
    expect(loadOf(bench, 'operations in flight')).to.equal(0);
  });

  it('has a request that waits for a replica that is gone among those that wait', () => {
    const bench = new PrimaryBench({ inSync: 'bc' });
    bench.pass(500);
    for (const letter of 'bc') bench.replica(letter).breaks();
    bench.read(3);
    expect(loadOf(bench, 'requests that wait')).to.equal(1);
  });
});
