/** Long payloads in blocks of a pool: what the decoder says is the same, wherever the bytes were read to. */
import { expect } from 'chai';
import { NbdDecoder } from '../../../../agent/nbd/decode.ts';
import { BlockPool } from '../../../../core/wire/blockPool.ts';
import * as nbd from '../../../support/nbdWire.ts';

const MIB = 1024 * 1024;
const payload = Buffer.from(Array.from({ length: MIB + 4_096 }, (_, index) => (index * 7) % 251));

function inTransmission(pool: BlockPool): NbdDecoder {
  const decoder = new NbdDecoder(pool);
  decoder.push(nbd.clientFlags());
  decoder.next();
  decoder.startTransmission();
  return decoder;
}

describe('a long payload', () => {
  for (const firstBytes of [28, 29, 5_000, 100_000]) {
    it(`is read to where it stays, when ${firstBytes} bytes came with the request`, () => {
      const decoder = inTransmission(new BlockPool());
      const stream = nbd.request({ type: nbd.WRITE, cookie: 1, offset: 0, payload });
      decoder.push(stream.subarray(0, firstBytes));
      expect(decoder.room(), 'nobody knows yet').to.equal(null);
      expect(decoder.next()).to.include({ kind: 'request', lengthBytes: payload.length });
      decoder.expectPayload(payload.length, true);
      expect(decoder.next()).to.equal(null);
      expect(decoder.keeps).to.equal(false);
      let at = firstBytes;
      for (let room = decoder.room(); room; room = decoder.room()) {
        const copiedBytes = stream.copy(room, 0, at, Math.min(stream.length, at + 300_000));
        decoder.filled(copiedBytes);
        at += copiedBytes;
      }
      expect(at).to.equal(stream.length);
      const message = decoder.next();
      expect(message?.kind === 'payload' && Buffer.concat(message.chunks).equals(payload)).to.equal(true);
      expect(decoder.next()).to.equal(null);
    });
  }

  it('has no room while something before it waits to be decoded', () => {
    const decoder = inTransmission(new BlockPool());
    const write = nbd.request({ type: nbd.WRITE, cookie: 1, offset: 0, payload });
    decoder.push(Buffer.concat([write.subarray(0, 28), payload.subarray(0, 50)]));
    decoder.next();
    decoder.expectPayload(payload.length, true);
    expect(decoder.room()).to.equal(null);
    expect(decoder.keeps).to.equal(true);
  });

  it('that is not kept takes no block', () => {
    const decoder = inTransmission(new BlockPool());
    decoder.push(nbd.request({ type: nbd.WRITE, cookie: 1, offset: 0, payload }));
    decoder.next();
    decoder.expectPayload(payload.length, false);
    expect(decoder.room()).to.equal(null);
    expect(decoder.next()).to.deep.equal({ kind: 'payload', chunks: [] });
  });
});
