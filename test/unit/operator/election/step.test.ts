import { expect } from 'chai';
import fc from 'fast-check';
import {
  type ElectionAction,
  type ElectionEvent,
  type ElectionState,
  holdsLease,
  initialElection,
  type LeaseRecord,
  mayLead,
  releaseOf,
  step,
} from '../../../../operator/election/step.ts';

const TIMES = { durationMs: 6_000, renewMs: 1_500, giveUpMs: 4_000 };
const NOW = 100_000;
const record = (change: Partial<LeaseRecord> = {}): LeaseRecord => ({
  holder: 'other',
  transitions: 4,
  durationMs: 6_000,
  resourceVersion: '10',
  ...change,
});
const follower = (change: Partial<ElectionState> = {}): ElectionState => ({ ...initialElection('me'), ...change });
const leader = (change: Partial<ElectionState> = {}): ElectionState => ({
  ...initialElection('me'),
  role: 'leader',
  seen: { record: record({ holder: 'me', resourceVersion: '11' }), sinceMs: NOW - 1_000 },
  heldUntilMs: NOW + 3_000,
  ...change,
});
const caretaker = (change: Partial<ElectionState> = {}): ElectionState =>
  leader({ role: 'caretaker', heldUntilMs: 0, isUnanswered: true, heardMs: NOW - 60_000, ...change });
const sawOther = (agoMs: number): ElectionState => follower({ seen: { record: record(), sinceMs: NOW - agoMs } });

describe('operator: one step of the election', () => {
  type Row = { says: string; state: ElectionState; event: ElectionEvent; action: object; leads: boolean };
  const mine = { kind: 'write', holder: 'me', durationMs: 6_000 };
  const rows: Row[] = [
    { says: 'begins by looking', state: follower(), event: { kind: 'woke' }, action: { kind: 'read' }, leads: false },
    {
      says: 'makes the Lease when there is none',
      state: follower(),
      event: { kind: 'read', record: null },
      action: { ...mine, transitions: 1, basedOn: null },
      leads: false,
    },
    {
      says: 'waits while another holds it',
      state: follower(),
      event: { kind: 'read', record: record() },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'waits as long as the last renewal it saw is not as old as the Lease lasts',
      state: sawOther(6_000),
      event: { kind: 'read', record: record() },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'takes it when nothing was written for longer than it lasts',
      state: sawOther(6_001),
      event: { kind: 'read', record: record() },
      action: { ...mine, transitions: 5, basedOn: '10' },
      leads: false,
    },
    {
      says: 'counts anew from every writing that it sees',
      state: sawOther(60_000),
      event: { kind: 'read', record: record({ resourceVersion: '12' }) },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'takes a released one at once',
      state: follower(),
      event: { kind: 'read', record: record({ holder: '' }) },
      action: { ...mine, transitions: 5, basedOn: '10' },
      leads: false,
    },
    {
      says: 'believes what stands there after a write without an answer',
      state: follower(),
      event: { kind: 'read', record: record({ holder: 'me' }) },
      action: { ...mine, transitions: 4, basedOn: '10' },
      leads: false,
    },
    {
      says: 'leads when its writing was taken, from when it asked',
      state: follower(),
      event: { kind: 'written', record: record({ holder: 'me' }), askedMs: NOW - 500 },
      action: { kind: 'wait', forMs: 1_500 },
      leads: true,
    },
    {
      says: 'renews before its time is over, where a slow answer left little of it',
      state: caretaker(),
      event: { kind: 'written', record: record({ holder: 'me' }), askedMs: NOW - 3_000 },
      action: { kind: 'wait', forMs: 500 },
      leads: true,
    },
    {
      says: 'does not lead when the answer came too late',
      state: follower(),
      event: { kind: 'written', record: record({ holder: 'me' }), askedMs: NOW - 4_000 },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'renews as the leader',
      state: leader(),
      event: { kind: 'woke' },
      action: { ...mine, transitions: 4, basedOn: '11' },
      leads: true,
    },
    {
      says: 'writes the generation that was settled with etcd, where that is higher',
      state: leader({ transitionsMin: 9 }),
      event: { kind: 'woke' },
      action: { ...mine, transitions: 9, basedOn: '11' },
      leads: true,
    },
    {
      says: 'goes on leading for a while without an answer',
      state: leader(),
      event: { kind: 'unanswered' },
      action: { kind: 'wait', forMs: 375 },
      leads: true,
    },
    {
      says: 'leads on as a caretaker when its time is over without an answer',
      state: leader({ heldUntilMs: NOW }),
      event: { kind: 'unanswered' },
      action: { kind: 'wait', forMs: 375 },
      leads: true,
    },
    {
      says: 'looks before it renews, after a call without an answer: that may have landed',
      state: leader({ isUnanswered: true }),
      event: { kind: 'woke' },
      action: { kind: 'read' },
      leads: true,
    },
    {
      says: 'looks, as a caretaker',
      state: caretaker(),
      event: { kind: 'woke' },
      action: { kind: 'read' },
      leads: true,
    },
    {
      says: 'renews, as a caretaker, what it finds to be still its own',
      state: caretaker(),
      event: { kind: 'read', record: record({ holder: 'me', resourceVersion: '11' }) },
      action: { ...mine, transitions: 4, basedOn: '11' },
      leads: true,
    },
    {
      says: 'is no caretaker any more when it reads another name',
      state: caretaker(),
      event: { kind: 'read', record: record({ resourceVersion: '12' }) },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'is no caretaker any more when the Lease was released meanwhile, and asks for it as anybody would',
      state: caretaker(),
      event: { kind: 'read', record: record({ holder: '', resourceVersion: '12' }) },
      action: { ...mine, transitions: 5, basedOn: '12' },
      leads: false,
    },
    {
      says: 'is no caretaker any more when the Lease was deleted, and makes it as anybody would',
      state: caretaker(),
      event: { kind: 'read', record: null },
      action: { ...mine, transitions: 1, basedOn: null },
      leads: false,
    },
    {
      says: 'looks again, as a caretaker whose writing was refused: its own earlier one may have landed',
      state: caretaker(),
      event: { kind: 'conflict' },
      action: { kind: 'read' },
      leads: true,
    },
    {
      says: 'stays a caretaker when its renewal was taken, and the answer took longer than the time it grants',
      state: caretaker(),
      event: { kind: 'written', record: record({ holder: 'me' }), askedMs: NOW - 4_500 },
      action: { kind: 'wait', forMs: 1_500 },
      leads: true,
    },
    {
      says: 'gives up being a caretaker when it cannot do the work',
      state: caretaker(),
      event: { kind: 'woke', isUnfit: true },
      action: { kind: 'write', holder: '', transitions: 4, durationMs: 1_000, basedOn: '11' },
      leads: false,
    },
    {
      says: 'stops leading when it stood still until its time was over, though the API server answered the last time',
      state: leader({ heldUntilMs: NOW }),
      event: { kind: 'written', record: record({ holder: 'me' }), askedMs: NOW - 9_000 },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'does not hold it against the holder that the API server answered nobody',
      state: follower({ seen: { record: record(), sinceMs: NOW - 60_000 }, heardMs: NOW - 50_000, isUnanswered: true }),
      event: { kind: 'read', record: record() },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'counts a silence of the API server that was shorter than what a holder may be silent',
      state: follower({ seen: { record: record(), sinceMs: NOW - 7_000 }, heardMs: NOW - 4_000, isUnanswered: true }),
      event: { kind: 'read', record: record() },
      action: { ...mine, transitions: 5, basedOn: '10' },
      leads: false,
    },
    {
      says: 'looks, and does not renew, after its time is over',
      state: leader({ heldUntilMs: NOW }),
      event: { kind: 'woke' },
      action: { kind: 'read' },
      leads: false,
    },
    {
      says: 'stops leading at once when somebody else wrote',
      state: leader(),
      event: { kind: 'conflict' },
      action: { kind: 'read' },
      leads: false,
    },
    {
      says: 'stops leading at once when it reads another name',
      state: leader(),
      event: { kind: 'read', record: record({ resourceVersion: '12' }) },
      action: { kind: 'wait', forMs: 1_500 },
      leads: false,
    },
    {
      says: 'begins again when the Lease was deleted, above every generation it knew',
      state: leader({ transitionsMin: 9 }),
      event: { kind: 'read', record: null },
      action: { ...mine, transitions: 9, basedOn: null },
      leads: false,
    },
  ];
  for (const { says, state, event, action, leads } of rows) {
    it(says, () => {
      const next = step(state, event, NOW, TIMES);
      expect(next.action).to.deep.equal(action);
      expect(mayLead(next.state, NOW)).to.equal(leads);
    });
  }

  it('holds the Lease again, as a caretaker, when its renewal was taken', () => {
    const event: ElectionEvent = { kind: 'written', record: record({ holder: 'me', resourceVersion: '12' }), askedMs: NOW - 500 };
    const { state } = step(caretaker(), event, NOW, TIMES);
    expect([state.role, holdsLease(state, NOW), state.heldUntilMs]).to.deep.equal(['leader', true, NOW + 3_500]);
  });

  it('holds no Lease as a caretaker', () => {
    const { state } = step(leader({ heldUntilMs: NOW }), { kind: 'unanswered' }, NOW, TIMES);
    expect([mayLead(state, NOW), holdsLease(state, NOW)]).to.deep.equal([true, false]);
  });

  it('releases only what it holds', () => {
    expect(releaseOf(leader())).to.deep.equal({ kind: 'write', holder: '', transitions: 4, durationMs: 1_000, basedOn: '11' });
    expect(releaseOf(sawOther(0))).to.equal(null);
  });

  it('never makes a leader of anybody but by a renewal, nor lets one believe in the Lease for longer (every state, every event)', () => {
    const states = [
      follower(),
      sawOther(0),
      sawOther(9_000),
      leader(),
      leader({ heldUntilMs: NOW }),
      leader({ heldUntilMs: NOW - 1 }),
      caretaker(),
    ];
    const records = [null, record(), record({ holder: 'me' }), record({ holder: '' })];
    const events: ElectionEvent[] = [
      { kind: 'woke' },
      { kind: 'conflict' },
      { kind: 'unanswered' },
      ...records.map((one): ElectionEvent => ({ kind: 'read', record: one })),
    ];
    for (const state of states) {
      for (const event of events) {
        const next = step(state, event, NOW, TIMES).state;
        if (mayLead(next, NOW)) expect(state.role, `${event.kind} made a leader`).not.to.equal('follower');
        expect(next.heldUntilMs).to.be.at.most(state.heldUntilMs);
      }
    }
  });
});

/** One Lease object with Kubernetes' compare of resourceVersions, and processes whose calls take as long as a script says and may lose their answer. */
class Whiteboard {
  record: LeaseRecord | null = null;
  #version = 0;

  write(action: { holder: string; transitions: number; durationMs: number; basedOn: string | null }): LeaseRecord | 'conflict' {
    if ((this.record?.resourceVersion ?? null) !== action.basedOn) return 'conflict';
    this.#version++;
    this.record = {
      holder: action.holder,
      transitions: action.transitions,
      durationMs: action.durationMs,
      resourceVersion: String(this.#version),
    };
    return this.record;
  }
}

type Process = { state: ElectionState; event: ElectionEvent; atMs: number };
type Fate = { thereMs: number; backMs: number; isLost: boolean; standsStillMs: number };

/** What a process hears of its call: nothing, or what the board said at some moment within the call. */
function answerOf(board: Whiteboard, action: ElectionAction, { isLost, thereMs }: Fate, askedMs: number): ElectionEvent {
  if (action.kind === 'wait') return { kind: 'woke' };
  const isLostOnTheWay = isLost && thereMs > 700;
  if (isLostOnTheWay) return { kind: 'unanswered' };
  if (action.kind === 'read') return { kind: 'read', record: board.record };
  const written = board.write(action);
  if (isLost) return { kind: 'unanswered' };
  return written === 'conflict' ? { kind: 'conflict' } : { kind: 'written', record: written, askedMs };
}

describe('operator: several electors', () => {
  /** What happens to each call: how long it takes to arrive and to answer, whether the answer comes, and whether the process stands still meanwhile. */
  const fate: fc.Arbitrary<Fate> = fc.record({
    thereMs: fc.integer({ min: 0, max: 1_500 }),
    backMs: fc.integer({ min: 0, max: 1_500 }),
    isLost: fc.boolean(),
    standsStillMs: fc.constantFrom(0, 0, 0, 0, 9_000),
  });

  function expectAlone(process: Process, processes: readonly Process[]): void {
    if (!holdsLease(process.state, process.atMs)) return;
    const others = processes.filter((other) => other !== process && holdsLease(other.state, process.atMs));
    expect(others.map(({ state: { identity } }) => identity)).to.deep.equal([], `two hold the Lease at ${process.atMs}`);
  }

  function run(fates: readonly Fate[]): void {
    const board = new Whiteboard();
    const processes: Process[] = ['p', 'q', 'r'].map((name) => ({ state: initialElection(name), event: { kind: 'woke' }, atMs: 0 }));
    const terms: number[] = [];
    for (const fate of fates) {
      const process = processes.reduce((first, other) => (other.atMs < first.atMs ? other : first));
      const before = process.state.role;
      const { state, action } = step(process.state, process.event, process.atMs, TIMES);
      process.state = state;
      expectAlone(process, processes);
      if (before === 'follower' && state.role === 'leader') terms.push(state.seen?.record.transitions ?? 0);
      process.event = answerOf(board, action, fate, process.atMs);
      process.atMs += fate.standsStillMs + (action.kind === 'wait' ? action.forMs : fate.thereMs + fate.backMs);
    }
    expect(terms).to.deep.equal([...terms].sort((a, b) => a - b));
  }

  it('never two hold the Lease at a time, and transitions never fall, whatever becomes of their calls', () => {
    fc.assert(fc.property(fc.array(fate, { minLength: 20, maxLength: 300 }), run), { numRuns: 1_000 });
  });

  it('elects one when nothing goes wrong', () => {
    const board = new Whiteboard();
    let process: { state: ElectionState; event: ElectionEvent } = { state: initialElection('p'), event: { kind: 'woke' } };
    for (let nowMs = 0; nowMs < 100; nowMs += 10) {
      const { state, action } = step(process.state, process.event, nowMs, TIMES);
      if (action.kind === 'wait') return expect(mayLead(state, nowMs)).to.equal(true);
      const written = action.kind === 'write' ? board.write(action) : null;
      process = {
        state,
        event:
          written === null || written === 'conflict'
            ? { kind: 'read', record: board.record }
            : { kind: 'written', record: written, askedMs: nowMs },
      };
    }
    expect.fail('nobody leads');
  });
});
