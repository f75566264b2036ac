/** How a connection ends: by the client, by the server, by the network; and what becomes of the requests that wait. */
import { expect } from 'chai';
import { IoError } from '../../../../agent/ports.ts';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { HeldDevice, TestConnection, transmitting } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const SIZE = 64 * 1024 * 1024;
const held = () => new HeldDevice(new MemoryDevice('pgdata', SIZE));
const read = (cookie: number, length = 512) => nbd.request({ type: nbd.READ, cookie, length });
const write = (cookie: number, offset = 0) => nbd.request({ type: nbd.WRITE, cookie, offset, payload: Buffer.alloc(512, 'w') });

describe('nbd endings', () => {
  describe('DISC', () => {
    it('ends an idle connection, and the device hears of it once', () => {
      const device = held();
      const connection = transmitting(device);
      connection.receive(nbd.request({ type: nbd.DISC, cookie: 1 }));
      expect(connection.take().length).to.equal(0);
      expect(connection.ending).to.equal('ended');
      connection.session.stopAnswering();
      expect(device.closedClients).to.equal(1);
    });

    it('lets what was asked before it be answered, though the client has ended its side', () => {
      const device = held();
      const connection = transmitting(device);
      connection.receive(read(1), write(2), nbd.request({ type: nbd.DISC, cookie: 3 }));
      connection.session.peerEnded();
      expect(connection.ending).to.equal('open');
      device.next().go();
      expect(connection.ending).to.equal('open');
      device.next().go();
      expect(connection.ending).to.equal('ended');
      expect(nbd.parseStructured(connection.take()).map(({ cookie, error }) => [Number(cookie), error])).to.deep.equal([
        [1, 0],
        [2, 0],
      ]);
      expect(device.closedClients).to.equal(1);
    });

    it('of a client that does not take its replies is seen through: it reads on, or would not see the client leave', () => {
      const device = held();
      const connection = transmitting(device);
      connection.receive(read(1), nbd.request({ type: nbd.DISC, cookie: 2 }));
      connection.acceptsMore = false;
      device.next().go();
      expect(connection.ending).to.equal('ended');
      expect(connection.paused).to.equal(false);
    });

    it('makes what comes behind it unread', () => {
      const device = held();
      const connection = transmitting(device);
      connection.receive(read(1), Buffer.concat([nbd.request({ type: nbd.DISC, cookie: 2 }), write(3)]), write(4));
      expect(device.calls.length).to.equal(1);
    });
  });

  it('a client that leaves without DISC is forgotten, with what it waited for', () => {
    const device = held();
    const connection = transmitting(device);
    connection.receive(read(1), write(2));
    connection.session.peerEnded();
    expect(connection.ending).to.equal('destroyed');
    expect(device.closedClients).to.equal(1);
    for (const call of device.calls) call.go();
    expect(connection.take().length).to.equal(0);
  });

  it('a client that breaks off while DISC waits is forgotten', () => {
    const device = held();
    const connection = transmitting(device);
    connection.receive(read(1), nbd.request({ type: nbd.DISC, cookie: 2 }));
    connection.session.stopAnswering();
    expect(connection.ending).to.equal('destroyed');
    expect(device.closedClients).to.equal(1);
  });

  describe('shutdown', () => {
    it('ends the connection and answers nothing that waits: whoever serves next is asked again', () => {
      for (const structured of [true, false]) {
        const device = held();
        const connection = transmitting(device, { structured });
        const requests = [
          read(1),
          write(2),
          nbd.request({ type: nbd.FLUSH, cookie: 3 }),
          nbd.request({ type: nbd.TRIM, cookie: 4, length: 9 }),
        ];
        connection.receive(...requests);
        connection.session.shutdown();
        expect(connection.ending).to.equal('ended');
        expect(device.closedClients).to.equal(1);
        for (const call of device.calls) call.go();
        connection.turn();
        expect(connection.take().length).to.equal(0);
        expect(connection.events.completed).to.deep.equal([]);
      }
    });

    it('sends replies that were ready', () => {
      const device = held();
      const connection = transmitting(device);
      connection.receive(write(1), write(2));
      device.next().go();
      connection.session.shutdown();
      expect(connection.take()).to.deep.equal(nbd.simpleReply(1));
    });

    it('gives the device nothing more of what had arrived and waited for room', () => {
      const device = held();
      const connection = transmitting(device, {}, { requestsInFlightMax: 1 });
      connection.receive(Buffer.concat([read(1), read(2), write(3), nbd.request({ type: nbd.FLUSH, cookie: 4 })]));
      connection.session.shutdown();
      device.next().go();
      expect([device.calls.length, connection.take().length]).to.deep.equal([0, 0]);
    });

    it('does not wait for a write whose payload is still arriving', () => {
      const device = held();
      const connection = transmitting(device);
      connection.receive(nbd.request({ type: nbd.WRITE, cookie: 2, length: 1000 }), Buffer.alloc(10));
      connection.session.shutdown();
      expect(connection.ending).to.equal('ended');
      connection.receive(Buffer.alloc(990));
      expect([device.calls.length, connection.take().length]).to.deep.equal([0, 0]);
    });

    it('behind a DISC ends the connection, too', () => {
      const device = held();
      const connection = transmitting(device);
      connection.receive(write(1), nbd.request({ type: nbd.DISC, cookie: 2 }));
      connection.session.shutdown();
      device.next().go();
      expect([connection.ending, connection.take().length, device.closedClients]).to.deep.equal(['ended', 0, 1]);
    });

    it('in the handshake just ends', () => {
      const connection = new TestConnection(held());
      connection.receive(nbd.clientFlags());
      connection.session.shutdown();
      expect(connection.ending).to.equal('ended');
    });

    it('reads on into nothing, so that the client is seen to leave', () => {
      const device = held();
      const connection = transmitting(device, {}, { requestsInFlightMax: 1 });
      connection.receive(read(1));
      expect(connection.paused).to.equal(true);
      connection.session.shutdown();
      expect(connection.paused).to.equal(false);
      connection.receive(write(2), Buffer.from('garbage'));
      expect(device.calls.length).to.equal(1);
    });
  });

  describe('a device that says that it is served here no more', () => {
    const gone = new IoError('shutdown', 'pgdata has moved to node-b');
    const commands = [
      { type: nbd.READ, length: 10 },
      { type: nbd.WRITE, payload: Buffer.alloc(10) },
      { type: nbd.FLUSH },
      { type: nbd.TRIM, length: 10 },
      { type: nbd.WRITE_ZEROES, length: 10 },
      { type: nbd.BLOCK_STATUS, length: 10 },
    ];
    for (const structured of [true, false])
      it(`ends the connection behind what was answered, and no client is told an error${structured ? '' : ' in simple replies either'}`, () => {
        for (const command of commands.filter(({ type }) => structured || type !== nbd.BLOCK_STATUS)) {
          const device = held();
          const connection = transmitting(device, { structured });
          connection.receive(write(1), nbd.request({ cookie: 2, ...command }), write(3));
          device.next().go();
          device.next().fail(gone);
          expect([connection.ending, device.closedClients]).to.deep.equal(['ended', 1]);
          device.next().go();
          connection.turn();
          expect(connection.take()).to.deep.equal(nbd.simpleReply(1));
        }
      });
  });

  it('stopAnswering sends nothing more, not even replies that were ready', () => {
    const device = held();
    const connection = transmitting(device);
    const sentBefore = connection.sent.length;
    connection.receive(read(1), write(2));
    device.next().go();
    connection.session.stopAnswering();
    connection.session.shutdown();
    expect(connection.ending).to.equal('destroyed');
    connection.turn();
    expect(connection.sent.length).to.equal(sentBefore);
    expect(device.closedClients).to.equal(1);
  });

  it('a device that completes a request twice is a fault of the program', () => {
    const device = held();
    const connection = transmitting(device);
    connection.receive(write(1));
    const call = device.next();
    call.go();
    expect(() => call.go()).to.throw('the device completed a request twice');
  });

  it('a zeroing in pieces goes no further once its client has left', () => {
    const device = held();
    const connection = transmitting(device);
    connection.receive(nbd.request({ type: nbd.TRIM, cookie: 1, length: SIZE }));
    const first = device.next();
    connection.session.peerEnded();
    first.go();
    expect(device.calls.length).to.equal(0);
  });
});
