/**
 * Streams that nobody would write: garbage, valid streams with bytes changed, random requests against a plain buffer. Whatever comes, nothing is
 * thrown, the device gets only requests that it may get, never more at a time than the maxima say, and what is sent is the protocol.
 */
import { expect } from 'chai';
import fc from 'fast-check';
import type { BlockClient, BlockDevice } from '../../../../agent/ports.ts';
import { assert as must } from '../../../../core/assert.ts';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { TestConnection, transmitting } from '../../../support/nbdSession.ts';
import * as nbd from '../../../support/nbdWire.ts';

const SIZE = 256 * 1024;
const LIMITS = { requestsInFlightMax: 5, bytesInFlightMax: 32 * 1024 * 1024 };

/** Fails the test for any call that no session may make; completes calls in an order that `choose` decides. */
class StrictDevice implements BlockDevice {
  readonly name = 'pgdata';
  readonly uid = 'uid-of-pgdata';
  readonly sizeBytes = SIZE;
  readonly #device = new MemoryDevice('pgdata', SIZE);
  readonly #choose: () => number;
  #waiting: { bytes: number; go: () => void }[] = [];
  closed = 0;

  constructor(choose: () => number) {
    this.#choose = choose;
  }

  connect(): BlockClient {
    const client = this.#device.connect();
    return {
      readNow: () => false,
      read: (at, length, done) => this.#take(at, length, length, () => client.read(at, length, done)),
      write: (at, chunks, length, fua, done) => {
        must(chunks.reduce((sum, chunk) => sum + chunk.length, 0) === length, 'a payload is as long as it says');
        this.#take(at, length, length, () => client.write(at, chunks, length, fua, done));
      },
      zero: (at, length, options, done) => this.#take(at, length, 0, () => client.zero(at, length, options, done)),
      flush: (done) => this.#take(0, 1, 0, () => client.flush(done)),
      allocation: (at, length, done) => this.#take(at, length, 0, () => client.allocation(at, length, done)),
      close: () => this.closed++,
    };
  }

  completeOne(): boolean {
    const [call] = this.#waiting.splice(Math.floor(this.#choose() * this.#waiting.length), 1);
    call?.go();
    return call !== undefined;
  }

  #take(offsetBytes: number, lengthBytes: number, bytes: number, go: () => void): void {
    must(this.closed === 0, 'nothing is asked of a device after close');
    must(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 && lengthBytes > 0, 'a range is sound');
    must(offsetBytes + lengthBytes <= SIZE && lengthBytes <= 32 * 1024 * 1024, 'a range is inside and not too long');
    this.#waiting.push({ bytes, go });
    must(this.#waiting.length <= LIMITS.requestsInFlightMax, 'requestsInFlightMax holds');
    must(this.#waiting.reduce((sum, call) => sum + call.bytes, 0) <= LIMITS.bytesInFlightMax, 'bytesInFlightMax holds');
  }
}

/** Feeds the chunks while completing calls now and then; returns all that was sent after the greeting. */
function feed(chunks: readonly Buffer[], choose: () => number): { connection: TestConnection; device: StrictDevice; sent: Buffer } {
  const device = new StrictDevice(choose);
  const connection = new TestConnection(device, LIMITS);
  const taken: Buffer[] = [];
  for (const chunk of chunks) {
    connection.receive(chunk);
    if (choose() < 0.5) device.completeOne();
    if (choose() < 0.5) taken.push(connection.take());
  }
  while (device.completeOne()) taken.push(connection.take());
  taken.push(connection.take());
  must(!connection.paused, 'at rest, it reads');
  return { connection, device, sent: Buffer.concat(taken) };
}

const HANDSHAKE = Buffer.concat([
  nbd.clientFlags(),
  nbd.structuredReplyOption(),
  nbd.setContextOption('pgdata', 'base:allocation'),
  nbd.goOption('pgdata', 3),
]);
const HANDSHAKE_ANSWER_BYTES = 20 + (20 + 4 + 'base:allocation'.length + 20) + (20 + 12 + 20 + 14 + 20);

/** A source of choices, itself chosen by fast-check. */
const choices = fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1, maxLength: 50 }).map((values) => {
  let next = 0;
  return () => values[next++ % values.length] ?? 0;
});

const randomRequest = fc
  .record({
    type: fc.integer({ min: 0, max: 8 }).filter((type) => type !== nbd.DISC),
    flags: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }) }),
    offset: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: SIZE }) },
      { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
    ),
    length: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 ** 32 - 1 }) },
    ),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  .map(({ fill, ...fields }) => ({
    ...fields,
    payload: Buffer.alloc(fields.type === nbd.WRITE ? Math.min(fields.length, 50_000) : 0, fill),
  }));

const CUTS_MAX = 200;

const cutUp = (bytes: Buffer, choose: () => number): Buffer[] => {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = chunks.length < CUTS_MAX ? 1 + Math.floor(choose() ** 3 * 5000) : bytes.length;
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
};

describe('nbd, random streams', () => {
  it('garbage from the first byte on ends the connection or waits for more, and does no harm', () => {
    const garbage = fc.array(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(garbage, choices, (chunks, choose) => void feed(chunks, choose)),
      { numRuns: 300 },
    );
  });

  it('garbage behind a sound beginning of any length does no harm', () => {
    const beginning = Buffer.concat([HANDSHAKE, nbd.request({ type: nbd.WRITE, cookie: 1, payload: Buffer.alloc(100) })]);
    const garbage = fc.uint8Array({ maxLength: 500 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: beginning.length }), garbage, choices, (length, bytes, choose) => {
        feed(cutUp(Buffer.concat([beginning.subarray(0, length), bytes]), choose), choose);
      }),
      { numRuns: 300 },
    );
  });

  it('valid streams with bytes changed: what is sent after the handshake is still the protocol', () => {
    const mutation = fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(
        fc.array(randomRequest, { maxLength: 12 }),
        fc.array(mutation, { maxLength: 6 }),
        choices,
        (requests, mutations, choose) => {
          const body = Buffer.concat(requests.map((fields, index) => nbd.request({ ...fields, cookie: index + 1 })));
          for (const { at, value } of mutations) if (body.length > 0) body[at % body.length] = value;
          const { connection, device, sent } = feed(cutUp(Buffer.concat([HANDSHAKE, body]), choose), choose);
          const answer = sent.subarray(HANDSHAKE_ANSWER_BYTES);
          const replies = nbd.parseStructured(answer);
          for (const reply of replies) expect([0, 22, 28, 75, 95]).to.include(reply.error);
          expect(connection.events.completed.length).to.be.at.least(replies.length);
          expect(device.closed).to.equal(connection.ending === 'open' ? 0 : 1);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('options with bytes changed are answered or end the connection', () => {
    const mutation = fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
    const stream = Buffer.concat([
      HANDSHAKE.subarray(0, 4),
      nbd.infoOption('pgdata', 1, 2, 3),
      nbd.listContextOption('', 'base:'),
      HANDSHAKE.subarray(4),
    ]);
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), choices, (mutations, choose) => {
        const mutated = Buffer.from(stream);
        for (const { at, value } of mutations) mutated[at % mutated.length] = value;
        const { sent } = feed(cutUp(mutated, choose), choose);
        // A lone EXPORT_NAME answer aside, the server's side of a handshake is whole option replies.
        for (let at = 0; at + 20 <= sent.length && sent.readUInt32BE(at) === 0x0003e889; ) {
          expect(sent.readUInt32BE(at + 4)).to.equal(0x045565a9);
          at += 20 + sent.readUInt32BE(at + 16);
          expect(at).to.be.at.most(sent.length);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('random requests do to the volume what they do to a plain buffer', () => {
    fc.assert(
      fc.property(fc.array(randomRequest, { maxLength: 30 }), choices, (requests, choose) => {
        const device = new MemoryDevice('pgdata', SIZE);
        const connection = transmitting(device);
        const model = Buffer.alloc(SIZE);
        const sound = requests.filter(({ type, length, payload }) => type !== nbd.WRITE || payload.length === length);
        const expected = sound.map((fields) => applyToModel(model, fields));
        const stream = Buffer.concat(sound.map((fields, index) => nbd.request({ ...fields, cookie: index })));
        for (const chunk of cutUp(stream, choose)) connection.receive(chunk);
        const replies = nbd.parseStructured(connection.take());
        expect(replies.map(({ error }) => error)).to.deep.equal(expected.map(({ error }) => error));
        for (const [index, { data }] of expected.entries()) if (data) expect(replies[index]?.data?.equals(data)).to.equal(true);
        expect(device.copyOut(0, SIZE).equals(model)).to.equal(true);
      }),
      { numRuns: 300 },
    );
  });
});

type Sent = { type: number; flags: number; offset: number | bigint; length: number; payload: Buffer };
const VALID_FLAGS = new Map([
  [nbd.READ, 1 | 4],
  [nbd.WRITE, 1],
  [nbd.FLUSH, 1],
  [nbd.TRIM, 1],
  [nbd.CACHE, 1],
  [nbd.WRITE_ZEROES, 1 | 2 | 16],
  [nbd.BLOCK_STATUS, 1 | 8],
]);

/** The rules, told once more and slowly. */
function expectedError(request: Sent): number {
  const { type, flags, length, offset } = request;
  const validFlags = VALID_FLAGS.get(type);
  if (validFlags === undefined || (flags & ~validFlags) !== 0) return nbd.EINVAL;
  if (type === nbd.FLUSH) return BigInt(offset) === 0n && length === 0 ? 0 : nbd.EINVAL;
  return length === 0 ? nbd.EINVAL : expectedRangeError(request);
}

function expectedRangeError({ type, flags, length, offset }: Sent): number {
  if (type === nbd.READ && length > 32 * 1024 * 1024) return flags & nbd.DF ? nbd.EOVERFLOW : nbd.EINVAL;
  const outside = BigInt(offset) + BigInt(length) > BigInt(SIZE);
  if (outside) return type === nbd.WRITE || type === nbd.WRITE_ZEROES ? nbd.ENOSPC : nbd.EINVAL;
  return type === nbd.WRITE_ZEROES && flags & nbd.NO_HOLE && flags & nbd.FAST_ZERO ? nbd.ENOTSUP : 0;
}

function applyToModel(model: Buffer, request: Sent): { error: number; data?: Buffer } {
  const error = expectedError(request);
  const start = Number(request.offset);
  if (error !== 0) return { error };
  if (request.type === nbd.READ) return { error, data: Buffer.from(model.subarray(start, start + request.length)) };
  if (request.type === nbd.WRITE) request.payload.copy(model, start);
  if (request.type === nbd.TRIM || request.type === nbd.WRITE_ZEROES) model.fill(0, start, start + request.length);
  return { error };
}
