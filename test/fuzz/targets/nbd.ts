/**
 * An NBD session and whatever a client may send, handshake first. Must hold: nothing is thrown; the device is asked for nothing but what stands in the
 * stream, payloads byte for byte; never for more at a time than the maxima say; a connection is open and reads, or has ended and its client of the
 * device is closed; every refused one by a named rule.
 */
import { expect } from 'chai';
import { REQUEST_BYTES_MAX } from '../../../agent/nbd/limits.ts';
import { CONNECTION_RULES } from '../../../agent/nbd/rules.ts';
import type { BlockClient, BlockDevice } from '../../../agent/ports.ts';
import { assert as must } from '../../../core/assert.ts';
import { MemoryDevice } from '../../support/memoryDevice.ts';
import { TestConnection } from '../../support/nbdSession.ts';
import * as nbd from '../../support/nbdWire.ts';
import type { Target } from '../engine.ts';
import { Choices, cutUp, type Input } from '../input.ts';
import type { Field } from '../mutate.ts';

const SIZE_BYTES = 256 * 1024;
const NAME = 'pgdata';
const UID = 'uid-of-pgdata';
const LIMITS = { requestsInFlightMax: 5, bytesInFlightMax: REQUEST_BYTES_MAX, unsentBytesMax: 200_000 };
const HEADER_BYTES = 28;
const TYPE_AT = 6;
const OFFSET_AT = 16;

/** What the device is asked for must be in the stream, as a request of that kind. */
class SuspiciousDevice implements BlockDevice {
  readonly name = NAME;
  readonly uid = UID;
  readonly sizeBytes = SIZE_BYTES;
  readonly #device = new MemoryDevice(NAME, SIZE_BYTES);
  readonly #stream: Buffer;
  readonly #choices: Choices;
  #waiting: { bytes: number; go: () => void }[] = [];
  clients = 0;

  constructor(stream: Buffer, choices: Choices) {
    this.#stream = stream;
    this.#choices = choices;
  }

  connect(): BlockClient {
    this.clients++;
    const client = this.#device.connect();
    return {
      readNow: () => false,
      read: (at, length, done) => this.#take([nbd.READ], at, length, length, () => client.read(at, length, done)),
      write: (at, chunks, length, fua, done) => {
        must(chunks.reduce((sum, chunk) => sum + chunk.length, 0) === length, 'a payload is as long as it says');
        this.#take([nbd.WRITE], at, length, length, () => client.write(at, chunks, length, fua, done), Buffer.concat(chunks));
      },
      zero: (at, length, options, done) =>
        this.#take([options.free ? nbd.TRIM : nbd.WRITE_ZEROES, nbd.WRITE_ZEROES], at, length, 0, () =>
          client.zero(at, length, options, done),
        ),
      flush: (done) => this.#take([nbd.FLUSH], 0, 0, 0, () => client.flush(done)),
      allocation: (at, length, done) => this.#take([nbd.BLOCK_STATUS], at, length, 0, () => client.allocation(at, length, done)),
      close: () => this.clients--,
    };
  }

  completeOne(): boolean {
    const [call] = this.#waiting.splice(this.#choices.below(Math.max(1, this.#waiting.length)), 1);
    call?.go();
    return call !== undefined;
  }

  #take(
    types: readonly number[],
    offsetBytes: number,
    lengthBytes: number,
    bytes: number,
    go: () => void,
    payload = Buffer.alloc(0),
  ): void {
    must(this.clients === 1, 'nothing is asked of a device before it is connected to, or after close');
    must(Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 && offsetBytes + lengthBytes <= SIZE_BYTES, 'a range is inside');
    must(isAskedFor(this.#stream, types, nbd.wire(nbd.u64(offsetBytes), nbd.u32(lengthBytes), payload)), `${types[0]} was asked for`);
    this.#waiting.push({ bytes, go });
    must(this.#waiting.length <= LIMITS.requestsInFlightMax, 'requestsInFlightMax holds');
    must(this.#waiting.reduce((sum, call) => sum + call.bytes, 0) <= LIMITS.bytesInFlightMax, 'bytesInFlightMax holds');
  }
}

function isAskedFor(stream: Buffer, types: readonly number[], rangeAndPayload: Buffer): boolean {
  for (let at = stream.indexOf(rangeAndPayload); at >= 0; at = stream.indexOf(rangeAndPayload, at + 1)) {
    const header = at - OFFSET_AT;
    if (header >= 0 && stream.readUInt32BE(header) === 0x25609513 && types.includes(stream.readUInt16BE(header + TYPE_AT))) return true;
  }
  return false;
}

function run({ choices: bytes, frames }: Input): void {
  const choices = new Choices(bytes);
  const device = new SuspiciousDevice(Buffer.concat(frames), choices);
  const connection = new TestConnection(device, LIMITS);
  let sentBytes = 0;
  for (const piece of cutUp(frames, choices)) {
    connection.nowMs += choices.byte();
    connection.acceptsMore = choices.chance(8);
    connection.receive(piece);
    if (choices.chance(5)) device.completeOne();
    if (choices.chance(5)) sentBytes += connection.take().length;
    if (!connection.acceptsMore && connection.ending === 'open') connection.session.drained();
  }
  connection.acceptsMore = true;
  for (let more = true; more; ) {
    if (connection.ending === 'open') connection.session.drained();
    sentBytes += connection.take().length;
    more = device.completeOne();
  }
  judge(connection, device, sentBytes + connection.take().length, frames);
}

function judge(connection: TestConnection, device: SuspiciousDevice, sentBytes: number, frames: readonly Buffer[]): void {
  const { ending, events, paused, session } = connection;
  must(ending !== 'open' || !paused, 'at rest, it reads');
  expect(device.clients, 'clients of the device').to.equal(ending === 'open' && !session.isInHandshake ? 1 : 0);
  for (const rule of events.refusedConnections) must(rule in CONNECTION_RULES, `${rule} is a rule`);
  must((ending === 'destroyed') === events.refusedConnections.length > 0, 'who breaks a rule is cut off, and nobody else');
  const asked = frames.reduce((sum, frame) => sum + frame.length, 0) / HEADER_BYTES;
  must(sentBytes <= 10_000 + asked * (SIZE_BYTES + 4096), 'no more is sent than was asked for');
}

const HANDSHAKES: Buffer[][] = [
  [nbd.clientFlags(), nbd.structuredReplyOption(), nbd.setContextOption(NAME, 'base:allocation'), nbd.goOption(NAME, 3)],
  [nbd.clientFlags(1), nbd.exportNameOption(NAME)],
  [nbd.clientFlags(1), nbd.goOption(`${UID}@growing`)],
  [nbd.clientFlags(), nbd.listOption(), nbd.infoOption('', 0, 1, 2, 3), nbd.goOption('')],
  [nbd.clientFlags(), nbd.startTlsOption(), nbd.listContextOption('', 'base:'), nbd.listContextOption(NAME), nbd.abortOption()],
  [nbd.clientFlags(), nbd.option(77, Buffer.alloc(9000)), nbd.structuredReplyOption(), nbd.goOption('another'), nbd.goOption(NAME)],
];

const REQUESTS: Buffer[] = [
  nbd.request({ type: nbd.WRITE, cookie: 1, offset: 4096, payload: Buffer.alloc(4096, 0xa5) }),
  nbd.request({ type: nbd.WRITE, cookie: 2, offset: SIZE_BYTES - 3, payload: Buffer.from('abc'), flags: nbd.FUA }),
  nbd.request({ type: nbd.READ, cookie: 3, offset: 0, length: 70_000 }),
  nbd.request({ type: nbd.READ, cookie: 4, offset: 4095, length: 1, flags: nbd.DF }),
  nbd.request({ type: nbd.FLUSH, cookie: 5 }),
  nbd.request({ type: nbd.TRIM, cookie: 6, offset: 65_536, length: 65_536 }),
  nbd.request({ type: nbd.WRITE_ZEROES, cookie: 7, offset: 0, length: SIZE_BYTES, flags: nbd.NO_HOLE }),
  nbd.request({ type: nbd.WRITE_ZEROES, cookie: 8, offset: 1, length: 9, flags: nbd.FAST_ZERO | nbd.FUA }),
  nbd.request({ type: nbd.BLOCK_STATUS, cookie: 9, offset: 0, length: SIZE_BYTES }),
  nbd.request({ type: nbd.BLOCK_STATUS, cookie: 10, offset: 5, length: 9, flags: nbd.REQ_ONE }),
  nbd.request({ type: nbd.CACHE, cookie: 11, offset: 0, length: 4096 }),
  nbd.request({ type: nbd.WRITE, cookie: 12, offset: 2 ** 40, payload: Buffer.alloc(3000, 7) }),
  nbd.request({ type: nbd.DISC, cookie: 13 }),
];

/** Of a request; of an option. */
const FIELDS: readonly Field[] = [
  ...[4, TYPE_AT].map((at): Field => ({ at, bytes: 2, isLittle: false })),
  ...[8, OFFSET_AT].map((at): Field => ({ at, bytes: 8, isLittle: false })),
  ...[24, 8, 12, 16].map((at): Field => ({ at, bytes: 4, isLittle: false })),
];

export const nbdTarget: Target = {
  name: 'nbd',
  sources: /\/agent\/nbd\//,
  seeds: () =>
    HANDSHAKES.flatMap((handshake, index) => [
      { choices: Buffer.from([index * 37, 3, 77, 130]), frames: handshake },
      { choices: Buffer.from([index, 200, 5]), frames: [...handshake, ...REQUESTS] },
    ]),
  fields: FIELDS,
  run,
};
