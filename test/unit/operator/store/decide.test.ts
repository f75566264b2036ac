/** What is to be done about etcd itself, as a table of what its members say; and whole rounds, with members that waste and shrink. */
import { expect } from 'chai';
import {
  DEFRAGMENT_EVERY_MS,
  decideUpkeep,
  done,
  NO_MEMORY,
  noted,
  type SeenStore,
  type UpkeepLimits,
  type UpkeepMemory,
  type UpkeepStep,
} from '../../../../operator/store/decide.ts';

const MEBIBYTE = 1024 ** 2;
const LIMITS: UpkeepLimits = { acts: true, wasteRatio: 0.5, wasteBytesMin: 100 * MEBIBYTE, historyMs: 1_800_000 };
const NOW = 10_000_000;
const QUOTA = 1_000 * MEBIBYTE;

const member = (index: number, dbMebibytes: number, usedMebibytes: number, isLeader = false) => ({
  url: `http://member-${index}`,
  status: { id: String(index), isLeader, dbBytes: dbMebibytes * MEBIBYTE, usedBytes: usedMebibytes * MEBIBYTE },
});
const silent = (index: number) => ({ url: `http://member-${index}`, status: null });
const store = (change: Partial<SeenStore> = {}): SeenStore => ({
  members: [member(0, 10, 9.5, true), member(1, 10, 9.5), member(2, 10, 9.5)],
  isWhole: true,
  alarms: [],
  revision: '500',
  quotas: new Map(['0', '1', '2'].map((id) => [id, QUOTA])),
  ...change,
});
const memory = (change: Partial<UpkeepMemory> = {}): UpkeepMemory => ({ ...NO_MEMORY, ...change });
const wasteful = [member(0, 400, 100, true), member(1, 400, 100), member(2, 400, 100)];
const NO_SPACE = [{ member: '1', kind: 'NOSPACE' }];
const oldMark = { marks: [{ revision: '77', atMs: NOW - LIMITS.historyMs }] };

describe('operator: what is to be done about etcd', () => {
  type Row = { says: string; seen?: Partial<SeenStore>; memory?: Partial<UpkeepMemory>; limits?: Partial<UpkeepLimits>; step: object };
  const NONE = { kind: 'none' };
  const defragment = (index: number) => ({ kind: 'defragment', url: `http://member-${index}` });
  const rescued = { rescuedMs: NOW - 5_000, rescuedRevision: '500', progressMs: NOW - 5_000 };
  const rows: Row[] = [
    { says: 'nothing, where nobody wastes anything', step: NONE },
    { says: 'a follower that wastes too much goes first', seen: { members: wasteful }, step: defragment(1) },
    { says: 'nobody, while a member is silent', seen: { members: [...wasteful.slice(0, 2), silent(2)] }, step: NONE },
    { says: 'nobody, while a member is not among the endpoints', seen: { members: wasteful, isWhole: false }, step: NONE },
    {
      says: 'the leader, when no follower wastes',
      seen: { members: [member(0, 400, 100, true), member(1, 10, 9.5)] },
      step: defragment(0),
    },
    {
      says: 'nobody twice in an hour',
      seen: { members: wasteful },
      memory: { defragmentedMs: new Map([0, 1, 2].map((index) => [`http://member-${index}`, NOW - DEFRAGMENT_EVERY_MS + 1])) },
      step: NONE,
    },
    { says: 'little waste is not worth it', seen: { members: [member(0, 199, 100)] }, step: NONE },
    { says: 'half of a large file is', seen: { members: [member(0, 201, 100)] }, step: defragment(0) },
    { says: 'any win is, of a file that is nearly full', seen: { members: [member(0, 810, 700)] }, step: defragment(0) },
    { says: 'nothing, of an etcd that others look after', seen: { members: wasteful }, limits: { acts: false }, step: NONE },
    {
      says: 'nobody, while a member differs from the others',
      seen: { members: wasteful, alarms: [{ member: '1', kind: 'CORRUPT' }] },
      step: NONE,
    },
    { says: 'what is older than the history goes', memory: oldMark, step: { kind: 'compact', revision: '77', isRescue: false } },
    { says: 'also while a member is silent', seen: { members: [silent(0)] }, memory: oldMark, step: { kind: 'compact' } },
    { says: 'not again at once', memory: { ...oldMark, compactedMs: NOW - 1_000 }, step: NONE },
    { says: 'no history is old enough yet', memory: { marks: [{ revision: '77', atMs: NOW - LIMITS.historyMs + 1 }] }, step: NONE },
    { says: 'without space, all history goes', seen: { alarms: NO_SPACE }, step: { kind: 'compact', revision: '500', isRescue: true } },
    {
      says: 'then every member that can win anything',
      seen: { alarms: NO_SPACE, members: [member(0, 990, 800, true), member(1, 990, 800)] },
      memory: rescued,
      step: defragment(1),
    },
    {
      says: 'also if it was defragmented a minute before the alarm',
      seen: { alarms: NO_SPACE, members: [member(1, 990, 800)] },
      memory: { ...rescued, defragmentedMs: new Map([['http://member-1', NOW - 60_000]]) },
      step: defragment(1),
    },
    {
      says: 'but not while one is silent',
      seen: { alarms: NO_SPACE, members: [member(1, 990, 800), silent(0)] },
      memory: rescued,
      step: NONE,
    },
    { says: 'with space again the alarm goes', seen: { alarms: NO_SPACE }, memory: rescued, step: { kind: 'disarm', alarm: NO_SPACE[0] } },
    {
      says: 'not while any member has none',
      seen: { alarms: NO_SPACE, members: [member(0, 950, 949), member(1, 10, 9.5)] },
      memory: { ...rescued, defragmentedMs: new Map([['http://member-0', NOW - 1_000]]) },
      step: NONE,
    },
    {
      says: 'not where the quota is not known',
      seen: { alarms: NO_SPACE, quotas: new Map(), members: [member(1, 10, 9.5)] },
      memory: { ...rescued, defragmentedMs: new Map([['http://member-1', NOW - 1_000]]) },
      step: NONE,
    },
    {
      says: 'one that tells of nothing to win is tried once',
      seen: { alarms: NO_SPACE, members: [member(1, 990, 989)] },
      memory: rescued,
      step: defragment(1),
    },
    {
      says: 'and not in the next round again',
      seen: { alarms: NO_SPACE, members: [member(1, 990, 989)] },
      memory: { rescuedMs: NOW - 1_000, progressMs: NOW - 120_000, defragmentedMs: new Map([['http://member-1', NOW - 70_000]]) },
      step: NONE,
    },
    {
      says: 'but when something was deleted since',
      seen: { alarms: NO_SPACE, members: [member(1, 990, 989)] },
      memory: { rescuedMs: NOW - 1_000, progressMs: NOW - 1_000, defragmentedMs: new Map([['http://member-1', NOW - 70_000]]) },
      step: defragment(1),
    },
    { says: 'not that of a member that is not seen', seen: { alarms: [{ member: '9', kind: 'NOSPACE' }] }, memory: rescued, step: NONE },
    {
      says: 'what did not help is tried again',
      seen: { alarms: NO_SPACE },
      memory: { rescuedMs: NOW - 60_000 },
      step: { kind: 'compact', isRescue: true },
    },
  ];
  for (const { says, seen, memory: remembered, limits, step } of rows)
    it(says, () => expect(decideUpkeep(store(seen), memory(remembered), { ...LIMITS, ...limits }, NOW)).to.deep.include(step));

  it('two endpoints of one member are one member', () => {
    const twice = [member(1, 400, 100), { ...member(1, 400, 100), url: 'http://other' }];
    const first = decideUpkeep(store({ members: twice }), memory(), LIMITS, NOW);
    expect(first.kind).to.equal('defragment');
    expect(decideUpkeep(store({ members: twice }), done(first, memory(), NOW), LIMITS, NOW).kind).to.equal('none');
  });

  it('keeps the youngest mark that is old enough, and no more of those that are', () => {
    let remembered = memory();
    for (let minute = 0; minute <= 40; minute++)
      remembered = noted(store({ revision: String(minute) }), remembered, LIMITS, NOW + minute * 60_000);
    expect(remembered.marks[0]).to.deep.equal({ revision: '10', atMs: NOW + 600_000 });
    expect(remembered.marks).to.have.length(31);
  });

  /** Members that really shrink: what is done in which order until nothing is left to do. */
  function play(first: SeenStore, limits = LIMITS): UpkeepStep[] {
    let [seen, remembered, nowMs] = [first, memory(), NOW];
    const steps: UpkeepStep[] = [];
    for (let look = 0; look < 20; look++, nowMs += 10_000) {
      remembered = noted(seen, remembered, limits, nowMs);
      const step = decideUpkeep(seen, remembered, limits, nowMs);
      remembered = done(step, remembered, nowMs);
      if (step.kind === 'none') continue;
      steps.push(step);
      const members = seen.members.map((one) => {
        if (one.status === null) return one;
        const { status } = one;
        if (step.kind === 'compact') return { ...one, status: { ...status, usedBytes: Math.min(status.usedBytes, 100 * MEBIBYTE) } };
        return step.kind === 'defragment' && step.url === one.url ? { ...one, status: { ...status, dbBytes: status.usedBytes } } : one;
      });
      seen = { ...seen, members, alarms: step.kind === 'disarm' ? [] : seen.alarms };
    }
    return steps;
  }

  it('goes through all members once, the leader last, and then rests', () => {
    const steps = play(store({ members: wasteful }));
    expect(steps.map((step) => (step.kind === 'defragment' ? step.url.slice(-1) : step.kind))).to.deep.equal(['1', '2', '0']);
  });

  it('wins space for an etcd that has none, and only then takes the alarm away', () => {
    const members = [member(0, 1_000, 990, true), member(1, 1_000, 990), member(2, 1_000, 990)];
    const steps = play(store({ members, alarms: NO_SPACE }));
    expect(steps.map(({ kind }) => kind)).to.deep.equal(['compact', 'defragment', 'defragment', 'defragment', 'disarm']);
  });
});
