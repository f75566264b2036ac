/** What the decoder keeps in memory: payloads are slices of what arrived, and however small the crumbs, their number is bounded. */
import { expect } from 'chai';
import { type Message, NbdDecoder } from '../../../../agent/nbd/decode.ts';
import * as nbd from '../../../support/nbdWire.ts';

function inTransmission(): NbdDecoder {
  const decoder = new NbdDecoder();
  decoder.push(nbd.clientFlags());
  decoder.next();
  decoder.next();
  decoder.startTransmission();
  return decoder;
}

/** The payload of one write of `payload`, sent in `chunks`. */
function payloadChunks(payload: Buffer, chunks: Buffer[]): Buffer[] {
  const decoder = inTransmission();
  decoder.push(nbd.request({ type: nbd.WRITE, cookie: 1, length: payload.length }));
  expect(decoder.next()).to.include({ kind: 'request', lengthBytes: payload.length });
  decoder.expectPayload(payload.length, true);
  let message: Message | null = decoder.next();
  for (const chunk of chunks) {
    expect(message).to.equal(null);
    decoder.push(chunk);
    message = decoder.next();
  }
  if (message?.kind !== 'payload') throw new Error('the payload has not arrived');
  expect(Buffer.concat(message.chunks).equals(payload)).to.equal(true);
  return message.chunks;
}

function cut(bytes: Buffer, length: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += length) chunks.push(bytes.subarray(at, at + length));
  return chunks;
}

const counted = (length: number): Buffer =>
  Buffer.from(Uint32Array.from({ length: length / 4 }, (_, index) => index * 2_654_435_761).buffer);

describe('nbd decoder', () => {
  it('hands a payload over as the slices that it arrived in, uncopied', () => {
    const payload = counted(200_000);
    const chunks = cut(payload, 65_536);
    const slices = payloadChunks(payload, chunks);
    expect(slices.length).to.equal(4);
    for (const [index, slice] of slices.entries()) expect(slice.buffer).to.equal(chunks[index]?.buffer);
  });

  it('copies nothing of a payload behind its header in one chunk', () => {
    const chunk = nbd.request({ type: nbd.WRITE, cookie: 1, payload: counted(4096) });
    const decoder = inTransmission();
    decoder.push(chunk);
    decoder.next();
    decoder.expectPayload(4096, true);
    const message = decoder.next();
    expect(message).to.have.nested.property('chunks[0].buffer', chunk.buffer);
    expect(decoder.next()).to.equal(null);
  });

  for (const crumbBytes of [1, 3, 4095]) {
    it(`gathers a payload that comes ${crumbBytes} bytes at a time`, () => {
      const payload = counted(300_000);
      const slices = payloadChunks(payload, cut(payload, crumbBytes));
      expect(slices.length).to.be.lessThan(16 + 300_000 / 65_536 + 1);
    });
  }

  it('gives a sender of crumbs no more memory than it has sent and one block', () => {
    const decoder = inTransmission();
    decoder.push(nbd.request({ type: nbd.WRITE, cookie: 1, length: 32 * 1024 * 1024 }));
    decoder.next();
    decoder.expectPayload(32 * 1024 * 1024, true);
    const before = process.memoryUsage().arrayBuffers;
    const crumb = Buffer.from('x');
    for (let sent = 0; sent < 100; sent++) {
      decoder.push(crumb);
      expect(decoder.next()).to.equal(null);
    }
    expect(process.memoryUsage().arrayBuffers - before).to.be.lessThan(1024 * 1024);
  });

  it('keeps nothing of a payload that is not wanted, and finds the next request behind it', () => {
    const decoder = inTransmission();
    decoder.push(nbd.request({ type: nbd.WRITE, cookie: 1, length: 100_000 }));
    decoder.next();
    decoder.expectPayload(100_000, false);
    decoder.push(Buffer.alloc(99_999, 0x25));
    expect(decoder.next()).to.equal(null);
    decoder.push(Buffer.concat([Buffer.from([0x60]), nbd.request({ type: nbd.FLUSH, cookie: 2 })]));
    expect(decoder.next()).to.deep.equal({ kind: 'payload', chunks: [] });
    expect(decoder.next()).to.include({ kind: 'request', type: nbd.FLUSH, cookieLow: 2 });
  });

  it('skips an option of 4 GiB less one without keeping it', () => {
    const decoder = new NbdDecoder();
    decoder.push(Buffer.concat([nbd.clientFlags(), nbd.wire('IHAVEOPT', nbd.u32(3), nbd.u32(0xffffffff))]));
    decoder.next();
    expect(decoder.next()).to.deep.equal({ kind: 'longOption', option: 3 });
    const chunk = Buffer.alloc(1024 * 1024);
    for (let sent = 0; sent < 4095; sent++) {
      decoder.push(chunk);
      expect(decoder.next()).to.equal(null);
    }
    decoder.push(Buffer.concat([chunk.subarray(1), nbd.abortOption()]));
    expect(decoder.next()).to.include({ kind: 'option', option: 2 });
  });

  it('finds nothing more in a stream that it has lost', () => {
    const decoder = inTransmission();
    decoder.push(Buffer.concat([Buffer.alloc(28), nbd.request({ type: nbd.FLUSH, cookie: 1 })]));
    expect(decoder.next()).to.deep.equal({ kind: 'violation', rule: 'requestMagic' });
    expect(decoder.next()).to.equal(null);
    decoder.push(nbd.request({ type: nbd.FLUSH, cookie: 1 }));
    expect(decoder.next()).to.equal(null);
  });

  it('refuses to be given a chunk before it has decoded the last', () => {
    const decoder = inTransmission();
    decoder.push(nbd.request({ type: nbd.FLUSH, cookie: 1 }));
    expect(() => decoder.push(Buffer.from('x'))).to.throw('before the one before it was decoded');
  });
});
