/** One stream with a handshake and every kind of request, cut everywhere: replies and volume are the same as uncut. */
import { expect } from 'chai';
import fc from 'fast-check';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { TestConnection } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const SIZE = 192 * 1024;
const text = (length: number) => Buffer.alloc(length, 'holdfast ');

const STREAM = Buffer.concat([
  nbd.clientFlags(),
  nbd.option(4711, Buffer.from('unknown')),
  nbd.option(4712, Buffer.alloc(8193)),
  nbd.startTlsOption(),
  nbd.listOption(),
  nbd.structuredReplyOption(),
  nbd.listContextOption('pgdata'),
  nbd.setContextOption('pgdata', 'base:allocation'),
  nbd.infoOption('other'),
  nbd.infoOption('pgdata', 1, 2, 3),
  nbd.goOption('', 3),
  nbd.request({ type: nbd.WRITE, cookie: 1, offset: 5, payload: text(70) }),
  nbd.request({ type: nbd.WRITE, cookie: 2, offset: 70_000, payload: text(33), flags: nbd.FUA }),
  nbd.request({ type: nbd.WRITE, cookie: 3, offset: SIZE, payload: text(40) }),
  nbd.request({ type: nbd.FLUSH, cookie: 4 }),
  nbd.request({ type: nbd.READ, cookie: 5, offset: 0, length: 80 }),
  nbd.request({ type: nbd.WRITE_ZEROES, cookie: 6, offset: 10, length: 9, flags: nbd.NO_HOLE }),
  nbd.request({ type: nbd.READ, cookie: 7, offset: 4, length: 30, flags: nbd.DF }),
  nbd.request({ type: nbd.BLOCK_STATUS, cookie: 8, length: SIZE }),
  nbd.request({ type: nbd.TRIM, cookie: 9, offset: 65_536, length: 65_536 }),
  nbd.request({ type: nbd.BLOCK_STATUS, cookie: 10, length: SIZE, flags: nbd.REQ_ONE }),
  nbd.request({ type: nbd.CACHE, cookie: 11, length: 4096 }),
  nbd.request({ type: 99, cookie: 12, length: 4096 }),
  nbd.request({ type: nbd.WRITE, cookie: 13, offset: 100, payload: text(1) }),
  nbd.request({ type: nbd.DISC, cookie: 14 }),
]);

function run(chunks: Buffer[]): { sent: string; volume: Buffer; ending: string; refused: string[] } {
  const device = new MemoryDevice('pgdata', SIZE);
  const connection = new TestConnection(device);
  for (const chunk of chunks) connection.receive(chunk);
  const sent = connection.take().toString('hex');
  return { sent, volume: device.copyOut(0, SIZE), ending: connection.ending, refused: connection.events.refusedRequests };
}

function cutAt(positions: readonly number[]): Buffer[] {
  const edges = [0, ...[...new Set(positions)].sort((a, b) => a - b), STREAM.length];
  return edges.slice(1).map((edge, index) => STREAM.subarray(edges[index], edge));
}

describe('nbd stream, cut', () => {
  const whole = run([STREAM]);

  it('uncut, is answered as the protocol says', () => {
    const connection = Buffer.from(whole.sent, 'hex');
    const replies = nbd.parseStructured(connection.subarray(connection.indexOf(nbd.simpleReply(1))));
    expect(replies.map(({ cookie, error }) => [Number(cookie), error])).to.deep.equal([
      [1, 0],
      [2, 0],
      [3, nbd.ENOSPC],
      [4, 0],
      [5, 0],
      [6, 0],
      [7, 0],
      [8, 0],
      [9, 0],
      [10, 0],
      [11, 0],
      [12, nbd.EINVAL],
      [13, 0],
    ]);
    expect(whole.ending).to.equal('ended');
    const expected = Buffer.alloc(SIZE);
    text(70).copy(expected, 5);
    expected.fill(0, 10, 19);
    text(1).copy(expected, 100);
    expect(whole.volume.equals(expected)).to.equal(true);
  });

  const same = (chunks: Buffer[], where: string) => {
    const other = run(chunks);
    expect(other.sent, where).to.equal(whole.sent);
    expect(other.volume.equals(whole.volume), where).to.equal(true);
    expect(other.ending, where).to.equal(whole.ending);
    expect(other.refused, where).to.deep.equal(whole.refused);
  };

  it('cut once, at every position, is the same', () => {
    for (let position = 1; position < STREAM.length; position++) {
      // The inside of the option that is skipped is all alike.
      if (position > 100 && position < 8200 && position % 97 !== 0) continue;
      same(cutAt([position]), `cut at ${position}`);
    }
  }).timeout(60_000);

  for (const pieceBytes of [1, 2, 3, 5, 7, 16, 27, 28, 29]) {
    it(`in pieces of ${pieceBytes}, is the same`, () => {
      same(cutAt(Array.from({ length: Math.floor((STREAM.length - 1) / pieceBytes) }, (_, index) => (index + 1) * pieceBytes)), 'pieces');
    });
  }

  it('cut anyhow, is the same', () => {
    const positions = fc.uniqueArray(fc.integer({ min: 1, max: STREAM.length - 1 }), { maxLength: 40 });
    fc.assert(
      fc.property(positions, (cuts) => same(cutAt(cuts), `cut at ${cuts}`)),
      { numRuns: 200 },
    );
  });
});
