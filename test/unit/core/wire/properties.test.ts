/** Whatever may be sent comes back the same; whatever else comes in is refused without harm. */
import { expect } from 'chai';
import fc from 'fast-check';
import { ExtentSet } from '../../../../core/extent.ts';
import { decoderFromReplica, decoderToReplica } from '../../../../core/wire/decode.ts';
import { Encoder } from '../../../../core/wire/encode.ts';
import type { Message } from '../../../../core/wire/layout.ts';
import type { FromReplica, LevelRun, ToReplica } from '../../../../core/wire/messages.ts';
import { tampered } from './builder.ts';
import { FROM_REPLICA, SEAL, SEAL_SAMPLE, SEALED, SESSION, TO_REPLICA } from './samples.ts';
import { comparable, type DirectionName, hear } from './support.ts';

const count = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER));
const extent = fc.nat(2 ** 32 - 1);
const chunks = fc
  .array(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 5 },
  )
  .map((list) => [...list, Buffer.from([7])]);
const payload = chunks.map((list) => ({ chunks: list, lengthBytes: Buffer.concat(list).length }));
const offsetBytes = fc.maxSafeNat().map((at) => Math.max(0, at - 2 ** 31));
const operation = { sequence: count, settled: count, version: count };
const runs = fc
  .uniqueArray(fc.nat(255), { maxLength: 12 })
  .map((blocks) => blocks.sort((left, right) => left - right))
  .chain((blocks) =>
    fc.tuple(...blocks.map((block) => fc.record({ block: fc.constant(block), blocks: fc.constant(1), data: fc.boolean() }))),
  )
  .map((list) =>
    list.map((run, index): LevelRun => {
      const lengthBytes = index === list.length - 1 ? 1 + ((run.block * 37) % 4096) : 4096;
      return { ...run, data: run.data ? [Buffer.alloc(lengthBytes - 1, run.block), Buffer.from([1])] : null };
    }),
  );
const extentSet = fc.nat(200).chain((extents) =>
  fc.array(fc.nat(Math.max(0, extents - 1))).map((members) => {
    const set = new ExtentSet(extents);
    if (extents > 0) for (const member of members) set.add(member);
    return set;
  }),
);

const write = fc
  .tuple(fc.record({ type: fc.constant('write' as const), ...operation, offsetBytes }), payload)
  .map(([fields, body]): ToReplica => ({ ...fields, ...body }));
const data = fc.tuple(count, payload).map(([id, body]): FromReplica => ({ type: 'data', id, ...body }));

const toReplica: fc.Arbitrary<ToReplica> = fc.oneof(
  write,
  fc.record({
    type: fc.constant('zero' as const),
    ...operation,
    offsetBytes,
    lengthBytes: fc.integer({ min: 1, max: 1024 ** 3 }),
    free: fc.boolean(),
  }),
  fc.record({ type: fc.constant('restamp' as const), ...operation, extents: fc.array(extent) }),
  fc.record({ type: fc.constant('read' as const), id: count, offsetBytes, lengthBytes: fc.integer({ min: 1, max: 32 * 1024 ** 2 }) }),
  fc.record({ type: fc.constant('flush' as const), id: count }),
  fc.record({ type: fc.constant('digest' as const), id: count, extent, stampOnly: fc.boolean() }),
  fc.record({ type: fc.constant('level' as const), id: count, extent, stamp: count, runs }),
  fc.record({ type: fc.constant('changed' as const), id: count, since: count }),
  fc.record({ type: fc.constant('allocation' as const), id: count, offsetBytes, lengthBytes: fc.integer({ min: 1, max: 2 ** 31 - 1 }) }),
  fc.record({ type: fc.constant('ping' as const), id: count, settled: count, leaseMs: count, mayClean: fc.boolean() }),
  fc.constant({ type: 'release' as const }),
);

const digests = fc.integer({ min: 1, max: 256 }).map((blocks) => Buffer.alloc(blocks * 16, blocks));
const fromReplica: fc.Arbitrary<FromReplica> = fc.oneof(
  data,
  fc.record({ type: fc.constant('applied' as const), sequence: count }),
  fc.record({ type: fc.constant('done' as const), id: count }),
  fc.record({ type: fc.constant('pong' as const), id: count }),
  fc.record({ type: fc.constant('digests' as const), id: count, stamp: count, digests: fc.option(digests) }),
  fc.record({ type: fc.constant('changedSet' as const), id: count, extents: extentSet }),
  fc.record({
    type: fc.constant('allocationMap' as const),
    id: count,
    runs: fc.array(fc.record({ lengthBytes: fc.integer({ min: 1, max: 2 ** 40 }), hole: fc.boolean() })),
  }),
);

/** The stream cut at these places (as shares of its length). */
function cutAt(stream: Buffer, shares: readonly number[]): Buffer[] {
  const places = [0, ...shares.map((share) => Math.floor(share * stream.length)).sort((left, right) => left - right), stream.length];
  return places.slice(1).map((end, index) => stream.subarray(places[index], end));
}

const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 40 });

function comesBack(direction: DirectionName, messages: readonly Message[], cuts: readonly number[]): void {
  const encoder = new Encoder(SESSION);
  const stream = Buffer.concat(messages.flatMap((message) => encoder.encode(message)));
  const heard = hear(direction, cutAt(stream, cuts));
  expect(heard.violation).to.equal(null);
  expect(heard.messages.map(comparable)).to.deep.equal(messages.map(comparable));
}

describe('any messages, cut anywhere', () => {
  it('of a primary come back the same', () => {
    fc.assert(fc.property(fc.array(toReplica, { maxLength: 8 }), shares, (list, cuts) => comesBack('toReplica', [SEAL, ...list], cuts)));
  });

  it('of a replica come back the same', () => {
    fc.assert(
      fc.property(fc.array(fromReplica, { maxLength: 8 }), shares, (list, cuts) =>
        comesBack('fromReplica', [SEALED.message, ...list], cuts),
      ),
    );
  });

  it('Seals of any config come back the same', () => {
    const hexId = fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 16, maxLength: 16 }).map((digits) => digits.join(''));
    fc.assert(
      fc.property(hexId, fc.string({ minLength: 1, maxLength: 60 }), fc.nat(), shares, (replica, name, lossAt, cuts) => {
        const config = { ...SEAL.config, name, lossAt: lossAt % 6 };
        comesBack('toReplica', [{ ...SEAL, replica: replica as typeof SEAL.replica, config }], cuts);
      }),
    );
  });
});

describe('garbage', () => {
  const decoders = {
    toReplica: () => decoderToReplica(() => undefined),
    fromReplica: () => decoderFromReplica(SESSION, () => undefined),
  };
  const garbage = fc.array(
    fc.uint8Array({ minLength: 1, maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    { minLength: 2, maxLength: 20 },
  );

  it('never throws and ends as a refusal', () => {
    fc.assert(
      fc.property(fc.constantFrom('toReplica' as const, 'fromReplica' as const), garbage, (direction, pieces) => {
        const decoder = decoders[direction]();
        const answers = pieces.map((piece) => decoder.push(piece));
        if (Buffer.concat(pieces).length >= 96) expect(answers.at(-1)?.rule).to.be.a('string');
      }),
    );
  });

  it('under a header whose checksum holds never throws, and what is not refused was meant', () => {
    const streams = [
      ...TO_REPLICA.map((sample) => ({ direction: 'toReplica' as const, first: SEAL_SAMPLE.frame, frame: sample.frame })),
      ...FROM_REPLICA.map((sample) => ({ direction: 'fromReplica' as const, first: SEALED.frame, frame: sample.frame })),
    ];
    const place = fc.integer({ min: 4, max: 95 });
    fc.assert(
      fc.property(
        fc.constantFrom(...streams),
        fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1 }),
        ({ direction, first, frame }, bytes) => {
          const forged = tampered(frame, (header) => {
            for (const [at, value] of bytes) header[at] = value;
          });
          const { messages, violation } = hear(direction, [first, forged, Buffer.alloc(200)]);
          if (messages.length < 2) return;
          // It was accepted: then it says in full what it is, so encoding it gives the very same bytes.
          const again = messages[1] as Message;
          expect(Buffer.concat(new Encoder(SESSION).encode(again)).equals(forged)).to.equal(true);
          expect(violation?.rule).to.equal('magic');
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('after any good beginning of a stream hands over nothing but that beginning', () => {
    const frames = [SEAL_SAMPLE, ...TO_REPLICA];
    fc.assert(
      fc.property(fc.nat(frames.length), fc.uint8Array({ minLength: 96, maxLength: 300 }), (good, noise) => {
        const stream = Buffer.concat([...frames.slice(0, good).map((sample) => sample.frame), Buffer.from(noise)]);
        const { messages, violation } = hear('toReplica', [stream]);
        expect(messages.length).to.equal(good);
        expect(violation?.rule).to.equal('magic');
      }),
    );
  });
});
