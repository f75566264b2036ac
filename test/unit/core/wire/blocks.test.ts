/** Long bodies in blocks of a pool: the same messages, wherever the bytes were read to, and memory that is used again only once it was given back. */
import { expect } from 'chai';
import { BLOCK_BYTES_MAX, BlockPool, LONG_BYTES } from '../../../../core/wire/blockPool.ts';
import { decoderToReplica } from '../../../../core/wire/decode.ts';
import { Encoder } from '../../../../core/wire/encode.ts';
import type { ToReplica } from '../../../../core/wire/messages.ts';
import { pattern, SEAL_SAMPLE, SESSION } from './samples.ts';

describe('a pool of blocks', () => {
  it('gives no block to two at once', () => {
    const pool = new BlockPool();
    expect(pool.take(LONG_BYTES).buffer).to.not.equal(pool.take(LONG_BYTES).buffer);
  });

  it('gives again what it was given back, also when that was cut into pieces', () => {
    const pool = new BlockPool();
    const block = pool.take(100_000);
    expect(block.length).to.equal(100_000);
    pool.giveCut([block.subarray(5, 10), block.subarray(20)]);
    expect(pool.take(LONG_BYTES).buffer).to.not.equal(block.buffer);
    expect(pool.take(128 * 1024).buffer).to.equal(block.buffer);
  });

  it('takes nothing back twice', () => {
    const pool = new BlockPool();
    const block = pool.take(LONG_BYTES);
    pool.give([block]);
    expect(() => pool.give([block])).to.throw('more often than it was had');
    expect(() => pool.giveCut([block])).to.throw('more often than it was had');
    expect(() => pool.hold([block])).to.throw('not to be had');
    expect(pool.take(LONG_BYTES).buffer).to.not.equal(pool.take(LONG_BYTES).buffer);
  });

  it('takes nothing back as a whole that others have', () => {
    const pool = new BlockPool();
    const block = pool.take(LONG_BYTES);
    pool.hold([block.subarray(0, 10)]);
    expect(() => pool.giveCut([block])).to.throw('that others have');
  });

  it('is given a block that several hold by the last of them', () => {
    const pool = new BlockPool();
    const block = pool.take(LONG_BYTES);
    pool.hold([block.subarray(0, 100), block.subarray(100, 200)]);
    pool.give([block.subarray(0, 100)]);
    pool.give([block]);
    expect(pool.take(LONG_BYTES).buffer).to.not.equal(block.buffer);
    pool.give([block.subarray(100, 200)]);
    expect(pool.take(LONG_BYTES).buffer).to.equal(block.buffer);
  });

  it('leaves alone what is not its own', () => {
    const pool = new BlockPool();
    const other = Buffer.alloc(LONG_BYTES);
    pool.give([other]);
    expect(pool.take(LONG_BYTES).buffer).to.not.equal(other.buffer);
  });

  it('keeps no more than its maximum', () => {
    const pool = new BlockPool();
    const blocks = Array.from({ length: 40 }, () => pool.take(BLOCK_BYTES_MAX));
    pool.give(blocks);
    const again = Array.from({ length: 40 }, () => pool.take(BLOCK_BYTES_MAX));
    expect(again.filter((block) => blocks.some((one) => one.buffer === block.buffer))).to.have.length(32);
  });
});

describe('a long body', () => {
  const bytes = pattern(3 * BLOCK_BYTES_MAX + 12_345, 1);
  const write: ToReplica = {
    type: 'write',
    sequence: 1,
    settled: 0,
    version: 1,
    offsetBytes: 0,
    lengthBytes: bytes.length,
    chunks: [bytes],
  };
  const zero: ToReplica = { type: 'zero', sequence: 2, settled: 0, version: 1, offsetBytes: 0, lengthBytes: 7, free: true };
  const encoder = new Encoder(SESSION);
  const stream = Buffer.concat([SEAL_SAMPLE.frame, ...encoder.encode(write), ...encoder.encode(zero)]);

  /** As a socket does it: to its room while there is one, else as a chunk of at most `readBytes`. */
  function read(readBytes: number): { heard: ToReplica[]; keeps: boolean[]; violation: unknown } {
    const heard: ToReplica[] = [];
    const keeps: boolean[] = [];
    const decoder = decoderToReplica((message) => heard.push(message), new BlockPool());
    let violation: unknown = null;
    for (let at = 0; at < stream.length; ) {
      const room = decoder.room();
      const length = Math.min(room?.length ?? readBytes, readBytes, stream.length - at);
      if (room) {
        stream.copy(room, 0, at, at + length);
        violation ??= decoder.filled(length);
      } else {
        violation ??= decoder.push(stream.subarray(at, at + length));
        keeps.push(decoder.keeps);
      }
      at += length;
    }
    return { heard, keeps, violation };
  }

  for (const readBytes of [1_000, 65_536, 700_001, 2 ** 24]) {
    it(`arrives whole, read ${readBytes} bytes at a time, and what is behind it too`, () => {
      const { heard, keeps, violation } = read(readBytes);
      expect(violation).to.equal(null);
      expect(heard.map(({ type }) => type)).to.deep.equal(['seal', 'write', 'zero']);
      const [, arrived] = heard;
      expect(arrived?.type === 'write' && Buffer.concat(arrived.chunks).equals(bytes)).to.equal(true);
      expect(arrived?.type === 'write' && arrived.chunks.length).to.equal(4);
      expect(readBytes < LONG_BYTES || keeps.slice(1).every((kept) => !kept), 'nothing of the chunks is kept').to.equal(true);
    });
  }

  it('that was changed on its way is refused', () => {
    const decoder = decoderToReplica(() => undefined, new BlockPool());
    const broken = Buffer.from(stream);
    broken.writeUInt8(broken.readUInt8(SEAL_SAMPLE.frame.length + 2_000_000) ^ 1, SEAL_SAMPLE.frame.length + 2_000_000);
    expect(decoder.push(broken)?.rule).to.equal('bodyChecksum');
  });
});
