/** Frames become messages again, however the network cut them. */
import { expect } from 'chai';
import { CRUMBS_MAX } from '../../../../core/wire/bodyCollector.ts';
import { decoderToReplica } from '../../../../core/wire/decode.ts';
import type { Message } from '../../../../core/wire/layout.ts';
import { buildFrame } from './builder.ts';
import { FROM_REPLICA, LAST, pattern, type Sample, SEAL_SAMPLE, SEALED, TO_REPLICA } from './samples.ts';
import { comparable, type DirectionName, hear } from './support.ts';

const STREAMS: { direction: DirectionName; name: string; samples: readonly Sample<Message>[] }[] = [
  { direction: 'toReplica', name: 'a primary', samples: [SEAL_SAMPLE, ...TO_REPLICA] },
  ...LAST.flatMap((last) => [
    { direction: 'fromReplica' as const, name: `a replica that ends with ${last.message.type}`, samples: [SEALED, ...FROM_REPLICA, last] },
    { direction: 'fromReplica' as const, name: `a replica that only says ${last.message.type}`, samples: [last] },
  ]),
];

for (const { direction, name, samples } of STREAMS) {
  describe(`what ${name} says`, () => {
    const stream = Buffer.concat(samples.map((sample) => sample.frame));
    const wanted = samples.map((sample) => comparable(sample.message));

    it('is understood in one piece', () => {
      const { messages, violation } = hear(direction, [stream]);
      expect(violation).to.equal(null);
      expect(messages.map(comparable)).to.deep.equal(wanted);
    });

    it('is understood whichever one place it is cut at', () => {
      const expected = JSON.stringify(wanted);
      for (let cut = 0; cut <= stream.length; cut++) {
        const { messages, violation } = hear(direction, [stream.subarray(0, cut), stream.subarray(cut)]);
        expect(violation, `cut at ${cut}`).to.equal(null);
        expect(JSON.stringify(messages.map(comparable)), `cut at ${cut}`).to.equal(expected);
      }
    }).timeout(60_000);

    it('is understood byte by byte', () => {
      const pieces = Array.from(stream, (_, index) => stream.subarray(index, index + 1));
      const { messages, violation } = hear(direction, pieces);
      expect(violation).to.equal(null);
      expect(messages.map(comparable)).to.deep.equal(wanted);
    });

    it('is handed over frame by frame, none before its last byte', () => {
      let end = 0;
      for (const [index, sample] of samples.entries()) {
        end += sample.frame.length;
        expect(hear(direction, [stream.subarray(0, end)]).messages.length).to.equal(index + 1);
        expect(hear(direction, [stream.subarray(0, end - 1)]).messages.length).to.equal(index);
      }
    });
  });
}

describe('a payload', () => {
  const body = pattern(300_000);
  const frame = buildFrame({ type: 2, number: 1n, length: BigInt(body.length), body });

  const chunksOf = (pieces: Buffer[]): readonly Buffer[] => {
    const write = hear('toReplica', [SEAL_SAMPLE.frame, ...pieces]).messages[1];
    expect(write?.type).to.equal('write');
    return write?.type === 'write' ? write.chunks : [];
  };

  it('is slices of the chunks that it came in', () => {
    const pieces = [frame.subarray(0, 70_000), frame.subarray(70_000, 200_000), frame.subarray(200_000)];
    const chunks = chunksOf(pieces);
    expect(chunks.map((chunk) => chunk.length)).to.deep.equal([70_000 - 96, 130_000, body.length - 200_000 + 96]);
    for (const chunk of chunks) expect(chunk.buffer).to.equal(frame.buffer);
    expect(Buffer.concat(chunks).equals(body)).to.equal(true);
  });

  it('of a sender of crumbs is gathered into few blocks', () => {
    const pieces = Array.from({ length: Math.ceil(frame.length / 7) }, (_, index) => frame.subarray(index * 7, index * 7 + 7));
    const chunks = chunksOf(pieces);
    expect(chunks.length).to.be.at.most(CRUMBS_MAX + Math.ceil(body.length / 65_536));
    const held = chunks.slice(CRUMBS_MAX).reduce((bytes, chunk) => bytes + chunk.buffer.byteLength, 0);
    expect(held).to.be.at.most(body.length);
    expect(Buffer.concat(chunks).equals(body)).to.equal(true);
  });
});

describe('a payload behind one of crumbs', () => {
  it('is slices of its chunks again', () => {
    const body = pattern(20_000);
    const frame = buildFrame({ type: 2, number: 1n, length: BigInt(body.length), body });
    const crumbs = Array.from({ length: Math.ceil(frame.length / 500) }, (_, index) => frame.subarray(index * 500, index * 500 + 500));
    const { messages } = hear('toReplica', [SEAL_SAMPLE.frame, ...crumbs, frame]);
    const [, , last] = messages;
    expect(last?.type === 'write' && last.chunks.length).to.equal(1);
    expect(last?.type === 'write' && last.chunks[0]?.buffer).to.equal(frame.buffer);
  });
});

describe('a decoder that is stopped by whoever it hands messages to', () => {
  it('hands over nothing more, out of this chunk or a later one', () => {
    const messages: string[] = [];
    const decoder = decoderToReplica((message) => {
      messages.push(message.type);
      if (messages.length === 2) decoder.stop();
    });
    const stream = Buffer.concat([SEAL_SAMPLE.frame, ...TO_REPLICA.map((sample) => sample.frame)]);
    expect(decoder.push(stream)).to.equal(null);
    expect(decoder.push(stream)).to.equal(null);
    expect(messages).to.deep.equal(['seal', 'write']);
  });
});
