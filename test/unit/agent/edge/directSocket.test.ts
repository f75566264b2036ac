/** Memory that the kernel reads into: never what somebody still has slices of. */
import { expect } from 'chai';
import { type ByteSink, type Kept, Receiver } from '../../../../agent/edge/directSocket.ts';
import { BlockPool } from '../../../../core/wire/blockPool.ts';

const KIB = 1024;

/** As the socket uses it: asks where to read to, and says how much it was. */
class Kernel {
  readonly receiver: Receiver;
  #target: Uint8Array;

  constructor(receiver: Receiver) {
    this.receiver = receiver;
    this.#target = this.#ask();
  }

  read(bytes: number, fill: number): void {
    this.#target.fill(fill, 0, bytes);
    this.receiver.onread.callback(bytes, this.#target);
    this.#target = this.#ask();
  }

  get roomBytes(): number {
    return this.#target.length;
  }

  #ask(): Uint8Array {
    const { buffer } = this.receiver.onread;
    return typeof buffer === 'function' ? buffer() : buffer;
  }
}

function sinkThat(kept: () => Kept, seen: Buffer[]): ByteSink {
  return {
    room: () => null,
    filled: () => undefined,
    received: (chunk) => {
      seen.push(chunk);
      return kept();
    },
  };
}

describe('a socket read into memory of our own', () => {
  for (const blocks of [null, new BlockPool()]) {
    it(`leaves alone what is kept, however much comes ${blocks ? 'and whoever gives back' : ''}`, () => {
      const receiver = new Receiver(blocks);
      const seen: Buffer[] = [];
      receiver.sink = sinkThat(() => {
        const chunk = seen.at(-1);
        if (chunk) blocks?.hold([chunk]);
        return 'chunk';
      }, seen);
      const kernel = new Kernel(receiver);
      for (let turn = 1; turn <= 100; turn++) kernel.read(Math.min(9_000, kernel.roomBytes), turn);
      expect(seen.every((chunk, index) => chunk.every((byte) => byte === index + 1))).to.equal(true);
    });
  }

  it('uses the same memory again when nothing is kept', () => {
    const receiver = new Receiver();
    const seen: Buffer[] = [];
    receiver.sink = sinkThat(() => 'nothing', seen);
    const kernel = new Kernel(receiver);
    for (let turn = 1; turn <= 100; turn++) kernel.read(5_000, turn);
    expect(new Set(seen.map(({ buffer }) => buffer)).size).to.equal(1);
  });

  it('goes on behind what was kept before when only this chunk is not', () => {
    const receiver = new Receiver();
    const seen: Buffer[] = [];
    receiver.sink = sinkThat(() => (seen.length % 2 === 1 ? 'chunk' : 'earlier'), seen);
    const kernel = new Kernel(receiver);
    for (let turn = 1; turn <= 60; turn++) kernel.read(2_000, turn);
    const kept = seen.filter((_, index) => index % 2 === 0);
    expect(kept.every((chunk, index) => chunk.every((byte) => byte === 2 * index + 1))).to.equal(true);
  });

  it('uses a slab again when the last who held it has given it back', () => {
    const blocks = new BlockPool();
    const receiver = new Receiver(blocks);
    const seen: Buffer[] = [];
    const buffers = new Set<ArrayBufferLike>();
    receiver.sink = sinkThat(() => {
      const chunk = seen.at(-1) ?? Buffer.alloc(0);
      blocks.hold([chunk]);
      buffers.add(chunk.buffer);
      return 'chunk';
    }, seen);
    const kernel = new Kernel(receiver);
    for (let turn = 1; turn <= 400; turn++) {
      kernel.read(Math.min(16 * KIB, kernel.roomBytes), turn);
      const oldest = seen[turn - 4];
      if (oldest) blocks.give([oldest]);
    }
    expect(buffers.size, 'the first one, and two in turns').to.be.at.most(4);
  });
});
