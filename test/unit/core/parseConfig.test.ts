/** A config is read whole or refused with a sentence; what breaks which rule is told in test/unit/core/wire/refusals.test.ts, by Seals. */
import { expect } from 'chai';
import type { Shard } from '../../../core/config.ts';
import { replicaId } from '../../../core/ids.ts';
import { parseVolumeConfig, parseVolumeConfigText } from '../../../core/parseConfig.ts';
import { configWith, member, REPLICAS } from '../../support/configs.ts';

const shardOf = (members: number): Shard => ({
  members: Array.from({ length: members }, (_, index) => ({
    ...member(0),
    replica: replicaId((index + 1).toString(16).padStart(16, '0')),
  })),
  inSync: [],
});

describe('a config out of JSON', () => {
  const whole = [
    ['as it is while it serves', configWith()],
    ['never promoted', configWith({ epoch: 0, primary: null, shards: [{ members: [member(0)], inSync: [] }] })],
    ['with limits', configWith({ limits: { iops: 500, bytesPerSecond: 0 } })],
    ['striped', configWith({ shards: [0, 1, 2].map((index) => ({ members: [member(index)], inSync: [] })) })],
    ['after a loss', configWith({ lossAt: 1 })],
    ['attached', configWith({ attachment: { node: 'node-a', bootId: 'boot-1', epoch: 1 } })],
    [
      'with one that leaves and one that left',
      configWith({
        shards: [{ members: [{ ...member(0), leaving: true }, { ...member(1), leftAt: 2 }, member(2)], inSync: REPLICAS.slice(0, 1) }],
      }),
    ],
  ] as const;
  for (const [what, config] of whole) {
    it(`comes back the same: ${what}`, () => {
      expect(parseVolumeConfigText(JSON.stringify(config))).to.deep.equal({ value: config, problem: null });
    });
  }

  it('is a new object, of which nothing belongs to the input', () => {
    const config = configWith();
    const { value } = parseVolumeConfig(config);
    expect(value).to.deep.equal(config);
    expect(value?.shards[0]?.members).to.not.equal(config.shards[0]?.members);
    expect(value?.shards[0]?.members[0]).to.not.equal(config.shards[0]?.members[0]);
  });

  const refused: [string, string, string][] = [
    ['no JSON', '{', 'a config must be JSON'],
    ['no object', 'null', 'config must be an object, not null'],
    ['an empty one', '{}', 'config.epoch must be a whole number from 0 to 9007199254740991, not undefined'],
    ['one of a later program', JSON.stringify({ ...configWith(), fence: 1 }), 'config must not have a field "fence"'],
    [
      'too many members',
      JSON.stringify(configWith({ shards: [{ members: new Array(65).fill(member(0)), inSync: [] }] })),
      'config.shards[0].members must be a list of 0 to 64',
    ],
    [
      'too many members in all',
      JSON.stringify(configWith({ shards: Array.from({ length: 9 }, () => shardOf(57)) })),
      'config.shards must not have more than 512 members in all',
    ],
    ['too many shards', JSON.stringify(configWith({ shards: new Array(65).fill(shardOf(1)) })), 'config.shards must be a list of 1 to 64'],
    [
      'a limit below nothing',
      JSON.stringify(configWith({ limits: { iops: -1, bytesPerSecond: 0 } })),
      'config.limits.iops must be a whole number from 0 to 9007199254740991, not -1',
    ],
    [
      'two in sync that are one',
      JSON.stringify(configWith({ shards: [{ members: [member(0)], inSync: [REPLICAS[0], REPLICAS[0]].flatMap((id) => id ?? []) }] })),
      'config.shards[0].inSync must not name a replica twice',
    ],
  ];
  for (const [what, text, problem] of refused) {
    it(`is refused: ${what}`, () => {
      expect(parseVolumeConfigText(text)).to.deep.equal({ value: null, problem });
    });
  }

  it('shows a long value only in part', () => {
    const { problem } = parseVolumeConfig({ ...configWith(), uid: '/'.repeat(10_000) });
    expect(problem).to.match(/^config\.uid must be a uid .*…$/);
    expect(problem?.length).to.be.below(200);
  });
});
