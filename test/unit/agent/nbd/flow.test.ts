/** The maxima of a connection: what is reached makes it stop reading, and go on when there is room; and replies leave together. */
import { expect } from 'chai';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { HeldDevice, transmitting } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const MIB = 1024 * 1024;
const SIZE = 1024 * MIB;
const held = () => new HeldDevice(new MemoryDevice('pgdata', SIZE));
const reads = (count: number, length: number, firstCookie = 1) =>
  Buffer.concat(Array.from({ length: count }, (_, index) => nbd.request({ type: nbd.READ, cookie: firstCookie + index, length })));

describe('nbd flow', () => {
  it('gives the device no more requests than requestsInFlightMax, and takes the rest as they complete', () => {
    const device = held();
    const connection = transmitting(device, {}, { requestsInFlightMax: 4 });
    connection.receive(reads(10, 512));
    expect(device.calls.length).to.equal(4);
    expect(connection.paused).to.equal(true);
    for (let completed = 0; completed < 10; completed++) {
      device.next().go();
      expect(device.calls.length).to.equal(Math.min(4, 9 - completed));
    }
    expect(connection.paused).to.equal(false);
    expect(nbd.parseStructured(connection.take()).map(({ cookie }) => Number(cookie))).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('holds a read that does not fit the bytes in flight, and reads nothing behind it', () => {
    const device = held();
    const connection = transmitting(device, {}, { bytesInFlightMax: 40 * MIB });
    connection.receive(Buffer.concat([reads(1, 30 * MIB), reads(1, 20 * MIB, 2), reads(1, 512, 3)]));
    expect(device.calls.map(({ lengthBytes }) => lengthBytes)).to.deep.equal([30 * MIB]);
    expect(connection.paused).to.equal(true);
    device.next().go();
    expect(device.calls.map(({ lengthBytes }) => lengthBytes)).to.deep.equal([20 * MIB, 512]);
    expect(connection.paused).to.equal(false);
  });

  it('does not begin to take the payload of a write that does not fit', () => {
    const device = held();
    const connection = transmitting(device, {}, { bytesInFlightMax: 32 * MIB });
    connection.receive(reads(1, 32 * MIB), nbd.request({ type: nbd.WRITE, cookie: 2, length: MIB }));
    expect(connection.paused).to.equal(true);
    const payload = Buffer.alloc(MIB, 'p');
    connection.receive(payload);
    expect(connection.waitingBytes).to.equal(MIB);
    device.next().go();
    connection.take();
    expect(device.next()).to.include({ kind: 'write', lengthBytes: MIB });
    expect(connection.waitingBytes).to.equal(0);
  });

  it('counts a write from its header on, not from its last byte', () => {
    const device = held();
    const connection = transmitting(device, {}, { bytesInFlightMax: 32 * MIB });
    connection.receive(nbd.request({ type: nbd.WRITE, cookie: 1, length: 20 * MIB }), Buffer.alloc(20 * MIB), reads(1, 13 * MIB, 2));
    expect(device.calls.map(({ kind }) => kind)).to.deep.equal(['write']);
    expect(connection.paused).to.equal(true);
  });

  it('does not let refused requests take room', () => {
    const device = held();
    const connection = transmitting(device, {}, { bytesInFlightMax: 32 * MIB });
    connection.receive(nbd.request({ type: nbd.WRITE, cookie: 1, offset: SIZE, length: 32 * MIB }), reads(0, 0));
    connection.receive(Buffer.alloc(32 * MIB), reads(1, 32 * MIB, 2));
    expect(device.calls.length).to.equal(1);
  });

  it('reads no further while the client does not take its replies', () => {
    const device = held();
    const connection = transmitting(device);
    connection.receive(reads(3, 512));
    connection.acceptsMore = false;
    device.next().go();
    connection.turn();
    expect(connection.paused).to.equal(true);
    connection.receive(reads(100, 512, 10));
    expect(device.calls.length).to.equal(2);
    device.next().go();
    device.next().go();
    connection.turn();
    expect(device.calls.length).to.equal(0);
    connection.acceptsMore = true;
    connection.session.drained();
    expect(connection.paused).to.equal(false);
    connection.turn();
    expect(device.calls.length).to.equal(100);
  });

  it('fills no memory when the device answers at once and the client asks for much in few bytes', () => {
    const connection = transmitting(new MemoryDevice('pgdata', SIZE));
    let unsent = 0;
    let unsentMax = 0;
    const { write } = connection;
    connection.write = (chunks) => {
      unsent += chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      unsentMax = Math.max(unsentMax, unsent);
      write.call(connection, chunks);
      connection.sent = [];
      return unsent < 8 * MIB;
    };
    connection.receive(reads(2000, 4 * MIB));
    for (let drained = 0; drained < 2000 && connection.paused; drained++) {
      unsent = 0;
      connection.session.drained();
    }
    connection.turn();
    expect(connection.events.completed.length).to.equal(2000);
    expect(unsentMax).to.be.lessThan(8 * MIB + 4 * MIB + MIB);
  }).timeout(20_000);

  it('sends the replies of one turn with one write', () => {
    const device = held();
    const connection = transmitting(device);
    connection.receive(reads(8, 4096));
    for (let index = 0; index < 8; index++)
      connection.receive(nbd.request({ type: nbd.WRITE, cookie: 100 + index, payload: Buffer.alloc(64) }));
    const writesBefore = connection.sent.length;
    for (let index = 0; index < 16; index++) device.next().go();
    expect(connection.sent.length).to.equal(writesBefore);
    expect(connection.deferredCount).to.equal(1);
    connection.turn();
    expect(connection.sent.length).to.equal(writesBefore + 1);
    expect(nbd.parseStructured(connection.take()).length).to.equal(16);
  });

  it('puts the heads of many replies into one chunk', () => {
    const connection = transmitting(new MemoryDevice('pgdata', SIZE));
    for (let index = 0; index < 100; index++) connection.receive(nbd.request({ type: nbd.FLUSH, cookie: index }));
    connection.turn();
    expect(connection.sent.at(-1)?.length).to.equal(1);
  });

  it('does not copy the data of a large read', () => {
    const data = Buffer.alloc(256 * 1024, 'd');
    const client = {
      ...held().connect(),
      read: (_at: number, _length: number, done: (error: null, chunks: Buffer[]) => void) => done(null, [data]),
    };
    const connection = transmitting({ name: 'pgdata', uid: 'uid-of-pgdata', sizeBytes: SIZE, connect: () => client });
    connection.receive(reads(1, data.length));
    connection.turn();
    expect(connection.sent.at(-1)?.[1]).to.equal(data);
  });

  it('does not write into what it has sent, however long that lies in the socket', () => {
    const connection = transmitting(new MemoryDevice('pgdata', SIZE));
    const expected: Buffer[] = [];
    for (let index = 0; index < 9000; index++) {
      connection.receive(nbd.request({ type: index % 3 === 0 ? nbd.READ : nbd.CACHE, cookie: index, length: 1 + (index % 40) }));
      connection.turn();
      expected.push(index % 3 === 0 ? nbd.dataChunk(index, 0, Buffer.alloc(1 + (index % 40))) : nbd.simpleReply(index));
    }
    expect(connection.take().equals(Buffer.concat(expected))).to.equal(true);
  });
});
