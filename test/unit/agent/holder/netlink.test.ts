/** Netlink's bytes, pinned as the kernel's headers lay them out, and what is none of them. */
import { expect } from 'chai';
import { deadIndexIn, encodeConnect, encodeDisconnect, encodeReconfigure, indexIn } from '../../../../agent/holder/kernelMessages.ts';
import {
  decodeAttributes,
  decodeCommand,
  decodeErrorNumber,
  decodeFamily,
  decodeMessages,
  encodeGetFamily,
  type Family,
  type Message,
  NetlinkError,
} from '../../../../agent/holder/netlink.ts';

const FAMILY: Family = { id: 0x1c, groups: new Map() };
const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
const onlyOne = (hex: string): Message => {
  const [message, ...others] = decodeMessages(bytes(hex));
  expect(others).to.deep.equal([]);
  expect(message).not.to.equal(undefined);
  return message as Message;
};

describe('agent/holder: netlink', () => {
  it('asks for a family by its name', () => {
    // nlmsghdr: length, GENL_ID_CTRL, REQUEST|ACK, sequence, port; genlmsghdr: GETFAMILY, 1; FAMILY_NAME "nbd\0"
    expect(encodeGetFamily(7, 'nbd').toString('hex')).to.equal(
      bytes('1c000000 1000 0500 07000000 00000000  03 01 0000  0800 0200 6e626400').toString('hex'),
    );
  });

  it('reads what a family is, and who is told by it', () => {
    const answer = `48000000 1000 0000 07000000 00000000  01 02 0000
      0600 0100 1c00 0000
      0800 0200 6e626400
      2400 0780  2000 0100  1100 0100 6e62645f6d635f67726f757000 000000  0800 0200 05000000`;
    const family = decodeFamily(onlyOne(answer));
    expect(family.id).to.equal(0x1c);
    expect([...family.groups]).to.deep.equal([['nbd_mc_group', 5]]);
  });

  it('makes a device', () => {
    const wanted = { sizeBytes: 2 ** 33, flags: 0x4d, readonly: false, deadConnectionSeconds: 86_400, backend: 'x#1', descriptor: 17 };
    const message = encodeConnect(FAMILY, 1, wanted);
    expect(message.toString('hex')).to.equal(
      bytes(`68000000 1c00 0500 01000000 00000000  01 01 0000
        0c00 0200 0000000002000000
        0c00 0300 0002000000000000
        0c00 0400 0000000000000000
        0c00 0800 8051010000000000
        0c00 0500 4d00000000000000
        0800 0a00 78233100
        1000 0780 0c00 0180 0800 0100 11000000`).toString('hex'),
    );
    const readonly = encodeConnect(FAMILY, 1, { ...wanted, readonly: true });
    expect(readonly.subarray(72, 80).toString('hex')).to.equal('4f00000000000000');
  });

  it('changes a device, by its index and mark', () => {
    const head = (length: string) => `${length}000000 1c00 0500 02000000 00000000  03 01 0000  0800 0100 03000000  0800 0a00 78233100`;
    const change = (wanted: Parameters<typeof encodeReconfigure>[4]) => encodeReconfigure(FAMILY, 2, 3, 'x#1', wanted).toString('hex');
    expect(change({ timeoutSeconds: 1 })).to.equal(bytes(`${head('30')} 0c00 0400 0100000000000000`).toString('hex'));
    expect(change({ deadConnectionSeconds: 15 })).to.equal(bytes(`${head('30')} 0c00 0800 0f00000000000000`).toString('hex'));
    expect(change({ descriptor: 17 })).to.equal(bytes(`${head('34')} 1000 0780 0c00 0180 0800 0100 11000000`).toString('hex'));
    const grown = `${head('3c')} 0c00 0200 0000000002000000 0c00 0300 0002000000000000`;
    expect(change({ sizeBytes: 2 ** 33 })).to.equal(bytes(grown).toString('hex'));
    const gone = bytes('1c000000 1c00 0500 02000000 00000000  02 01 0000  0800 0100 03000000');
    expect(encodeDisconnect(FAMILY, 2, 3).toString('hex')).to.equal(gone.toString('hex'));
  });

  it('reads which device was made, and whose connection died', () => {
    const made = decodeCommand(onlyOne('1c000000 1c00 0000 01000000 00000000  01 01 0000  0800 0100 05000000'));
    expect(indexIn(made.attributes)).to.equal(5);
    expect(deadIndexIn(made)).to.equal(null);
    expect(deadIndexIn(decodeCommand(onlyOne('1c000000 1c00 0000 00000000 00000000  04 01 0000  0800 0100 05000000')))).to.equal(5);
  });

  it('reads an acknowledgement, an error, and several messages of one read', () => {
    const acknowledged = '14000000 0200 0000 09000000 00000000  00000000';
    const refused = '24000000 0200 0000 0a000000 00000000  eaffffff  10000000 1c00 0500 0a000000 00000000';
    const [first, second] = decodeMessages(bytes(acknowledged + refused)) as [Message, Message];
    expect([first.sequence, decodeErrorNumber(first)]).to.deep.equal([9, 0]);
    expect([second.sequence, decodeErrorNumber(second)]).to.deep.equal([10, 22]);
  });

  it('takes no message that is cut off, anywhere, and none that says too much of itself', () => {
    const whole = bytes('1c000000 1c00 0000 01000000 00000000  01 01 0000  0800 0100 05000000');
    for (let length = 1; length < whole.length; length++) expect(() => decodeMessages(whole.subarray(0, length))).to.throw(NetlinkError);
    for (const length of [0, 15, 29, 0xffffffff]) {
      const lying = Buffer.from(whole);
      lying.writeUInt32LE(length);
      expect(() => decodeMessages(lying), `${length}`).to.throw(NetlinkError);
    }
    for (const lying of ['0300 0100', '0900 0100 05000000', '08'])
      expect(() => decodeAttributes(bytes(lying)), lying).to.throw(NetlinkError);
    const without = decodeCommand(onlyOne('14000000 1c00 0000 01000000 00000000  04 01 0000'));
    expect(() => deadIndexIn(without)).to.throw(NetlinkError);
  });
});
