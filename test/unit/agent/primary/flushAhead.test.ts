/** Flushes that are asked before the client asks: when, and when one of them will do for the flush that the client then asks for. */
import { expect } from 'chai';
import { STREAK_MIN } from '../../../../agent/primary/flushAhead.ts';
import { PrimaryBench } from '../../../support/primaryBench.ts';

/** Served, and the client has just flushed behind each of so many writes. */
function flushing(options: ConstructorParameters<typeof PrimaryBench>[0], times = STREAK_MIN): PrimaryBench {
  const bench = new PrimaryBench(options);
  bench.pass(500);
  for (let round = 0; round < times; round++) {
    bench.write(0);
    bench.settle();
    bench.flush();
    bench.settle();
  }
  bench.answers.length = 0;
  for (const replica of bench.replicas.values()) replica.heard.length = 0;
  return bench;
}
const heard = (bench: PrimaryBench, letter = 'b'): string[] => bench.replica(letter).told('write', 'flush');
const kinds = (bench: PrimaryBench, letter = 'b'): string[] => heard(bench, letter).map((words) => words.split(' ')[0] ?? '');

describe('A flush that is asked ahead', () => {
  it('goes out right behind the write, to everybody, and answers the client’s at once', () => {
    const bench = flushing({ inSync: 'abc' });
    bench.write(1);
    for (const letter of 'abc') expect(kinds(bench, letter), letter).to.deep.equal(['write', 'flush']);
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done']);
    bench.flush();
    expect(bench.answers).to.deep.equal(['write 1: done', 'flush: done']);
    expect(kinds(bench)).to.deep.equal(['write', 'flush']);
  });

  it('is not asked before the client has flushed behind one write each for a while', () => {
    const bench = flushing({ inSync: 'ab' }, STREAK_MIN - 1);
    bench.write(1);
    expect(kinds(bench)).to.deep.equal(['write']);
  });

  it('answers nobody before everybody has answered it', () => {
    const bench = flushing({ inSync: 'ab' });
    bench.replica('b').mute.add('flush');
    bench.write(1);
    bench.settle();
    bench.flush();
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done']);
    bench.replica('b').mute.clear();
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done', 'flush: done']);
    expect(kinds(bench)).to.deep.equal(['write', 'flush']);
  });

  it('does not do for a flush behind another write, nor is it asked again before the streak is whole', () => {
    const bench = flushing({ inSync: 'ab' });
    bench.write(1);
    bench.settle();
    bench.write(2);
    bench.settle();
    bench.replica('b').mute.add('flush');
    bench.flush();
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done', 'write 2: done']);
    expect(kinds(bench)).to.deep.equal(['write', 'flush', 'write', 'flush']);
    bench.replica('b').mute.clear();
    bench.settle();
    expect(bench.answers.at(-1)).to.equal('flush: done');
    bench.write(3);
    expect(kinds(bench).at(-1)).to.equal('write');
  });

  it('does not do while it is on its way, when another write went out behind it', () => {
    const bench = flushing({ inSync: 'ab' });
    bench.replica('b').mute.add('flush');
    bench.write(1);
    bench.settle();
    bench.write(2);
    bench.settle();
    bench.flush();
    expect(kinds(bench)).to.deep.equal(['write', 'flush', 'write', 'flush']);
  });

  it('does not do when a session ended since: the next one is asked anew', () => {
    const bench = flushing({ inSync: 'abc' });
    bench.replica('b').mute.add('flush');
    bench.write(1);
    bench.settle();
    bench.replica('b').breaks();
    bench.flush();
    bench.replica('b').mute.clear();
    bench.replica('b').isReachable = true;
    bench.pass(500);
    expect(bench.answers).to.deep.equal(['write 1: done', 'flush: done']);
    expect(kinds(bench)).to.deep.equal(['write', 'flush', 'flush']);
    expect(kinds(bench, 'c')).to.deep.equal(['write', 'flush', 'flush']);
  });

  it('does not do when it was answered in a session that has ended since', () => {
    const bench = flushing({ inSync: 'abc' });
    bench.write(1);
    bench.settle();
    bench.replica('b').breaks();
    bench.replica('b').isReachable = true;
    bench.pass(500);
    bench.replica('b').mute.add('flush');
    bench.flush();
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done']);
  });

  it('does not do when who counts is another since, though all of them were asked', () => {
    const bench = flushing({ inSync: 'ab' });
    bench.write(1);
    bench.settle();
    bench.lands((config) => ({ ...config, shards: config.shards.map((shard) => ({ ...shard, inSync: shard.inSync.slice(0, 1) })) }));
    bench.settle();
    bench.replica('a').mute.add('flush');
    bench.flush();
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done']);
  });

  it('asks all shards, for what had completed before it may be in any', () => {
    const bench = flushing({ inSync: 'ab/cd' });
    bench.write(1);
    expect(kinds(bench, 'd')).to.deep.equal(['flush']);
    bench.replica('d').mute.add('flush');
    bench.settle();
    bench.flush();
    expect(bench.answers).to.deep.equal(['write 1: done']);
    bench.replica('d').mute.clear();
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done', 'flush: done']);
  });

  it('is forgotten with the primary', () => {
    const bench = flushing({ inSync: 'ab' });
    bench.replica('b').mute.add('flush');
    bench.write(1);
    bench.settle();
    bench.flush();
    bench.primary.stop();
    bench.replica('b').mute.clear();
    bench.settle();
    expect(bench.answers).to.deep.equal(['write 1: done']);
  });
});
