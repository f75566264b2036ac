/** Every request that is refused: the error that the protocol names, the volume untouched, the connection alive. */
import { expect } from 'chai';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { transmitting } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const SIZE = 64 * 1024 * 1024;
const MIB = 1024 * 1024;
const volume = () => new MemoryDevice('pgdata', SIZE);
const letters = (length: number) => Buffer.alloc(length, 'abcdefghijklmnopqrstuvwxyz');

describe('nbd bad input', () => {
  type Row = {
    says: string;
    fields: Omit<nbd.RequestFields, 'cookie'>;
    error: number;
    rule: string;
    structured?: boolean;
    context?: boolean;
  };
  const rows: Row[] = [
    { says: 'an unknown command', fields: { type: 99, offset: 1, length: 2 }, error: nbd.EINVAL, rule: 'unknownCommand' },
    { says: 'RESIZE', fields: { type: 8 }, error: nbd.EINVAL, rule: 'unknownCommand' },
    { says: 'an unknown flag', fields: { type: nbd.READ, length: 1, flags: 32 }, error: nbd.EINVAL, rule: 'unknownFlag' },
    { says: 'NO_HOLE on a read', fields: { type: nbd.READ, length: 1, flags: nbd.NO_HOLE }, error: nbd.EINVAL, rule: 'unknownFlag' },
    {
      says: 'NO_HOLE on a write',
      fields: { type: nbd.WRITE, payload: letters(9), flags: nbd.NO_HOLE },
      error: nbd.EINVAL,
      rule: 'unknownFlag',
    },
    { says: 'DF on a write', fields: { type: nbd.WRITE, payload: letters(9), flags: nbd.DF }, error: nbd.EINVAL, rule: 'unknownFlag' },
    { says: 'FAST_ZERO on a trim', fields: { type: nbd.TRIM, length: 9, flags: nbd.FAST_ZERO }, error: nbd.EINVAL, rule: 'unknownFlag' },
    { says: 'REQ_ONE on a flush', fields: { type: nbd.FLUSH, flags: nbd.REQ_ONE }, error: nbd.EINVAL, rule: 'unknownFlag' },
    {
      says: 'DF that was not offered',
      fields: { type: nbd.READ, length: 1, flags: nbd.DF },
      error: nbd.EINVAL,
      rule: 'unknownFlag',
      structured: false,
    },
    { says: 'an empty read', fields: { type: nbd.READ, length: 0 }, error: nbd.EINVAL, rule: 'emptyRange' },
    { says: 'an empty write', fields: { type: nbd.WRITE, length: 0 }, error: nbd.EINVAL, rule: 'emptyRange' },
    { says: 'an empty trim', fields: { type: nbd.TRIM, length: 0 }, error: nbd.EINVAL, rule: 'emptyRange' },
    { says: 'an empty write zeroes', fields: { type: nbd.WRITE_ZEROES, length: 0 }, error: nbd.EINVAL, rule: 'emptyRange' },
    { says: 'an empty block status', fields: { type: nbd.BLOCK_STATUS, length: 0 }, error: nbd.EINVAL, rule: 'emptyRange' },
    { says: 'a read one byte too far', fields: { type: nbd.READ, offset: SIZE - 9, length: 10 }, error: nbd.EINVAL, rule: 'beyondEnd' },
    {
      says: 'a write one byte too far',
      fields: { type: nbd.WRITE, offset: SIZE - 9, payload: letters(10) },
      error: nbd.ENOSPC,
      rule: 'beyondEnd',
    },
    { says: 'a trim one byte too far', fields: { type: nbd.TRIM, offset: SIZE - 9, length: 10 }, error: nbd.EINVAL, rule: 'beyondEnd' },
    {
      says: 'zeroes one byte too far',
      fields: { type: nbd.WRITE_ZEROES, offset: SIZE - 9, length: 10 },
      error: nbd.ENOSPC,
      rule: 'beyondEnd',
    },
    { says: 'a cache beyond the end', fields: { type: nbd.CACHE, offset: SIZE, length: 1 }, error: nbd.EINVAL, rule: 'beyondEnd' },
    {
      says: 'a status beyond the end',
      fields: { type: nbd.BLOCK_STATUS, offset: SIZE, length: 1 },
      error: nbd.EINVAL,
      rule: 'beyondEnd',
    },
    { says: 'a trim of 4 GiB', fields: { type: nbd.TRIM, length: 2 ** 32 - 1 }, error: nbd.EINVAL, rule: 'beyondEnd' },
    { says: 'an offset of 2^53', fields: { type: nbd.READ, offset: 2n ** 53n, length: 1 }, error: nbd.EINVAL, rule: 'beyondEnd' },
    {
      says: 'an offset of 2^64 - 1',
      fields: { type: nbd.READ, offset: 2n ** 64n - 1n, length: 1 },
      error: nbd.EINVAL,
      rule: 'beyondEnd',
    },
    {
      says: 'an offset whose end wraps',
      fields: { type: nbd.WRITE, offset: 2n ** 64n - 9n, payload: letters(10) },
      error: nbd.ENOSPC,
      rule: 'beyondEnd',
    },
    { says: 'a read that is too long', fields: { type: nbd.READ, length: 32 * MIB + 1 }, error: nbd.EINVAL, rule: 'tooLong' },
    {
      says: 'an unfragmented read that is too long',
      fields: { type: nbd.READ, length: 32 * MIB + 1, flags: nbd.DF },
      error: nbd.EOVERFLOW,
      rule: 'tooLong',
    },
    {
      says: 'a write that is too long',
      fields: { type: nbd.WRITE, payload: Buffer.alloc(32 * MIB + 1) },
      error: nbd.EINVAL,
      rule: 'tooLong',
    },
    { says: 'a flush with an offset', fields: { type: nbd.FLUSH, offset: 1 }, error: nbd.EINVAL, rule: 'flushRange' },
    { says: 'a flush with a length', fields: { type: nbd.FLUSH, length: 1 }, error: nbd.EINVAL, rule: 'flushRange' },
    {
      says: 'status without a context',
      fields: { type: nbd.BLOCK_STATUS, length: 1 },
      error: nbd.EINVAL,
      rule: 'contextNotSelected',
      context: false,
    },
    {
      says: 'fast zeroes that must stay',
      fields: { type: nbd.WRITE_ZEROES, length: 1, flags: nbd.FAST_ZERO | nbd.NO_HOLE },
      error: nbd.ENOTSUP,
      rule: 'fastZero',
    },
  ];
  for (const row of rows) {
    it(`refuses ${row.says}; the connection lives, the volume is untouched`, () => {
      const device = volume();
      const { structured = true, context = structured } = row;
      const connection = transmitting(device, { structured, context });
      connection.receive(nbd.request({ ...row.fields, cookie: 1 }), nbd.request({ type: nbd.READ, cookie: 2, length: 4 }));
      const bytes = connection.take();
      const [refused, alive, ...more] = structured
        ? nbd.parseStructured(bytes)
        : nbd.parseSimple(
            bytes,
            new Map([
              [1n, 1],
              [2n, 4],
            ]),
          );
      expect(refused).to.include({ cookie: 1n, error: row.error, data: null });
      if (structured) expect(refused?.message).to.match(/^[a-z].{10,}$/);
      expect(alive).to.include({ cookie: 2n, error: 0 });
      expect(alive?.data?.toString('hex')).to.equal('00000000');
      expect(more).to.deep.equal([]);
      expect(connection.events.refusedRequests).to.deep.equal([row.rule]);
      expect(connection.ending).to.equal('open');
      expect(device.allocatedBytes).to.equal(0);
    });
  }

  it('a wrong magic ends this connection only, and nothing behind it is believed', () => {
    const device = volume();
    const other = transmitting(device);
    const connection = transmitting(device);
    const wrong = nbd.request({ type: nbd.WRITE, cookie: 1, payload: letters(10) });
    wrong[3] = 0x14;
    connection.receive(Buffer.concat([wrong, nbd.request({ type: nbd.WRITE, cookie: 2, payload: letters(10) })]));
    expect(connection.take().length).to.equal(0);
    expect(connection.ending).to.equal('destroyed');
    expect(connection.events.refusedConnections).to.deep.equal(['requestMagic']);
    expect(device.allocatedBytes).to.equal(0);
    expect(device.clientsOpen).to.equal(1);
    other.receive(nbd.request({ type: nbd.FLUSH, cookie: 1 }));
    expect(other.take()).to.deep.equal(nbd.simpleReply(1));
  });
});
