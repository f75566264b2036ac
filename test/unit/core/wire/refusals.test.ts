/** What breaks a rule is refused with the rule's name and a sentence, and nothing of it or behind it is handed over. */
import { expect } from 'chai';
import { PROTOCOL } from '../../../../core/versions.ts';
import { decoderFromReplica, decoderToReplica } from '../../../../core/wire/decode.ts';
import type { Message } from '../../../../core/wire/layout.ts';
import type { WireRule } from '../../../../core/wire/rules.ts';
import { allocationEntry, buildFrame, levelEntry, tampered, u32s } from './builder.ts';
import { CONFIG, FROM_REPLICA, LAST, pattern, type Sample, SEAL, SEAL_BODY, SEAL_SAMPLE, SEALED, SESSION, TO_REPLICA } from './samples.ts';
import { type DirectionName, hear } from './support.ts';

const MIB = 1024n * 1024n;

const bytesOf = (samples: readonly Sample<Message>[]): Buffer[] => samples.map((sample) => sample.frame);

type Case = [what: string, frame: Buffer, rule: WireRule, sentence: string];

const seal = (body: object | string, parts: Partial<Parameters<typeof buildFrame>[0]> = {}): Buffer =>
  buildFrame({ type: 1, body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), ...parts });
const sealBody = { volume: SEAL.volume, replica: SEAL.replica, config: CONFIG };
const withConfig = (change: object): Buffer => seal({ ...sealBody, config: { ...CONFIG, ...change } });
const withMember = (change: object): Buffer => {
  const [shard] = CONFIG.shards;
  const [first, ...others] = shard?.members ?? [];
  return withConfig({ shards: [{ ...shard, members: [{ ...first, ...change }, ...others] }] });
};
const level = (...entries: [number, number, number][]): Buffer => {
  const dataBytes = entries.reduce((bytes, entry) => bytes + entry[2], 0);
  const body = Buffer.concat([...entries.map((entry) => levelEntry(...entry)), Buffer.alloc(Math.min(dataBytes, 3 * 4096))]);
  return buildFrame({ type: 8, number: 1n, length: BigInt(entries.length), body });
};

const INSTEAD_OF_A_SEAL: Case[] = [
  ['anything else first', buildFrame({ type: 5, number: 1n, length: 1n }), 'order', 'read before the Seal'],
  ['another protocol', buildFrame({ type: 1, magic: 'NBDM' }), 'magic', 'a frame does not begin with the magic HFRW'],
  ['another version', seal(SEAL_BODY, { protocolVersion: 2 }), 'protocolVersion', 'protocol version 2, this side speaks 1'],
  ['an epoch of nobody', seal(SEAL_BODY, { epoch: 0n }), 'epoch', "a Seal of epoch 0, which is nobody's"],
  ['an epoch beyond 2^53', seal(SEAL_BODY, { epoch: 2n ** 53n }), 'range', 'the epoch is beyond 2^53'],
  ['another epoch than its config', seal(SEAL_BODY, { epoch: 6n }), 'epoch', 'a Seal of epoch 6 with a config of epoch 5'],
  [
    'another instance than its config',
    seal(SEAL_BODY, { instance: 1n }),
    'instance',
    'a Seal of instance 0000000000000001 with a config of primary fedcba9876543210',
  ],
  [
    'a config of no primary',
    withConfig({ primary: null }),
    'instance',
    'a Seal of instance fedcba9876543210 with a config of primary nobody',
  ],
  ['a config of another volume', withConfig({ uid: 'other' }), 'body', `a Seal of volume ${SEAL.volume} with the config of other`],
  ['no body', buildFrame({ type: 1 }), 'bodyLength', 'body of 0 bytes does not go with a seal'],
  ['no JSON', seal('{'), 'body', 'seal must be JSON'],
  ['no UTF-8', buildFrame({ type: 1, body: Buffer.from([0x22, 0xff, 0x22]) }), 'body', 'seal must be UTF-8'],
  ['no object', seal('[]'), 'body', 'seal must be an object, not []'],
  ['a field that nobody knows', seal({ ...sealBody, wish: 1 }), 'body', 'seal must not have a field "wish"'],
  [
    'a path as the volume',
    seal({ ...sealBody, volume: '../etc' }),
    'body',
    'seal.volume must be a uid (letters, digits and dashes, at most 63), not "../etc"',
  ],
  [
    'a replica of another form',
    seal({ ...sealBody, replica: 'AA' }),
    'body',
    'seal.replica must be a replica id (16 hex digits), not "AA"',
  ],
  ['no config', seal({ ...sealBody, config: undefined }), 'body', 'seal.config must be an object, not undefined'],
  [
    'a prototype in the config',
    seal(SEAL_BODY.replace('"name"', '"__proto__":{},"name"')),
    'body',
    'seal.config must not have a field "__proto__"',
  ],
  ['no size', withConfig({ sizeBytes: 0 }), 'body', 'seal.config.sizeBytes must be a whole number from 1 to 9007199254740991, not 0'],
  [
    'a size as text',
    withConfig({ sizeBytes: '1' }),
    'body',
    'seal.config.sizeBytes must be a whole number from 1 to 9007199254740991, not "1"',
  ],
  ['a fraction', withConfig({ version: 1.5 }), 'body', 'seal.config.version must be a whole number from 0 to 9007199254740991, not 1.5'],
  ['a loss in the future', withConfig({ lossAt: 6 }), 'body', 'seal.config.lossAt must be a whole number from 0 to 5, not 6'],
  [
    'an unknown mode',
    withConfig({ primary: { ...CONFIG.primary, mode: 'idle' } }),
    'body',
    'seal.config.primary.mode must be one of serve, background, release, not "idle"',
  ],
  ['no shards', withConfig({ shards: [] }), 'body', 'seal.config.shards must be a list of 1 to 64'],
  ['a member twice', withMember({ replica: '00000000000000bb' }), 'body', 'seal.config.shards[0].members must not name a replica twice'],
  [
    'an in-sync stranger',
    withMember({ replica: '00000000000000dd' }),
    'body',
    'seal.config.shards[0].inSync[0] must be the replica of a member',
  ],
  [
    'a member that leaves falsely',
    withMember({ leaving: false }),
    'body',
    'seal.config.shards[0].members[0].leaving must be true or left out',
  ],
  [
    'a member of no node',
    withMember({ node: '' }),
    'body',
    'seal.config.shards[0].members[0].node must be a text of 1 to 253 characters, not ""',
  ],
];

const BEHIND_A_SEAL: Case[] = [
  ['a second Seal', SEAL_SAMPLE.frame, 'order', 'a second Seal in one session'],
  ['an epoch that is not the session’s', buildFrame({ type: 6, epoch: 3n, number: 1n }), 'epoch', 'epoch 3 in a session of epoch 5'],
  ['a later epoch', buildFrame({ type: 6, epoch: 6n, number: 1n }), 'epoch', 'epoch 6 in a session of epoch 5'],
  [
    'an instance that is not the session’s',
    buildFrame({ type: 6, instance: 0xfedcba9876543211n }),
    'instance',
    'a frame of another instance than the session',
  ],
  [
    'another instance in its upper half',
    buildFrame({ type: 6, instance: 0xfedcba9976543210n }),
    'instance',
    'a frame of another instance than the session',
  ],
  ['an unknown type', buildFrame({ type: 99 }), 'frameType', 'frame type 99 is unknown'],
  ['type 0', buildFrame({ type: 0 }), 'frameType', 'frame type 0 is unknown'],
  ['an answer of a replica', buildFrame({ type: 67, number: 1n }), 'frameType', 'a frame of type applied does not go this way'],
  [
    'a body longer than any',
    buildFrame({ type: 2, length: 1n, bodyBytes: 40_000_000 }),
    'bodyLength',
    'body of 40000000 bytes is longer than 33619968',
  ],
  [
    'a write longer than a write may be',
    buildFrame({ type: 2, length: 1n, bodyBytes: 33_554_433 }),
    'bodyLength',
    'body of 33554433 bytes is longer than 33554432, the most for a write',
  ],
  [
    'a body where there is none',
    buildFrame({ type: 6, number: 1n, body: pattern(1) }),
    'bodyLength',
    'body of 1 bytes is longer than 0, the most for a flush',
  ],
  [
    'a payload shorter than its length',
    buildFrame({ type: 2, length: 5n, body: pattern(4) }),
    'bodyLength',
    'body of 4 bytes does not go with a write of lengthBytes 5',
  ],
  ['an empty write', buildFrame({ type: 2 }), 'range', 'a write of 0 bytes'],
  ['an empty read', buildFrame({ type: 5, number: 1n }), 'range', 'a read of 0 bytes'],
  [
    'a read that is too long',
    buildFrame({ type: 5, length: 32n * MIB + 1n }),
    'range',
    'lengthBytes 33554433 of a read is more than 33554432',
  ],
  [
    'a zero that is too long',
    buildFrame({ type: 3, length: 1024n * MIB + 1n }),
    'range',
    'lengthBytes 1073741825 of a zero is more than 1073741824',
  ],
  ['an offset beyond 2^53', buildFrame({ type: 5, offset: 2n ** 53n, length: 1n }), 'range', 'offsetBytes of a read is beyond 2^53'],
  ['the largest u64', buildFrame({ type: 6, number: 2n ** 64n - 1n }), 'range', 'id of a flush is beyond 2^53'],
  ['a range that ends beyond 2^53', buildFrame({ type: 5, offset: 2n ** 53n - 1n, length: 1n }), 'range', 'a read that ends beyond 2^53'],
  ['an extent beyond u32', buildFrame({ type: 7, offset: 2n ** 32n }), 'range', 'extent 4294967296 is beyond 4294967296'],
  [
    'more extents than a restamp may have',
    buildFrame({ type: 4, length: 65_537n, body: u32s(1) }),
    'range',
    'extents 65537 of a restamp is more than 65536',
  ],
  [
    'fewer extents than it says',
    buildFrame({ type: 4, length: 2n, body: u32s(1) }),
    'bodyLength',
    'body of 4 bytes does not go with a restamp of extents 2',
  ],
  [
    'more runs than an extent has blocks',
    buildFrame({ type: 8, length: 257n, body: Buffer.alloc(257 * 8) }),
    'range',
    'runs 257 of a level is more than 256',
  ],
  [
    'half a run',
    buildFrame({ type: 8, length: 1n, body: Buffer.alloc(7) }),
    'bodyLength',
    'body of 7 bytes does not go with a level of runs 1',
  ],
  ['a run of no blocks', level([0, 0, 0]), 'body', 'a level run of 0 blocks'],
  ['runs that overlap', level([0, 2, 0], [1, 1, 0]), 'body', 'level run at block 1 begins before block 2, where the one before it ends'],
  ['a run beyond the extent', level([255, 2, 0]), 'body', 'level run ends at block 257, beyond the extent'],
  ['a run with too much data', level([0, 1, 4097]), 'body', 'level run of 1 blocks with 4097 bytes'],
  ['a short run before another', level([0, 1, 100], [1, 1, 0]), 'body', 'level run of 1 blocks with 100 bytes'],
  ['a run short of a whole block', level([0, 2, 4096]), 'body', 'level run of 2 blocks with 4096 bytes'],
  ['less data than the runs say', level([0, 4, 16_384]), 'body', 'level run of 16384 bytes, of which the body holds 12288'],
  [
    'more data than the runs say',
    buildFrame({ type: 8, length: 1n, body: Buffer.concat([levelEntry(0, 1, 0), pattern(5)]) }),
    'body',
    '5 bytes behind the last level run',
  ],
];

const INSTEAD_OF_A_SEALED: Case[] = [
  ['anything else first', buildFrame({ type: 67, number: 1n }), 'order', 'applied before the Seal was answered'],
  ['another epoch', buildFrame({ type: 65, epoch: 4n, body: pattern(1) }), 'epoch', 'epoch 4 in a session of epoch 5'],
  [
    'another version',
    buildFrame({ type: 65, protocolVersion: 7, body: pattern(1) }),
    'protocolVersion',
    'protocol version 7, this side speaks 1',
  ],
  ['what a primary says', SEAL_SAMPLE.frame, 'frameType', 'a frame of type seal does not go this way'],
  [
    'a suspicion that is no yes or no',
    buildFrame({ type: 65, body: Buffer.from('{"suspect":0}') }),
    'body',
    'sealed.suspect must be true or false, not 0',
  ],
  [
    'an unknown refusal',
    buildFrame({ type: 66, body: Buffer.from('{"code":"mood"}') }),
    'body',
    'refused.code must be one of fenced, newerConfig, failed, unknownReplica, protocol, not "mood"',
  ],
  [
    'an endless sentence',
    buildFrame({ type: 74, body: Buffer.from(JSON.stringify({ message: 'x'.repeat(4097) })) }),
    'body',
    `failed.message must be a text of 1 to 4096 characters, not "${'x'.repeat(63)}…`,
  ],
];

const BEHIND_A_SEALED: Case[] = [
  ['a second Sealed', SEALED.frame, 'order', 'a Seal answered twice'],
  [
    'data shorter than it says',
    buildFrame({ type: 68, length: 2n, body: pattern(1) }),
    'bodyLength',
    'body of 1 bytes does not go with a data of lengthBytes 2',
  ],
  ['half a digest', buildFrame({ type: 70, body: pattern(8) }), 'bodyLength', 'body of 8 bytes does not go with a digests'],
  ['no digests of an extent that is not all zero', buildFrame({ type: 70 }), 'bodyLength', 'body of 0 bytes does not go with a digests'],
  [
    'digests of an extent that is all zero',
    buildFrame({ type: 70, flags: 1, body: pattern(16) }),
    'bodyLength',
    'body of 16 bytes does not go with a digests',
  ],
  [
    'more digests than blocks',
    buildFrame({ type: 70, body: pattern(257 * 16) }),
    'bodyLength',
    'body of 4112 bytes is longer than 4096, the most for a digests',
  ],
  [
    'a set of other length',
    buildFrame({ type: 71, length: 17n, body: pattern(2) }),
    'bodyLength',
    'body of 2 bytes does not go with a changedSet of extents 17',
  ],
  [
    'a set with bits beyond its end',
    buildFrame({ type: 71, length: 9n, body: Buffer.from([0, 2]) }),
    'body',
    'a set of 9 extents holds one beyond them',
  ],
  ['an empty allocation run', buildFrame({ type: 72, length: 1n, body: allocationEntry(0n, 0) }), 'body', 'an allocation run of 0 bytes'],
  [
    'an allocation run of 2^53',
    buildFrame({ type: 72, length: 1n, body: allocationEntry(2n ** 53n, 0) }),
    'body',
    'allocation runs that end beyond 2^53',
  ],
  [
    'a run that is half a hole',
    buildFrame({ type: 72, length: 1n, body: allocationEntry(1n, 2) }),
    'body',
    'an allocation run that is 2, neither 0 (data) nor 1 (hole)',
  ],
];

function refuses(direction: DirectionName, before: readonly Sample<Message>[], cases: readonly Case[]): void {
  const good = direction === 'toReplica' ? TO_REPLICA : FROM_REPLICA;
  for (const [what, frame, rule, sentence] of cases) {
    it(`refuses ${what}: ${sentence}`, () => {
      const { messages, violation } = hear(direction, [...bytesOf(before), frame, ...bytesOf(good)]);
      expect({ ...violation }).to.deep.equal({ rule, message: sentence });
      expect(messages.length).to.equal(before.length);
    });
  }
}

describe('a decoder of what a primary says, before the Seal', () => refuses('toReplica', [], INSTEAD_OF_A_SEAL));
describe('a decoder of what a primary says, behind the Seal', () => refuses('toReplica', [SEAL_SAMPLE], BEHIND_A_SEAL));
describe('a decoder of what a replica says, before its answer to the Seal', () => refuses('fromReplica', [], INSTEAD_OF_A_SEALED));
describe('a decoder of what a replica says, behind that answer', () => refuses('fromReplica', [SEALED], BEHIND_A_SEALED));

describe('behind the last message of a replica', () => {
  for (const last of LAST) {
    it(`nothing follows: ${last.message.type}`, () => {
      const pong = buildFrame({ type: 73, number: 1n });
      const { messages, violation } = hear('fromReplica', [last.frame, pong]);
      expect(violation?.rule).to.equal('order');
      expect(messages.length).to.equal(1);
    });
  }
});

describe('a peer of another version', () => {
  it('is understood when it refuses', () => {
    const refused = tampered(LAST[0]?.frame ?? Buffer.alloc(0), (header) => header.writeUInt16LE(9, 4));
    const { messages, violation } = hear('fromReplica', [refused]);
    expect(violation).to.equal(null);
    expect(messages[0]?.type).to.equal('refused');
  });

  it('can be told so: its Seal says for which epoch and instance', () => {
    const decoder = decoderToReplica(() => expect.fail('nothing is to be handed over'));
    expect(decoder.session).to.equal(null);
    expect(decoder.push(seal(SEAL_BODY, { protocolVersion: 2 }))?.rule).to.equal('protocolVersion');
    expect(decoder.session).to.deep.equal({ ...SESSION, protocolVersion: PROTOCOL.highest });
  });
});

describe('a decoder that has refused', () => {
  it('says the same for ever', () => {
    const decoder = decoderFromReplica(SESSION, () => expect.fail('nothing is to be handed over'));
    const violation = decoder.push(Buffer.alloc(96));
    expect(violation?.rule).to.equal('magic');
    expect(decoder.push(SEALED.frame)).to.equal(violation);
  });

  it('has not waited for the body', () => {
    const header = buildFrame({ type: 2, length: 1n, bodyBytes: 40_000_000 });
    expect(hear('toReplica', [SEAL_SAMPLE.frame, header.subarray(0, 95)]).violation).to.equal(null);
    expect(hear('toReplica', [SEAL_SAMPLE.frame, header.subarray(0, 96)]).violation?.rule).to.equal('bodyLength');
  });
});
