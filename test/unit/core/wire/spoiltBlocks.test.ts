/** Freed memory that is spoilt: whatever is done with it too late shows. And, whoever takes, holds and gives back in whatever order: nobody's bytes change. */
import { expect } from 'chai';
import fc from 'fast-check';
import { BLOCK_BYTES_MAX, BlockPool, LONG_BYTES } from '../../../../core/wire/blockPool.ts';
import { SPOILT_BYTE, spoilFreedMemory } from '../../../../core/wire/spoil.ts';

type Step =
  | { what: 'take'; bytes: number }
  | { what: 'hold'; whose: number; from: number; bytes: number }
  | { what: 'give'; whose: number }
  | { what: 'giveCut'; whose: number; at: number };

/** Somebody new takes a block, or holds a piece of what somebody has, or somebody gives back. */
const STEP: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ what: fc.constant('take' as const), bytes: fc.integer({ min: 1, max: BLOCK_BYTES_MAX }) }),
  fc.record({ what: fc.constant('hold' as const), whose: fc.nat(), from: fc.nat(), bytes: fc.nat() }),
  fc.record({ what: fc.constant('give' as const), whose: fc.nat() }),
  fc.record({ what: fc.constant('giveCut' as const), whose: fc.nat(), at: fc.nat() }),
);

/** All who have something, and what must be in it. */
class People {
  readonly #pool = new BlockPool();
  #all: { chunk: Buffer; fill: number; block: object }[] = [];
  #fill = 0;

  take(step: Step): void {
    if (step.what === 'take') return this.#newcomer(this.#pool.take(step.bytes));
    const owner = this.#all[step.whose % Math.max(1, this.#all.length)];
    if (!owner) return;
    const { chunk, block } = owner;
    if (step.what === 'hold') {
      const from = step.from % chunk.length;
      const piece = chunk.subarray(from, from + 1 + (step.bytes % (chunk.length - from)));
      this.#pool.hold([piece]);
      this.#all.push({ ...owner, chunk: piece });
      return;
    }
    const isAlone = this.#all.filter((other) => other.block === block).length === 1;
    if (step.what === 'give') this.#pool.give([chunk]);
    else if (!isAlone) return;
    else this.#pool.giveCut([chunk.subarray(step.at % chunk.length), chunk.subarray(0, step.at % chunk.length)]);
    this.#all = this.#all.filter((other) => other !== owner);
  }

  check(): void {
    for (const { chunk, fill } of this.#all) {
      expect(chunk.length).to.be.greaterThan(0);
      expect(chunk.equals(Buffer.alloc(chunk.length, fill))).to.equal(true);
    }
  }

  #newcomer(chunk: Buffer): void {
    expect(this.#all.some((other) => other.chunk.buffer === chunk.buffer)).to.equal(false);
    this.#fill = (this.#fill + 1) % SPOILT_BYTE;
    chunk.fill(this.#fill);
    this.#all.push({ chunk, fill: this.#fill, block: {} });
  }
}

describe('freed memory', () => {
  beforeEach(() => spoilFreedMemory(true));
  afterEach(() => spoilFreedMemory(false));

  it('is gone for whoever still has it', () => {
    const pool = new BlockPool();
    const block = pool.take(LONG_BYTES);
    const slice = block.subarray(10, 20);
    pool.give([block]);
    expect(slice).to.have.length(0);
    const again = pool.take(LONG_BYTES);
    expect(again.every((byte) => byte === SPOILT_BYTE)).to.equal(true);
  });

  it('is not given back by one who did not have it', () => {
    const pool = new BlockPool();
    const block = pool.take(LONG_BYTES);
    const slice = block.subarray(0, 100);
    pool.hold([slice]);
    expect(() => pool.give([block.subarray(0, 99)])).to.throw('who did not have it');
    pool.give([slice]);
    expect(() => pool.give([slice])).to.throw('who did not have it');
  });

  for (const isSpoilt of [true, false]) {
    it(`is nobody's, in any order of taking, holding and giving back${isSpoilt ? '' : ', also where it is not spoilt'}`, () => {
      spoilFreedMemory(isSpoilt);
      fc.assert(
        fc.property(fc.array(STEP, { maxLength: 60 }), (steps) => {
          const people = new People();
          for (const step of steps) people.take(step);
          people.check();
        }),
        { numRuns: 200 },
      );
    });
  }
});
