/** What a primary does about replicas that lost power: it never goes on over a loss that nobody was told of. */
import { expect } from 'chai';
import { lossSentence } from '../../../../core/config.ts';
import { PrimaryBench } from '../../../support/primaryBench.ts';

const serving = (options: ConstructorParameters<typeof PrimaryBench>[0]): PrimaryBench => {
  const bench = new PrimaryBench(options);
  bench.pass(500);
  expect(bench.events).to.deep.equal(['socket opens']);
  return bench;
};

describe('A primary whose replicas lost power', () => {
  const lostPower = (letters: string) => (made: PrimaryBench) => {
    for (const letter of letters) Object.assign(made.replica(letter), { suspect: true, log: [0] });
  };

  it('takes another one for the authority while one lost power', () => {
    const bench = serving({ inSync: 'ab', before: lostPower('a') });
    expect(bench.replica('a').told('level')).to.deep.equal(['level 0 of ']);
    expect(bench.proposals).to.deep.equal([]);
  });

  it('waits for the one that may have kept its power', () => {
    const bench = new PrimaryBench({
      inSync: 'ab',
      before: (made) => {
        lostPower('a')(made);
        made.replica('b').isReachable = false;
      },
    });
    bench.pass(10_000);
    expect([bench.events, bench.proposals]).to.deep.equal([[], []]);
    expect(bench.primary.report().reason).to.contain('node-b');
  });

  it('writes its epoch as lossAt before it serves when all did', () => {
    const bench = new PrimaryBench({ inSync: 'ab', before: lostPower('ab') });
    bench.pass(500);
    expect([bench.events, bench.proposals.map(({ lossAt }) => lossAt)]).to.deep.equal([[], [5]]);
    bench.lands();
    bench.pass(200);
    expect(bench.events).to.deep.equal(['socket opens']);
  });

  it('serves nobody who was attached before, until attached anew', () => {
    const attachment = { node: 'node-a', bootId: 'boot-1', epoch: 4 };
    const bench = new PrimaryBench({
      inSync: 'ab',
      before: (made) => {
        lostPower('ab')(made);
        made.config = { ...made.config, attachment };
      },
    });
    bench.pass(500);
    bench.lands();
    bench.pass(500);
    expect(bench.events).to.deep.equal([]);
    expect(bench.primary.report()).to.deep.include({ state: 'background', reason: lossSentence(bench.config) });
    bench.lands((config) => ({ ...config, attachment: { ...attachment, epoch: 5 } }));
    expect(bench.events).to.deep.equal(['socket opens']);
  });

  it('serves nobody while the loss that it tells is not known to stand, though nothing else is to be waited for any more', () => {
    const attachment = { node: 'node-a', bootId: 'boot-1', epoch: 4 };
    const bench = new PrimaryBench({
      inSync: 'a',
      minInSync: 1,
      before: (made) => {
        made.replica('a').leaseRemainingMs = 8_000;
        made.config = { ...made.config, attachment };
      },
    });
    bench.pass(500);
    bench.replica('a').breaks();
    Object.assign(bench.replica('a'), { isReachable: true, suspect: true, leaseRemainingMs: 0, log: [0] });
    bench.pass(10_000);
    expect([bench.events, bench.proposals.map(({ lossAt }) => lossAt)]).to.deep.equal([[], [5]]);
    bench.lands();
    bench.pass(500);
    expect(bench.events).to.deep.equal([]);
  });

  it('closes its socket with errors when all do under it, and lets go without waiting for what is in flight', () => {
    const bench = serving({ inSync: 'ab', minInSync: 2 });
    bench.write(0);
    for (const letter of 'ab') {
      bench.replica(letter).breaks();
      Object.assign(bench.replica(letter), { isReachable: true, suspect: true, log: [0] });
    }
    bench.pass(2_500);
    expect(bench.events).to.deep.equal(['socket opens', 'socket closes']);
    expect(bench.answers).to.deep.equal(['write 0: io']);
    expect(bench.proposals.map(({ primary }) => primary)).to.deep.equal([null]);
    bench.lands();
    bench.pass(100);
    expect(bench.events.at(-1)).to.equal('released');
  });

  it('goes on when one does under it, and lets it be no source until it is levelled', () => {
    const bench = serving({ inSync: 'ab', minInSync: 2 });
    bench.replica('b').breaks();
    Object.assign(bench.replica('b'), { isReachable: true, suspect: true, log: [0] });
    bench.replica('b').mute.add('level');
    bench.pass(2_000);
    bench.replica('a').breaks();
    bench.pass(1_000);
    bench.read(0);
    bench.settle();
    expect(bench.answers).to.deep.equal([]);
    expect(bench.primary.report().reason).to.contain('node-a');
  });

  it('flushes one only when what it lost is there again', () => {
    const bench = serving({ inSync: 'ab', minInSync: 2 });
    bench.replica('b').breaks();
    bench.flush();
    Object.assign(bench.replica('b'), { isReachable: true, suspect: true, log: [1] });
    bench.replica('b').mute.add('level');
    bench.pass(1_000);
    expect([bench.replica('b').told('flush'), bench.answers]).to.deep.equal([[], []]);
    bench.replica('b').mute.clear();
    bench.pass(100);
    expect(bench.answers).to.deep.equal(['flush: done']);
  });
});
