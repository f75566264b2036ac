/** Every input that ever showed something is replayed on every change; and the fuzzer can find what it is there to find. */
import { expect } from 'chai';
import { corpusOf } from '../../fuzz/corpus.ts';
import { stopCounting } from '../../fuzz/coverage.ts';
import { Fuzzer, type Target } from '../../fuzz/engine.ts';
import { formatInput, type Input, parseInput } from '../../fuzz/input.ts';
import { TARGETS } from '../../fuzz/targets.ts';
import { hiddenFault } from './hiddenFault.ts';

describe('fuzzing: what was found before', () => {
  for (const target of TARGETS) {
    it(`${target.name}: seeds and corpus do no harm`, function () {
      this.timeout(60_000);
      for (const input of [...target.seeds(), ...corpusOf(target.name)]) target.run(input);
    });
  }

  it('an input as text is the same input', () => {
    const input: Input = { choices: Buffer.from([1, 2]), frames: [Buffer.alloc(0), Buffer.from('abc'), Buffer.alloc(0)] };
    expect(parseInput(formatInput(input))).to.deep.equal(input);
  });
});

describe('fuzzing: the fuzzer', () => {
  after(stopCounting);

  const planted = (sources: RegExp): Target => ({
    name: 'planted',
    sources,
    seeds: () => [{ choices: Buffer.from([0]), frames: [Buffer.alloc(8, 0x20)] }],
    run: ({ frames }) => hiddenFault(frames[0] ?? Buffer.alloc(0)),
  });

  it('is told by coverage how far it came, finds a fault behind four conditions by that, and makes the input small', function () {
    this.timeout(120_000);
    const { failure, kept } = new Fuzzer(planted(/hiddenFault\.ts$/), [], 1).run(100_000, () => undefined);
    expect((failure?.error as Error | undefined)?.message).to.equal('found');
    expect(kept.length).to.be.above(2);
    expect(failure?.input.frames).to.have.length(1);
  });

  it('does not find it in as many runs where it is told nothing', function () {
    this.timeout(60_000);
    const { failure } = new Fuzzer(planted(/no such file/), [], 1).run(2_000, () => undefined);
    expect(failure).to.equal(null);
  });
});
