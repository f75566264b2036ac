/** Where clocks may be stopped, everybody who counts is asked before a reply leaves. */
import { expect } from 'chai';
import { PrimaryBench, SETTINGS } from '../../../support/primaryBench.ts';

const NO_LEASES = { leaseMs: 0 };

const serving = (options: ConstructorParameters<typeof PrimaryBench>[0]): PrimaryBench => {
  const bench = new PrimaryBench({ ...options, settings: NO_LEASES });
  bench.pass(500);
  expect(bench.events).to.deep.equal(['socket opens']);
  return bench;
};

describe('A primary where there are no leases', () => {
  const asking = () => serving({ inSync: 'ab' });

  it('asks everybody when a reply is ready, and not before', () => {
    const bench = asking();
    bench.replica('b').mute.add('ping');
    bench.pass(2 * SETTINGS.heartbeatMs);
    bench.read(0);
    bench.write(300);
    bench.settle();
    expect(bench.answers).to.deep.equal([]);
    bench.replica('b').mute.clear();
    bench.settle();
    expect(bench.answers).to.have.members(['read 0: from a', 'write 300: done']);
  });

  it('asks again who lost the question with its session', () => {
    const bench = asking();
    bench.replica('b').mute.add('ping');
    bench.read(0);
    bench.settle();
    bench.replica('b').breaks();
    bench.replica('b').mute.clear();
    bench.replica('b').isReachable = true;
    bench.pass(50);
    expect(bench.answers).to.deep.equal([]);
    bench.pass(300);
    expect(bench.answers).to.deep.equal(['read 0: from a']);
  });

  it('asks once for all that is ready, and once more for what was not', () => {
    const bench = asking();
    const asked = () => bench.replica('b').told('ping').length;
    bench.replica('b').mute.add('ping');
    const before = asked();
    bench.read(0);
    bench.settle();
    bench.read(1);
    bench.read(2);
    bench.settle();
    expect(asked() - before).to.equal(1);
    bench.replica('b').mute.clear();
    bench.settle();
    expect(bench.answers).to.deep.equal(['read 0: from a', 'read 1: from a', 'read 2: from a']);
    expect(asked() - before).to.equal(2);
  });

  it('serves at once where nobody had leased to an earlier one', () => {
    const bench = new PrimaryBench({ inSync: 'ab', settings: NO_LEASES });
    bench.settle();
    expect(bench.events).to.deep.equal(['socket opens']);
  });

  it('takes in a learner that grants none', () => {
    const bench = serving({ inSync: 'a', learners: 'b' });
    expect(bench.proposed()).to.deep.equal(['ab']);
  });
});
