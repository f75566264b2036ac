/** The handshake, byte for byte, against bytes built without the server's code. */
import { expect } from 'chai';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { TestConnection } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const SIZE = 3 * 2 ** 32 + 5;
const FLAGS_SIMPLE = 0x0d6d;
const FLAGS_STRUCTURED = 0x0ded;
const DESCRIPTION = 'Holdfast volume pgdata';

const device = () => new MemoryDevice('pgdata', SIZE);
const exportInformation = (flags: number) => nbd.wire(nbd.u16(0), nbd.u64(SIZE), nbd.u16(flags));

function greeted(flags = nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES, served = device()): TestConnection {
  const connection = new TestConnection(served);
  connection.receive(nbd.clientFlags(flags));
  return connection;
}

describe('nbd handshake', () => {
  it('greets with NBDMAGIC, IHAVEOPT and the flags for fixed newstyle without zeroes', () => {
    const connection = new TestConnection(device());
    expect(Buffer.concat(connection.sent.flat()).toString('hex')).to.equal('4e42444d4147494349484156454f50540003');
  });

  it('answers the oldest way in with these bytes', () => {
    const connection = greeted();
    connection.receive(Buffer.from('49484156454f50540000000100000006706764617461', 'hex'));
    expect(connection.take().toString('hex')).to.equal('00000003000000050d6d');
    expect(connection.session.isInHandshake).to.equal(false);
  });

  it('answers GO with these bytes', () => {
    const connection = greeted();
    connection.receive(Buffer.from('49484156454f5054000000070000000600000000' + '0000', 'hex'));
    expect(connection.take().toString('hex')).to.equal(
      '0003e889045565a900000007000000030000000c' + '000000000003000000050d6d' + '0003e889045565a9000000070000000100000000',
    );
    expect(connection.session.isInHandshake).to.equal(false);
  });

  it('tells a client of the export that grows 16 TiB, and lets it have what is there at each moment', () => {
    const growing = device();
    const connection = new TestConnection(growing);
    connection.receive(nbd.clientFlags(nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES));
    connection.receive(nbd.goOption('pgdata@growing'));
    expect(connection.take().includes(nbd.wire(nbd.u16(0), nbd.u64(16 * 2 ** 40))), 'the size of the answer').to.equal(true);
    const write = () => {
      connection.receive(nbd.wire(nbd.request({ type: nbd.WRITE, cookie: 7, offset: SIZE, length: 4 }), Buffer.from('abcd')));
      return connection.take().readUInt32BE(4);
    };
    expect(write(), 'beyond what is there').to.equal(nbd.ENOSPC);
    growing.sizeBytes = SIZE + 4;
    expect(write(), 'grown meanwhile').to.equal(0);
  });

  it('by name, serves whatever volume has it by now; by uid, never one that was made anew under the name', () => {
    const answerTo = (name: string): Buffer => {
      const connection = greeted(undefined, new MemoryDevice('pgdata', SIZE, 'uid-of-another'));
      connection.receive(nbd.goOption(name));
      return connection.take();
    };
    for (const name of ['pgdata', 'pgdata@growing']) expect(answerTo(name).readUInt32BE(12), name).to.equal(nbd.INFO);
    for (const name of ['uid-of-pgdata', 'uid-of-pgdata@growing']) expect(answerTo(name).readUInt32BE(12), name).to.equal(nbd.ERR_UNKNOWN);
  });

  for (const name of ['uid-of-pgdata', 'uid-of-pgdata@growing'])
    it(`the volume itself is the export ${name}`, () => {
      const connection = greeted();
      connection.receive(nbd.exportNameOption(name));
      expect(connection.take().readBigUInt64BE(0)).to.equal(BigInt(name.endsWith('@growing') ? 16 * 2 ** 40 : SIZE));
    });

  type Row = { says: string; sends: Buffer[]; answer: Buffer; before?: Buffer[] };
  const structured = [nbd.structuredReplyOption()];
  const rows: Row[] = [
    {
      says: 'INFO gives what was asked for and stays in the handshake',
      sends: [nbd.infoOption('pgdata', 3, 1, 2)],
      answer: nbd.wire(
        nbd.optionReply(6, nbd.INFO, exportInformation(FLAGS_SIMPLE)),
        nbd.optionReply(6, nbd.INFO, nbd.wire(nbd.u16(1), 'pgdata')),
        nbd.optionReply(6, nbd.INFO, nbd.wire(nbd.u16(2), DESCRIPTION)),
        nbd.optionReply(6, nbd.INFO, nbd.wire(nbd.u16(3), nbd.u32(1), nbd.u32(4096), nbd.u32(32 * 1024 * 1024))),
        nbd.optionReply(6, nbd.ACK),
      ),
    },
    {
      says: 'INFO ignores information it does not know',
      sends: [nbd.infoOption('', 77, 1)],
      answer: nbd.wire(
        nbd.optionReply(6, nbd.INFO, exportInformation(FLAGS_SIMPLE)),
        nbd.optionReply(6, nbd.INFO, nbd.wire(nbd.u16(1), 'pgdata')),
        nbd.optionReply(6, nbd.ACK),
      ),
    },
    {
      says: 'DF is offered once structured replies are agreed',
      before: structured,
      sends: [nbd.infoOption('')],
      answer: nbd.wire(nbd.optionReply(6, nbd.INFO, exportInformation(FLAGS_STRUCTURED)), nbd.optionReply(6, nbd.ACK)),
    },
    {
      says: 'LIST names the volume and describes it',
      sends: [nbd.listOption()],
      answer: nbd.wire(nbd.optionReply(3, nbd.SERVER, nbd.wire(nbd.sized('pgdata'), DESCRIPTION)), nbd.optionReply(3, nbd.ACK)),
    },
    { says: 'STRUCTURED_REPLY is agreed', sends: structured, answer: nbd.optionReply(8, nbd.ACK) },
    {
      says: 'all contexts are listed for no query, without an id',
      before: structured,
      sends: [nbd.listContextOption('pgdata')],
      answer: nbd.wire(nbd.optionReply(9, nbd.META_CONTEXT, nbd.wire(nbd.u32(0), 'base:allocation')), nbd.optionReply(9, nbd.ACK)),
    },
    {
      says: 'base: lists all of base',
      before: structured,
      sends: [nbd.listContextOption('', 'base:')],
      answer: nbd.wire(nbd.optionReply(9, nbd.META_CONTEXT, nbd.wire(nbd.u32(0), 'base:allocation')), nbd.optionReply(9, nbd.ACK)),
    },
    {
      says: 'base:allocation is selected, with an id, once, beside queries that match nothing',
      before: structured,
      sends: [nbd.setContextOption('', 'qemu:dirty-bitmap:x', 'base:allocation', 'base:other', 'base:allocation')],
      answer: nbd.wire(nbd.optionReply(10, nbd.META_CONTEXT, nbd.wire(nbd.u32(1), 'base:allocation')), nbd.optionReply(10, nbd.ACK)),
    },
    {
      says: 'a namespace we do not know matches nothing, which is no error',
      before: structured,
      sends: [nbd.listContextOption('', 'qemu:'), nbd.setContextOption('', 'qemu:allocation-depth')],
      answer: nbd.wire(nbd.optionReply(9, nbd.ACK), nbd.optionReply(10, nbd.ACK)),
    },
    {
      says: 'base: selects nothing',
      before: structured,
      sends: [nbd.setContextOption('', 'base:')],
      answer: nbd.optionReply(10, nbd.ACK),
    },
    { says: 'no query selects nothing', before: structured, sends: [nbd.setContextOption('')], answer: nbd.optionReply(10, nbd.ACK) },
  ];
  for (const row of rows) {
    it(row.says, () => {
      const connection = greeted();
      connection.receive(...(row.before ?? []));
      connection.take();
      connection.receive(...row.sends);
      expect(connection.take().toString('hex')).to.equal(row.answer.toString('hex'));
      expect(connection.session.isInHandshake).to.equal(true);
    });
  }

  type BadRow = { says: string; sends: Buffer; option: number; error: number; before?: Buffer[] };
  const tooLong = Buffer.alloc(8 * 1024 + 1);
  const badRows: BadRow[] = [
    { says: 'an unknown option', sends: nbd.option(4711, Buffer.from('x')), option: 4711, error: nbd.ERR_UNSUP },
    { says: 'extended headers, which we do not speak', sends: nbd.option(11), option: 11, error: nbd.ERR_UNSUP },
    { says: 'an option too long to be any', sends: nbd.option(4711, tooLong), option: 4711, error: nbd.ERR_TOO_BIG },
    { says: 'a GO that is too long', sends: nbd.option(7, tooLong), option: 7, error: nbd.ERR_TOO_BIG },
    { says: 'STARTTLS', sends: nbd.startTlsOption(), option: 5, error: nbd.ERR_POLICY },
    { says: 'LIST with data', sends: nbd.option(3, Buffer.from('x')), option: 3, error: nbd.ERR_INVALID },
    { says: 'STRUCTURED_REPLY with data', sends: nbd.option(8, Buffer.from('x')), option: 8, error: nbd.ERR_INVALID },
    { says: 'INFO of another volume', sends: nbd.infoOption('other'), option: 6, error: nbd.ERR_UNKNOWN },
    { says: 'GO to another volume', sends: nbd.goOption('pgdata2'), option: 7, error: nbd.ERR_UNKNOWN },
    { says: 'GO without data', sends: nbd.option(7), option: 7, error: nbd.ERR_INVALID },
    {
      says: 'GO whose name is longer than its data',
      sends: nbd.option(7, nbd.wire(nbd.u32(7), 'pgdata', nbd.u16(0))),
      option: 7,
      error: nbd.ERR_INVALID,
    },
    {
      says: 'GO whose name claims 4 GiB',
      sends: nbd.option(7, nbd.wire(nbd.u32(0xffffffff), 'pgdata', nbd.u16(0))),
      option: 7,
      error: nbd.ERR_INVALID,
    },
    {
      says: 'GO whose name is longer than any',
      sends: nbd.option(7, nbd.informationData('x'.repeat(4097), [])),
      option: 7,
      error: nbd.ERR_INVALID,
    },
    {
      says: 'GO with fewer requests than it counts',
      sends: nbd.option(7, nbd.wire(nbd.sized(''), nbd.u16(2), nbd.u16(3))),
      option: 7,
      error: nbd.ERR_INVALID,
    },
    {
      says: 'GO with more than it counts',
      sends: nbd.option(7, nbd.wire(nbd.sized(''), nbd.u16(0), nbd.u16(3))),
      option: 7,
      error: nbd.ERR_INVALID,
    },
    {
      says: 'contexts without structured replies',
      sends: nbd.setContextOption('', 'base:allocation'),
      option: 10,
      error: nbd.ERR_INVALID,
    },
    { says: 'a list of contexts without structured replies', sends: nbd.listContextOption(''), option: 9, error: nbd.ERR_INVALID },
    {
      says: 'a query without a namespace',
      before: structured,
      sends: nbd.setContextOption('', 'allocation'),
      option: 10,
      error: nbd.ERR_INVALID,
    },
    {
      says: 'contexts of another volume',
      before: structured,
      sends: nbd.setContextOption('other', 'base:allocation'),
      option: 10,
      error: nbd.ERR_UNKNOWN,
    },
    {
      says: 'a context query that claims more than there is',
      before: structured,
      sends: nbd.option(9, nbd.wire(nbd.sized(''), nbd.u32(0xffffffff), nbd.sized('base:'))),
      option: 9,
      error: nbd.ERR_INVALID,
    },
  ];
  for (const row of badRows) {
    it(`refuses ${row.says}, and the connection lives`, () => {
      const connection = greeted();
      connection.receive(...(row.before ?? []));
      connection.take();
      connection.receive(row.sends);
      const answer = connection.take();
      expect(answer.readUInt32BE(8)).to.equal(row.option);
      expect(answer.readUInt32BE(12)).to.equal(row.error);
      expect(answer.length).to.equal(20 + answer.readUInt32BE(16));
      expect(answer.toString('utf8', 20)).to.match(/^[\x20-\x7e]{5,}$/);
      connection.receive(nbd.listOption());
      expect(connection.take().length).to.be.greaterThan(20);
      expect(connection.ending).to.equal('open');
    });
  }

  it('pads the reply to EXPORT_NAME for a client that did not ask to leave the zeroes out', () => {
    const connection = greeted(nbd.FIXED_NEWSTYLE);
    connection.receive(nbd.exportNameOption(''));
    expect(connection.take()).to.deep.equal(nbd.wire(nbd.u64(SIZE), nbd.u16(FLAGS_SIMPLE), Buffer.alloc(124)));
  });

  it('acknowledges ABORT, also with data, and ends', () => {
    const connection = greeted();
    connection.receive(nbd.option(2, Buffer.from('bye')));
    expect(connection.take()).to.deep.equal(nbd.optionReply(2, nbd.ACK));
    expect(connection.ending).to.equal('ended');
    expect(connection.events.refusedConnections).to.deep.equal([]);
  });

  type FatalRow = { says: string; sends: Buffer[]; rule: string };
  const fatalRows: FatalRow[] = [
    { says: 'client flags that were not offered', sends: [nbd.clientFlags(7)], rule: 'clientFlags' },
    { says: 'an option without IHAVEOPT', sends: [nbd.clientFlags(), Buffer.from('IHAVEOPS00000000')], rule: 'optionMagic' },
    { says: 'EXPORT_NAME of another volume', sends: [nbd.clientFlags(), nbd.exportNameOption('other')], rule: 'exportName' },
    { says: 'an endless EXPORT_NAME', sends: [nbd.clientFlags(), nbd.option(1, tooLong)], rule: 'exportName' },
    { says: 'the 257th option', sends: [nbd.clientFlags(), ...Array<Buffer>(257).fill(nbd.listOption())], rule: 'optionsMax' },
  ];
  for (const row of fatalRows) {
    it(`closes on ${row.says}, and says which rule it broke`, () => {
      const connection = new TestConnection(device());
      connection.receive(...row.sends);
      expect(connection.ending).to.equal('destroyed');
      expect(connection.events.refusedConnections).to.deep.equal([row.rule]);
    });
  }

  it('forgets a selected context when a later selection fails', () => {
    const connection = greeted();
    connection.receive(nbd.structuredReplyOption(), nbd.setContextOption('', 'base:allocation'), nbd.setContextOption('other'));
    connection.receive(nbd.goOption(''));
    connection.take();
    connection.receive(nbd.request({ type: nbd.BLOCK_STATUS, cookie: 1, length: 512 }));
    expect(nbd.parseStructured(connection.take())).to.have.nested.property('[0].error', nbd.EINVAL);
  });

  it('tells the size of the moment when the client connected, though the volume grew during the handshake', () => {
    const grown = device();
    const connection = new TestConnection(grown);
    connection.receive(nbd.clientFlags(), nbd.infoOption(''));
    const before = connection.take();
    grown.sizeBytes *= 2;
    connection.receive(nbd.infoOption(''));
    expect(connection.take()).to.deep.equal(before);
  });

  it('connects to the device only when the handshake is over', () => {
    const untouched = device();
    const connection = new TestConnection(untouched);
    connection.receive(nbd.clientFlags(), nbd.listOption(), nbd.infoOption(''));
    expect(untouched.clientsEver).to.equal(0);
    connection.receive(nbd.goOption(''));
    expect(untouched.clientsEver).to.equal(1);
  });
});
