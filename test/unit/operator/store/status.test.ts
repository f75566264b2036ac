/** What people are told of etcd: a sentence that says what to do, and Events on transitions only. */
import { expect } from 'chai';
import type { SeenStore } from '../../../../operator/store/decide.ts';
import { storeConditions, storeEvents } from '../../../../operator/store/status.ts';

const NO_SPACE = [{ member: '1', kind: 'NOSPACE' }];
const seen = (change: Partial<SeenStore> = {}): SeenStore => ({
  members: [{ url: 'http://a', status: { id: '1', isLeader: true, dbBytes: 10 * 1024 ** 2, usedBytes: 9 * 1024 ** 2 } }],
  isWhole: true,
  alarms: [],
  revision: '5',
  quotas: new Map([['1', 100 * 1024 ** 2]]),
  ...change,
});
const look = (
  facts: { seen?: Partial<SeenStore>; acts?: boolean; hasTried?: boolean },
  before: Parameters<typeof storeConditions>[1] = [],
) => storeConditions({ acts: true, hasTried: false, ...facts, seen: seen(facts.seen) }, before, 1_000);
const reasons = (...args: Parameters<typeof storeEvents>): string[] => storeEvents(...args).map(({ reason }) => reason);

describe('operator: what people are told of etcd', () => {
  const rows: { says: string; facts: Parameters<typeof look>[0]; type: string; status: string; message: RegExp }[] = [
    { says: 'all is well', facts: {}, type: 'StoreWritable', status: 'True', message: /^etcd has space$/ },
    {
      says: 'what stops without space and what is done about it',
      facts: { seen: { alarms: NO_SPACE } },
      type: 'StoreWritable',
      status: 'False',
      message:
        /no space left \(10Mi of 100Mi at http:\/\/a\): volumes are served as before, but nothing .* can change.*; it is being compacted/,
    },
    {
      says: 'what to do when that won too little',
      facts: { seen: { alarms: NO_SPACE }, hasTried: true },
      type: 'StoreWritable',
      status: 'False',
      message: /won too little: delete what fills it.*--quota-backend-bytes/,
    },
    {
      says: 'whom it waits for',
      facts: { seen: { alarms: NO_SPACE, members: [{ url: 'http://b', status: null }] }, hasTried: true },
      type: 'StoreWritable',
      status: 'False',
      message: /http:\/\/b gives no answer/,
    },
    {
      says: 'that it cannot know by itself',
      facts: { seen: { alarms: NO_SPACE, quotas: new Map() }, hasTried: true },
      type: 'StoreWritable',
      status: 'False',
      message: /etcdctl alarm disarm/,
    },
    {
      says: 'that nobody does it here',
      facts: { seen: { alarms: NO_SPACE }, acts: false, hasTried: true },
      type: 'StoreWritable',
      status: 'False',
      message: /ETCD_UPKEEP is off/,
    },
    {
      says: 'before it is full',
      facts: { seen: { quotas: new Map([['1', 12 * 1024 ** 2]]) } },
      type: 'StoreNearlyFull',
      status: 'True',
      message: /nearly reached its quota \(10Mi of 12Mi/,
    },
    {
      says: 'which member is damaged',
      facts: { seen: { alarms: [{ member: '7', kind: 'CORRUPT' }] } },
      type: 'StoreCorrupt',
      status: 'True',
      message: /differ.*: 7;/,
    },
  ];
  for (const { says, facts, type, status, message } of rows) {
    it(says, () => {
      const condition = look(facts).find((one) => one.type === type);
      expect(condition?.status).to.equal(status);
      expect(condition?.message).to.match(message);
    });
  }

  it('only transitions are told, and that all is well only after it was not', () => {
    const well = look({});
    expect(reasons([], well)).to.deep.equal([]);
    const full = look({ seen: { alarms: NO_SPACE } }, well);
    expect(reasons(well, full)).to.deep.equal(['StoreNoSpace']);
    expect(reasons([], full)).to.deep.equal(['StoreNoSpace']);
    expect(reasons(full, look({ seen: { alarms: NO_SPACE }, hasTried: true }, full))).to.deep.equal([]);
    expect(reasons(full, look({}, full))).to.deep.equal(['StoreHasSpace']);
  });
});
