/** Reads that the device answers straight to where they are sent from. */
import { expect } from 'chai';
import { BlockPool } from '../../../../core/wire/blockPool.ts';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { transmitting } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 64 * MIB;

/** Every byte of a block says which one it is. */
function numbered(): MemoryDevice {
  const device = new MemoryDevice('pgdata', SIZE);
  device.readsNow = true;
  for (let block = 0; block < 1024; block++) device.copyIn(block * 4096, Buffer.alloc(4096, 1 + (block % 255)));
  return device;
}
const read = (cookie: number, offset: number, length: number) => nbd.request({ type: nbd.READ, cookie, offset, length });

describe('nbd reads that need not wait', () => {
  for (const length of [1, 4096, 4097, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, MIB + 1, 2 * MIB]) {
    it(`of ${length} bytes are answered as all others, with and without structured replies`, () => {
      const device = numbered();
      const offset = SIZE - length > 5 * MIB ? 4095 : SIZE - length;
      const data = device.copyOut(offset, length);
      for (const blocks of [undefined, new BlockPool()]) {
        const structured = transmitting(device, {}, {}, blocks);
        structured.receive(read(1, offset, length));
        expect(structured.take().equals(nbd.dataChunk(1, offset, data))).to.equal(true);
        const simple = transmitting(device, { structured: false }, {}, blocks);
        simple.receive(read(2, offset, length));
        expect(simple.take().equals(nbd.simpleReply(2, 0, data))).to.equal(true);
      }
    });
  }

  it('leave in the order in which they came, between others, and are counted', () => {
    const device = numbered();
    const connection = transmitting(device);
    const write = nbd.request({ type: nbd.WRITE, cookie: 2, offset: 0, payload: Buffer.from('abc') });
    connection.receive(Buffer.concat([read(1, 0, 4096), write, read(3, 0, 3), read(4, SIZE, 1)]));
    const replies = nbd.parseStructured(connection.take());
    expect(replies.map(({ cookie }) => Number(cookie))).to.deep.equal([1, 2, 3, 4]);
    expect(connection.events.completed.map(({ error }) => error)).to.deep.equal([0, 0, 0, nbd.EINVAL]);
  });

  it('that are not to be had leave nothing behind, and are asked for', () => {
    const device = numbered();
    const connection = transmitting(device);
    device.readsNow = false;
    connection.receive(read(1, 4096, 4096));
    device.readsNow = true;
    connection.receive(read(2, 8192, 4096));
    const expected = [nbd.dataChunk(1, 4096, Buffer.alloc(4096, 2)), nbd.dataChunk(2, 8192, Buffer.alloc(4096, 3))];
    expect(connection.take().equals(Buffer.concat(expected))).to.equal(true);
  });

  for (const isSent of [true, false]) {
    it(`come out right through many slabs, ${isSent ? 'used again because all is sent' : 'each kept for what is not sent'}`, () => {
      const connection = transmitting(numbered());
      connection.isSent = isSent;
      for (let turn = 0; turn < 40; turn++) {
        const blocks = Array.from({ length: 16 }, (_, index) => (turn * 16 + index) % 1024);
        connection.receive(Buffer.concat(blocks.map((block) => read(block, block * 4096, 4096))));
        connection.turn();
      }
      const all = Array.from({ length: 640 }, (_, block) => nbd.dataChunk(block, block * 4096, Buffer.alloc(4096, 1 + (block % 255))));
      expect(connection.take().equals(Buffer.concat(all))).to.equal(true);
      // The slabs that were sent from.
      const slabs = new Set(connection.sent.flat().map(({ buffer }) => buffer));
      if (!isSent) expect(slabs.size).to.be.greaterThan(5);
    });
  }
});
