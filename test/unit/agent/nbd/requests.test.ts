/** Every request of the transmission phase: its reply byte for byte, and what it did to the volume; and everything that is refused. */
import { expect } from 'chai';
import { IoError, type IoErrorCode } from '../../../../agent/ports.ts';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { HeldDevice, transmitting } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const SIZE = 64 * 1024 * 1024;
const KIB = 1024;
const MIB = 1024 * KIB;
const volume = (sizeBytes = SIZE) => new MemoryDevice('pgdata', sizeBytes);
const letters = (length: number, first = 'a') =>
  Buffer.alloc(length, 'abcdefghijklmnopqrstuvwxyz'.slice('abcdefghijklmnopqrstuvwxyz'.indexOf(first)));

describe('nbd requests', () => {
  describe('read', () => {
    it('is answered by one data chunk', () => {
      const device = volume();
      device.copyIn(5, Buffer.from('hello'));
      const connection = transmitting(device);
      connection.receive(nbd.request({ type: nbd.READ, cookie: 0xfedcba9876543210n, offset: 4, length: 7 }));
      expect(connection.take()).to.deep.equal(nbd.dataChunk(0xfedcba9876543210n, 4, Buffer.from('\0hello\0')));
    });

    it('is answered by a simple reply where structured ones were not agreed', () => {
      const device = volume();
      device.copyIn(5, Buffer.from('hello'));
      const connection = transmitting(device, { structured: false });
      connection.receive(nbd.request({ type: nbd.READ, cookie: 9, offset: 5, length: 5 }));
      expect(connection.take()).to.deep.equal(nbd.simpleReply(9, 0, Buffer.from('hello')));
    });

    for (const length of [1, 4096, 4097, 65_536, 65_537, 32 * MIB]) {
      it(`returns ${length} bytes at the volume's very end`, () => {
        const device = volume();
        device.copyIn(SIZE - length, letters(length));
        const connection = transmitting(device);
        connection.receive(nbd.request({ type: nbd.READ, cookie: 1, offset: SIZE - length, length, flags: nbd.DF }));
        expect(connection.take().equals(nbd.dataChunk(1, SIZE - length, letters(length)))).to.equal(true);
      });
    }

    it('returns what the device gives in several pieces as one', () => {
      const held = new HeldDevice(volume());
      const connection = transmitting({
        name: held.name,
        uid: held.uid,
        sizeBytes: held.sizeBytes,
        connect: () => ({
          ...held.connect(),
          read: (_offset, _length, done) => done(null, [letters(5000), letters(3), letters(9000, 'x')]),
        }),
      });
      connection.receive(nbd.request({ type: nbd.READ, cookie: 1, length: 14_003 }));
      const expected = nbd.dataChunk(1, 0, Buffer.concat([letters(5000), letters(3), letters(9000, 'x')]));
      expect(connection.take().equals(expected)).to.equal(true);
    });

    it('of a device that returns one byte too few is a fault of the program, not a stream out of step', () => {
      const held = new HeldDevice(volume());
      const connection = transmitting({
        name: held.name,
        uid: held.uid,
        sizeBytes: held.sizeBytes,
        connect: () => ({ ...held.connect(), read: (_offset, length, done) => done(null, [Buffer.alloc(length - 1)]) }),
      });
      expect(() => connection.receive(nbd.request({ type: nbd.READ, cookie: 1, length: 10 }))).to.throw(
        'returned 9 bytes for a read of 10',
      );
    });
  });

  describe('write', () => {
    it('stores the payload at any byte offset and is answered by a simple reply', () => {
      const device = volume();
      const connection = transmitting(device);
      connection.receive(nbd.request({ type: nbd.WRITE, cookie: 3, offset: 65_535, payload: Buffer.from('abc') }));
      expect(connection.take()).to.deep.equal(nbd.simpleReply(3));
      expect(device.copyOut(65_534, 5).toString()).to.equal('\0abc\0');
      expect(device.forcedWrites).to.equal(0);
    });

    it('with FUA is handed on as such', () => {
      const device = volume();
      const connection = transmitting(device);
      connection.receive(nbd.request({ type: nbd.WRITE, cookie: 3, payload: Buffer.from('abc'), flags: nbd.FUA }));
      expect(connection.take()).to.deep.equal(nbd.simpleReply(3));
      expect(device.forcedWrites).to.equal(1);
    });

    it('is not answered before the device is done, and replies leave in the order of completion', () => {
      const held = new HeldDevice(volume());
      const connection = transmitting(held);
      connection.receive(nbd.request({ type: nbd.WRITE, cookie: 1, payload: letters(10) }));
      connection.receive(nbd.request({ type: nbd.WRITE, cookie: 2, offset: 100, payload: letters(10) }));
      expect(connection.take().length).to.equal(0);
      held.calls.pop()?.go();
      expect(connection.take()).to.deep.equal(nbd.simpleReply(2));
      held.next().go();
      expect(connection.take()).to.deep.equal(nbd.simpleReply(1));
    });
  });

  it('flush reaches the device once, with FUA too', () => {
    const device = volume();
    const connection = transmitting(device);
    connection.receive(nbd.request({ type: nbd.FLUSH, cookie: 1 }), nbd.request({ type: nbd.FLUSH, cookie: 2, flags: nbd.FUA }));
    expect(connection.take()).to.deep.equal(Buffer.concat([nbd.simpleReply(1), nbd.simpleReply(2)]));
    expect(device.flushes).to.equal(2);
  });

  it('cache succeeds and does nothing', () => {
    const held = new HeldDevice(volume());
    const connection = transmitting(held);
    connection.receive(nbd.request({ type: nbd.CACHE, cookie: 1, length: SIZE }));
    expect(connection.take()).to.deep.equal(nbd.simpleReply(1));
    expect(held.calls).to.deep.equal([]);
  });

  describe('trim and write zeroes', () => {
    const rows = [
      { says: 'trim frees', type: nbd.TRIM, flags: 0, free: true, fua: false },
      { says: 'trim with FUA frees durably', type: nbd.TRIM, flags: nbd.FUA, free: true, fua: true },
      { says: 'write zeroes frees', type: nbd.WRITE_ZEROES, flags: 0, free: true, fua: false },
      { says: 'write zeroes with NO_HOLE stays allocated', type: nbd.WRITE_ZEROES, flags: nbd.NO_HOLE, free: false, fua: false },
      { says: 'write zeroes with FAST_ZERO frees', type: nbd.WRITE_ZEROES, flags: nbd.FAST_ZERO, free: true, fua: false },
      { says: 'write zeroes with FUA is durable', type: nbd.WRITE_ZEROES, flags: nbd.FUA | nbd.NO_HOLE, free: false, fua: true },
    ];
    for (const row of rows) {
      it(row.says, () => {
        const device = volume();
        device.copyIn(0, letters(3 * 64 * KIB));
        const held = new HeldDevice(device);
        const connection = transmitting(held);
        connection.receive(nbd.request({ type: row.type, cookie: 1, offset: 64 * KIB, length: 64 * KIB, flags: row.flags }));
        const call = held.next();
        expect(call.options).to.deep.equal({ free: row.free, forceUnitAccess: row.fua });
        call.go();
        expect(connection.take()).to.deep.equal(nbd.simpleReply(1));
        expect(device.allocatedBytes).to.equal((row.free ? 2 : 3) * 64 * KIB);
        const expected = letters(3 * 64 * KIB).fill(0, 64 * KIB, 128 * KIB);
        expect(device.copyOut(0, 3 * 64 * KIB).equals(expected)).to.equal(true);
      });
    }

    it('longer than the longest request reach the device in pieces, one at a time, and are answered once', () => {
      const held = new HeldDevice(volume(4096 * MIB));
      const connection = transmitting(held);
      connection.receive(nbd.request({ type: nbd.TRIM, cookie: 7, offset: 1, length: 70 * MIB, flags: nbd.FUA }));
      const pieces: [number, number][] = [];
      for (let piece = 0; piece < 3; piece++) {
        expect(held.calls.length).to.equal(1);
        expect(connection.take().length).to.equal(0);
        const call = held.next();
        expect(call.options?.forceUnitAccess).to.equal(true);
        pieces.push([call.offsetBytes, call.lengthBytes]);
        call.go();
      }
      expect(pieces).to.deep.equal([
        [1, 32 * MIB],
        [1 + 32 * MIB, 32 * MIB],
        [1 + 64 * MIB, 6 * MIB],
      ]);
      expect(connection.take()).to.deep.equal(nbd.simpleReply(7));
    });

    it('stop at the first piece that fails', () => {
      const held = new HeldDevice(volume());
      const connection = transmitting(held);
      connection.receive(nbd.request({ type: nbd.WRITE_ZEROES, cookie: 7, length: 64 * MIB }));
      held.next().fail(new IoError('io', 'a disk is gone'));
      expect(connection.take()).to.deep.equal(nbd.errorChunk(7, nbd.EIO, 'a disk is gone'));
      expect(held.calls.length).to.equal(0);
    });
  });

  describe('block status', () => {
    it('tells holes and data, neighbours joined', () => {
      const device = volume();
      device.copyIn(3 * 64 * KIB, letters(2 * 64 * KIB));
      const connection = transmitting(device);
      connection.receive(nbd.request({ type: nbd.BLOCK_STATUS, cookie: 1, length: MIB }));
      expect(connection.take()).to.deep.equal(nbd.statusChunk(1, 1, [192 * KIB, 3], [128 * KIB, 0], [704 * KIB, 3]));
    });

    it('with REQ_ONE tells one run', () => {
      const device = volume();
      device.copyIn(3 * 64 * KIB, letters(2 * 64 * KIB));
      const connection = transmitting(device);
      connection.receive(nbd.request({ type: nbd.BLOCK_STATUS, cookie: 1, offset: 7, length: MIB, flags: nbd.REQ_ONE }));
      expect(connection.take()).to.deep.equal(nbd.statusChunk(1, 1, [192 * KIB - 7, 3]));
    });

    const oddRows = [
      { says: 'more than was asked for', runs: [{ lengthBytes: 9000, hole: true }], told: [[1000, 3]] },
      { says: 'nothing at all', runs: [], told: [[1000, 0]] },
      {
        says: 'an empty run',
        runs: [
          { lengthBytes: 0, hole: true },
          { lengthBytes: 10, hole: false },
        ],
        told: [[10, 0]],
      },
    ] as const;
    for (const row of oddRows) {
      it(`is well-formed for a device that says ${row.says}`, () => {
        const held = new HeldDevice(volume());
        const connection = transmitting(held);
        connection.receive(nbd.request({ type: nbd.BLOCK_STATUS, cookie: 1, length: 1000 }));
        held.next().answer?.([...row.runs]);
        expect(connection.take()).to.deep.equal(nbd.statusChunk(1, 1, ...row.told));
      });
    }

    it('tells no more than 1024 runs', () => {
      const held = new HeldDevice(volume());
      const connection = transmitting(held);
      connection.receive(nbd.request({ type: nbd.BLOCK_STATUS, cookie: 1, length: SIZE }));
      held.next().answer?.(Array.from({ length: 5000 }, (_, index) => ({ lengthBytes: 1, hole: index % 2 === 0 })));
      expect(nbd.parseStructured(connection.take())[0]?.descriptors.length).to.equal(1024);
    });
  });

  describe('an error of the device', () => {
    const errors: [IoErrorCode, number][] = [
      ['io', nbd.EIO],
      ['noSpace', nbd.ENOSPC],
      ['invalid', nbd.EINVAL],
      ['notSupported', nbd.EINVAL],
    ];
    const commands = [
      { type: nbd.READ, length: 10 },
      { type: nbd.WRITE, payload: letters(10) },
      { type: nbd.FLUSH },
      { type: nbd.TRIM, length: 10 },
      { type: nbd.WRITE_ZEROES, length: 10 },
      { type: nbd.BLOCK_STATUS, length: 10 },
    ];
    for (const [code, error] of errors) {
      it(`${code} becomes ${error} for every command, with its sentence`, () => {
        const held = new HeldDevice(volume());
        const connection = transmitting(held);
        for (const command of commands) {
          connection.receive(nbd.request({ cookie: 5, ...command }));
          held.next().fail(new IoError(code, 'node-b does not answer'));
          expect(connection.take()).to.deep.equal(nbd.errorChunk(5, error, 'node-b does not answer'));
        }
      });
    }

    it('is a bare number in a simple reply, without data', () => {
      const held = new HeldDevice(volume());
      const connection = transmitting(held, { structured: false });
      for (const command of commands.filter(({ type }) => type !== nbd.BLOCK_STATUS)) {
        connection.receive(nbd.request({ cookie: 5, ...command }));
        held.next().fail(new IoError('io', 'node-b does not answer'));
        expect(connection.take()).to.deep.equal(nbd.simpleReply(5, nbd.EIO));
      }
    });

    it('has its sentence cut between characters', () => {
      const held = new HeldDevice(volume());
      const connection = transmitting(held);
      connection.receive(nbd.request({ type: nbd.FLUSH, cookie: 5 }));
      held.next().fail(new IoError('io', `x${'é'.repeat(400)}`));
      expect(connection.take()).to.deep.equal(nbd.errorChunk(5, nbd.EIO, `x${'é'.repeat(255)}`));
    });
  });

  it('reports each answer with its kind, length, duration and error', () => {
    const held = new HeldDevice(volume());
    const connection = transmitting(held);
    connection.nowMs = 100;
    connection.receive(nbd.request({ type: nbd.READ, cookie: 1, length: 512 }));
    connection.nowMs = 102.5;
    connection.receive(nbd.request({ type: nbd.TRIM, cookie: 2, length: 1000 }));
    connection.nowMs = 110;
    held.next().go();
    held.next().fail(new IoError('io', 'no'));
    connection.receive(nbd.request({ type: 77, cookie: 3, length: 1 }));
    expect(connection.events.completed).to.deep.equal([
      { kind: 'read', lengthBytes: 512, durationMs: 10, error: 0 },
      { kind: 'trim', lengthBytes: 1000, durationMs: 7.5, error: nbd.EIO },
      { kind: 'unknown', lengthBytes: 1, durationMs: 0, error: nbd.EINVAL },
    ]);
  });
});
