/** Every kind of message becomes the frame that PROTOCOL.md says, without a payload being copied. */
import { expect } from 'chai';
import { AssertionError } from '../../../../core/assert.ts';
import { instanceId } from '../../../../core/ids.ts';
import { Encoder } from '../../../../core/wire/encode.ts';
import { FRAME_KINDS, type Message } from '../../../../core/wire/layout.ts';
import { RESTAMP_EXTENTS_MAX, WRITE_BYTES_MAX, ZERO_BYTES_MAX } from '../../../../core/wire/messages.ts';
import { SharedFrame } from '../../../../core/wire/sharedFrame.ts';
import { FROM_REPLICA, LAST, pattern, SEAL_SAMPLE, SEALED, SESSION, TO_REPLICA } from './samples.ts';

const SAMPLES = [SEAL_SAMPLE, SEALED, ...TO_REPLICA, ...FROM_REPLICA, ...LAST];

describe('encoding a message', () => {
  const encoder = new Encoder(SESSION);
  for (const { message, frame } of SAMPLES) {
    it(`${message.type} ${'id' in message ? message.id : ''} has the bytes of the independent builder`, () => {
      expect(Buffer.concat(encoder.encode(message)).toString('hex')).to.equal(frame.toString('hex'));
    });
  }

  it('is tried with every type there is', () => {
    expect(new Set(SAMPLES.map((sample) => sample.message.type))).to.deep.equal(new Set(FRAME_KINDS.map((kind) => kind.name)));
  });

  it('passes payloads on as the very buffers that were given', () => {
    const chunks = [pattern(10), pattern(20)];
    const write = encoder.encode({ type: 'write', sequence: 1, settled: 0, version: 1, offsetBytes: 0, lengthBytes: 30, chunks });
    expect(write[1]).to.equal(chunks[0]);
    expect(write[2]).to.equal(chunks[1]);
    const data = pattern(4096);
    const level = encoder.encode({ type: 'level', id: 1, extent: 0, stamp: 1, runs: [{ block: 3, blocks: 1, data: [data] }] });
    expect(level.at(-1)).to.equal(data);
  });

  it('makes the frame of what goes to many once, and anew for another message, epoch, instance or version', () => {
    const shared = new SharedFrame();
    const sessions = [SESSION, { ...SESSION, epoch: 6 }, { ...SESSION, instance: instanceId('00000000000000ab') }];
    const fields = { type: 'write', sequence: 1, settled: 0, version: 1, offsetBytes: 0, lengthBytes: 300 } as const;
    const first = { ...fields, chunks: [pattern(300, 1)] };
    const second = { ...fields, chunks: [pattern(300, 2)] };
    for (const message of [first, first, second, { ...second }, first]) {
      for (const session of sessions) {
        const frames = [new Encoder(session, shared), new Encoder(session, shared)].map((each) => each.encode(message));
        expect(frames[0]).to.equal(frames[1]);
        expect(Buffer.concat(frames[0] ?? []).equals(Buffer.concat(new Encoder(session).encode(message)))).to.equal(true);
        const [later] = new Encoder(session, shared, 2).encode(message);
        expect([later?.readUInt16LE(4), frames[0]?.[0]?.readUInt16LE(4)]).to.deep.equal([2, 1]);
      }
    }
  });

  it('leaves earlier headers as they were', () => {
    const first = encoder.encode({ type: 'flush', id: 1 });
    const before = Buffer.concat(first).toString('hex');
    for (let id = 2; id < 500; id++) encoder.encode({ type: 'flush', id });
    expect(Buffer.concat(first).toString('hex')).to.equal(before);
  });

  it('cuts the sentence of a refusal to what a message may have, and gives one to the silent', () => {
    const last = (message: string): string => {
      const frame = encoder.encode({ type: 'failed', message });
      return (JSON.parse(Buffer.concat(frame.slice(1)).toString()) as { message: string }).message;
    };
    expect(last('x'.repeat(10_000))).to.equal('x'.repeat(4096));
    expect(last('')).to.equal('no reason given');
  });
});

describe('encoding what must not be sent', () => {
  const write = { type: 'write', sequence: 1, settled: 0, version: 1, offsetBytes: 0, lengthBytes: 4, chunks: [pattern(4)] } as const;
  const level = { type: 'level', id: 1, extent: 0, stamp: 1 } as const;
  const cases: [string, Message][] = [
    ['a payload shorter than its length', { ...write, lengthBytes: 5 }],
    ['an empty write', { ...write, lengthBytes: 0, chunks: [] }],
    ['a write that is too long', { ...write, lengthBytes: WRITE_BYTES_MAX + 1, chunks: [Buffer.alloc(WRITE_BYTES_MAX + 1)] }],
    [
      'a zero that is too long',
      { type: 'zero', sequence: 1, settled: 0, version: 1, offsetBytes: 0, lengthBytes: ZERO_BYTES_MAX + 1, free: true },
    ],
    ['a range that ends beyond 2^53', { type: 'read', id: 1, offsetBytes: Number.MAX_SAFE_INTEGER, lengthBytes: 1 }],
    ['a negative offset', { type: 'read', id: 1, offsetBytes: -1, lengthBytes: 1 }],
    ['a fraction', { type: 'flush', id: 1.5 }],
    ['a number beyond 2^53', { type: 'changed', id: 1, since: 2 ** 53 }],
    ['an extent beyond u32', { type: 'digest', id: 1, extent: 2 ** 32, stampOnly: false }],
    ['an extent beyond u32 in a restamp', { type: 'restamp', sequence: 1, settled: 0, version: 1, extents: [2 ** 32] }],
    [
      'too many extents in a restamp',
      { type: 'restamp', sequence: 1, settled: 0, version: 1, extents: new Array(RESTAMP_EXTENTS_MAX + 1).fill(0) },
    ],
    ['level runs that overlap', { ...level, runs: [run(0, 2), run(1, 1)] }],
    ['a level run beyond the extent', { ...level, runs: [run(255, 2)] }],
    ['a level run of no blocks', { ...level, runs: [{ block: 0, blocks: 0, data: null }] }],
    ['a level run whose data is empty', { ...level, runs: [{ block: 0, blocks: 1, data: [] }] }],
    ['a short level run that is not the last', { ...level, runs: [{ block: 0, blocks: 1, data: [pattern(100)] }, run(1, 1)] }],
    ['an empty allocation run', { type: 'allocationMap', id: 1, runs: [{ lengthBytes: 0, hole: true }] }],
    ['half a digest', { type: 'digests', id: 1, stamp: 1, digests: Buffer.alloc(4097) }],
  ];
  for (const [what, message] of cases) {
    it(`fails for ${what}`, () => {
      expect(() => new Encoder(SESSION).encode(message)).to.throw(AssertionError);
    });
  }

  it('fails for a session without a sound epoch', () => {
    expect(() => new Encoder({ epoch: -1, instance: instanceId('00000000000000aa') })).to.throw(AssertionError);
  });
});

function run(block: number, blocks: number): { block: number; blocks: number; data: Buffer[] } {
  return { block, blocks, data: [Buffer.alloc(blocks * 4096)] };
}
