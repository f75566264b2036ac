/** No bit of a frame is without a meaning: whichever is flipped, the frame is refused. */
import { expect } from 'chai';
import type { Message } from '../../../../core/wire/layout.ts';
import { tampered } from './builder.ts';
import { FROM_REPLICA, LAST, type Sample, SEAL_SAMPLE, SEALED, TO_REPLICA } from './samples.ts';
import { type DirectionName, hear } from './support.ts';

const HEADER_BITS = 96 * 8;

type Stream = { direction: DirectionName; before: readonly Sample<Message>[]; sample: Sample<Message> };

const STREAMS: Stream[] = [
  { direction: 'toReplica', before: [], sample: SEAL_SAMPLE },
  ...TO_REPLICA.map((sample) => ({ direction: 'toReplica' as const, before: [SEAL_SAMPLE], sample })),
  { direction: 'fromReplica', before: [], sample: SEALED },
  ...[...FROM_REPLICA, ...LAST].map((sample) => ({ direction: 'fromReplica' as const, before: [SEALED], sample })),
];

function flipped(frame: Buffer, bit: number): Buffer {
  const copy = Buffer.from(frame);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

const bytesOf = (samples: readonly Sample<Message>[]): Buffer[] => samples.map((sample) => sample.frame);

describe('one flipped bit', () => {
  for (const { direction, before, sample } of STREAMS) {
    it(`in the header of ${sample.message.type}, wherever, is refused`, () => {
      for (let bit = 0; bit < HEADER_BITS; bit++) {
        const { messages, violation } = hear(direction, [...bytesOf(before), flipped(sample.frame, bit)]);
        expect(messages.length, `bit ${bit}`).to.equal(before.length);
        expect(violation?.rule, `bit ${bit}`).to.equal(bit < 32 ? 'magic' : 'headerChecksum');
      }
    });

    it(`in the body of ${sample.message.type}, wherever, is refused`, () => {
      const bits = sample.frame.length * 8;
      const step = Math.max(1, Math.floor((bits - HEADER_BITS) / 500));
      for (let bit = HEADER_BITS; bit < bits; bit += step) {
        const { messages, violation } = hear(direction, [...bytesOf(before), flipped(sample.frame, bit)]);
        expect(messages.length, `bit ${bit}`).to.equal(before.length);
        expect(violation?.rule, `bit ${bit}`).to.equal('bodyChecksum');
      }
    });
  }
});

/** Where a row of the table in PROTOCOL.md has no meaning for a field, by its byte position. */
const SHARED_FIELDS: Record<string, number> = { number: 40, offset: 48, length: 56, argument: 64, settled: 72 };

describe('a header bit that means nothing, under a checksum that holds', () => {
  for (const { direction, before, sample } of STREAMS) {
    it(`is refused in ${sample.message.type}`, () => {
      const unused = Object.values(SHARED_FIELDS).filter((at) => !FIELDS_USED[sample.message.type]?.includes(at));
      const places = [...range(20, 24), ...unused.flatMap((at) => range(at, at + 8)), ...range(80, 96)];
      const bits = places.flatMap((at) => range(at * 8, at * 8 + 8));
      // All flags but the one that the type has.
      bits.push(...range(7 * 8 + (FLAGGED.includes(sample.message.type) ? 1 : 0), 8 * 8));
      for (const bit of bits) {
        const frame = tampered(sample.frame, (header) => flipped(header, bit).copy(header));
        const { messages, violation } = hear(direction, [...bytesOf(before), frame]);
        expect(messages.length, `bit ${bit}`).to.equal(before.length);
        expect(violation?.rule, `bit ${bit}`).to.equal('notZero');
      }
    });
  }
});

const FLAGGED = ['zero', 'ping', 'digest', 'digests'];
const FIELDS_USED: Record<string, number[]> = {
  write: [40, 48, 56, 64, 72],
  zero: [40, 48, 56, 64, 72],
  restamp: [40, 56, 64, 72],
  read: [40, 48, 56],
  flush: [40],
  digest: [40, 48],
  level: [40, 48, 56, 64],
  changed: [40, 64],
  allocation: [40, 48, 56],
  ping: [40, 64, 72],
  applied: [40],
  data: [40, 56],
  done: [40],
  digests: [40, 64],
  changedSet: [40, 56],
  allocationMap: [40, 56],
  pong: [40],
  resize: [40, 56],
  progress: [40, 48, 56, 64],
  summary: [40, 48, 56],
  snapshot: [40, 64],
  summaryDigest: [40],
  unable: [40],
};

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
