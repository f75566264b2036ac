import { expect } from 'chai';
import type { VolumeConfig } from '../../../../core/config.ts';
import { emptyMemory } from '../../../../operator/observe/memory.ts';
import type { ObservedVolume } from '../../../../operator/observe/observed.ts';
import type { Decision, World } from '../../../../operator/volume/decision.ts';
import {
  config,
  instance,
  KEYS,
  machine,
  observedTask,
  observedVolume,
  UID,
  volumeObject,
  without,
  world,
} from '../../../support/operator/builders.ts';
import { attached, decide, deleted, kinds, nextConfig, primary, put } from '../../../support/operator/decisions.ts';

describe('operator: deciding who is the primary', () => {
  type Row = {
    says: string;
    attachTo?: string;
    before: VolumeConfig['primary'];
    alive?: string;
    stopping?: string;
    state: Decision['state'];
    after?: VolumeConfig['primary'];
    epoch?: number;
    inSync?: string;
  };
  const SAME = 1;
  const NEXT = 2;
  const rows: Row[] = [
    { says: 'rests when nobody is to serve it', before: null, state: 'detached' },
    { says: 'promotes where it is to be attached', attachTo: 'a', before: null, state: 'attaching', after: primary('a'), epoch: NEXT },
    { says: 'promotes a node without a replica too', attachTo: 'e', before: null, state: 'attaching', after: primary('e'), epoch: NEXT },
    { says: 'waits for a machine that is away', attachTo: 'a', before: null, alive: 'bcde', state: 'unattachable' },
    { says: 'rests while the right one serves', attachTo: 'a', before: primary('a'), state: 'serving' },
    {
      says: 'asks another that lives to let go',
      attachTo: 'b',
      before: primary('a'),
      state: 'releasing',
      after: primary('a', 'release'),
      epoch: SAME,
    },
    {
      says: 'asks it also when the next is away',
      attachTo: 'b',
      before: primary('a'),
      alive: 'acde',
      state: 'releasing',
      after: primary('a', 'release'),
      epoch: SAME,
    },
    { says: 'waits until it has let go', attachTo: 'b', before: primary('a', 'release'), state: 'releasing' },
    { says: 'waits for it even when it is wanted back', attachTo: 'a', before: primary('a', 'release'), state: 'releasing' },
    {
      says: 'fails over at once when the primary is gone',
      attachTo: 'b',
      before: primary('a'),
      alive: 'bcde',
      state: 'attaching',
      after: primary('b'),
      epoch: NEXT,
    },
    {
      says: 'fails over when it goes while letting go',
      attachTo: 'b',
      before: primary('a', 'release'),
      alive: 'bcde',
      state: 'attaching',
      after: primary('b'),
      epoch: NEXT,
    },
    {
      says: 'promotes an agent anew that was started again',
      attachTo: 'a',
      before: primary('a', 'serve', 'old'),
      state: 'attaching',
      after: primary('a'),
      epoch: NEXT,
    },
    { says: 'does not give it back to an agent that is stopping', attachTo: 'a', before: null, stopping: 'a', state: 'unattachable' },
    { says: 'lets one that is stopping let go by itself', attachTo: 'a', before: primary('a'), stopping: 'a', state: 'serving' },
    {
      says: 'asks one that is stopping to let go where another is next',
      attachTo: 'b',
      before: primary('a'),
      stopping: 'a',
      state: 'releasing',
      after: primary('a', 'release'),
      epoch: SAME,
    },
    {
      says: 'fences one that is gone while the next is stopping',
      attachTo: 'b',
      before: primary('a'),
      alive: 'bcde',
      stopping: 'b',
      state: 'fencing',
      after: null,
      epoch: NEXT,
    },
    {
      says: 'lets another finish than one that is stopping',
      before: primary('a', 'background'),
      alive: 'bcde',
      stopping: 'b',
      state: 'settling',
      after: primary('c', 'background'),
      epoch: NEXT,
    },
    {
      says: 'fences a primary that is gone while the node is away',
      attachTo: 'a',
      before: primary('a'),
      alive: 'bcde',
      state: 'fencing',
      after: null,
      epoch: NEXT,
    },
    {
      says: 'fences it also when another away is wanted',
      attachTo: 'b',
      before: primary('a'),
      alive: 'cde',
      state: 'fencing',
      after: null,
      epoch: NEXT,
    },
    {
      says: 'closes the socket when nobody is to serve it',
      before: primary('a'),
      state: 'releasing',
      after: primary('a', 'background'),
      epoch: SAME,
    },
    { says: 'lets it finish what is left', before: primary('a', 'background'), state: 'settling' },
    {
      says: 'opens the socket where it finishes',
      attachTo: 'a',
      before: primary('a', 'background'),
      state: 'attaching',
      after: primary('a'),
      epoch: SAME,
    },
    {
      says: 'moves it away from where it finishes',
      attachTo: 'b',
      before: primary('a', 'background'),
      state: 'releasing',
      after: primary('a', 'release'),
      epoch: SAME,
    },
    {
      says: 'lets another finish when a detached primary is gone',
      before: primary('a', 'background'),
      alive: 'bcde',
      state: 'settling',
      after: primary('b', 'background'),
      epoch: NEXT,
    },
    {
      says: 'fences it when none in sync is left that could',
      before: primary('a', 'background'),
      alive: 'cde',
      inSync: 'ab',
      state: 'fencing',
      after: null,
      epoch: NEXT,
    },
  ];
  for (const { says, attachTo, before, alive = 'abcde', stopping = '', state, after, epoch, inSync = 'abc' } of rows) {
    it(says, () => {
      const object = attachTo === undefined ? volumeObject() : attached(attachTo);
      const machines = [...alive].map((letter) => machine(letter, stopping.includes(letter) ? { stopping: true } : {}));
      const decision = decide(observedVolume({ object, config: config({ primary: before }, 'abc', inSync) }), world({ machines }));
      expect(decision.state).to.equal(state);
      if (after === undefined) expect(decision.actions).to.deep.equal([]);
      else {
        const attachment = after?.mode === 'serve' ? { attachment: { node: after.node, bootId: 'boot', epoch } } : {};
        expect(nextConfig(decision)).to.deep.equal({ ...config({}, 'abc', inSync), version: 6, epoch, primary: after, ...attachment });
      }
    });
  }

  describe('and whose clients may be there', () => {
    const OLD = { node: 'node-a', bootId: 'boot', epoch: 1 };
    const next = (before: Partial<VolumeConfig>, attachTo?: string) => {
      const object = attachTo === undefined ? volumeObject() : attached(attachTo);
      return nextConfig(decide(observedVolume({ object, config: config({ epoch: 7, ...before }) }), world({})))?.attachment;
    };

    it('keeps the attachment over promotions while its node does not restart', () => {
      expect(next({ attachment: OLD, primary: null }, 'a')).to.deep.equal(OLD);
      expect(next({ attachment: OLD, primary: primary('a', 'serve', 'old') }, 'a')).to.deep.equal(OLD);
    });

    it('makes it anew when its clients went down with their machine', () => {
      expect(next({ attachment: { ...OLD, bootId: 'boot before' }, primary: null }, 'a')).to.deep.equal({ ...OLD, epoch: 8 });
    });

    it('makes it anew on another node', () => {
      expect(next({ attachment: OLD, primary: null }, 'b')).to.deep.equal({ node: 'node-b', bootId: 'boot', epoch: 8 });
    });

    it('ends it when the volume is detached, and makes it anew afterwards, in the same epoch too', () => {
      expect(next({ attachment: OLD, primary: primary('a') })).to.equal(undefined);
      expect(next({ primary: primary('a', 'background') }, 'a')).to.deep.equal({ ...OLD, epoch: 7 });
    });
  });

  it('writes the pointer of a primary without a replica, and takes it away afterwards', () => {
    const promoted = decide(observedVolume({ object: attached('e') }));
    expect(put(promoted, KEYS.pointer('node-e', UID))).to.equal(6);
    const moved = decide(
      observedVolume({ object: attached('a'), config: config({ primary: primary('e') }) }),
      world({ machines: without('e') }),
    );
    expect(deleted(moved)).to.deep.equal([KEYS.pointer('node-e', UID), KEYS.bell('node-e', UID)]);
  });

  it('tells people of a take-over', () => {
    const decision = decide(
      observedVolume({ object: attached('b'), config: config({ primary: primary('a') }) }),
      world({ machines: without('a') }),
    );
    expect(decision.actions.at(-1)).to.deep.include({ kind: 'tell' });
    expect(kinds(decide(observedVolume({ object: attached('b') })))).to.deep.equal(['commit']);
  });
});

describe('operator: deciding about a detached volume with work left', () => {
  it('promotes without a socket where a replica is in sync', () => {
    const decision = decide(observedVolume({ config: config({}, 'abc', 'bc') }));
    expect([decision.state, nextConfig(decision).primary, nextConfig(decision).epoch]).to.deep.equal([
      'settling',
      primary('b', 'background'),
      2,
    ]);
    expect(kinds(decision)).to.deep.equal(['commit', 'noteSetback']);
  });

  const idle: [says: string, volume: ObservedVolume, around?: World][] = [
    [
      'while the machine of the one out of sync is away',
      observedVolume({ config: config({}, 'abc', 'bc') }),
      world({ machines: without('a') }),
    ],
    ['while it is still being made', observedVolume({ config: config({}, 'abc', 'bc'), tasks: [observedTask('create', 'a', 'filed')] })],
    ['while nobody in sync is there', observedVolume({ config: config({}, 'abc', 'bc') }), world({ machines: without('bc') })],
    [
      'while it is to be attached to a machine that is away',
      observedVolume({ object: attached('e'), config: config({}, 'abc', 'bc') }),
      world({ machines: without('e') }),
    ],
  ];
  for (const [says, volume, around] of idle) {
    it(`does nothing ${says}`, () => expect(decide(volume, around).actions).to.deep.equal([]));
  }

  it('tries the same again only after a while, which grows', () => {
    const volume = observedVolume({ config: config({}, 'abc', 'bc') });
    const first = decide(volume).actions.find((action) => action.kind === 'noteSetback');
    if (first?.kind !== 'noteSetback') throw new Error('no setback was noted');
    const at = (count: number, agoMs: number) =>
      world({
        memory: { ...emptyMemory, setbacks: new Map([[first.what, { count, lastMs: 1_000_000 - agoMs, signature: first.signature }]]) },
      });
    expect(decide(volume, at(1, 4_999)).actions).to.deep.equal([]);
    expect(kinds(decide(volume, at(1, 5_000)))).to.include('commit');
    expect(decide(volume, at(3, 19_999)).actions).to.deep.equal([]);
    expect(kinds(decide(volume, at(3, 20_000)))).to.include('commit');
  });

  it('tries at once when something changed: an agent was started again', () => {
    const volume = observedVolume({ config: config({}, 'abc', 'bc') });
    const first = decide(volume).actions.find((action) => action.kind === 'noteSetback');
    if (first?.kind !== 'noteSetback') throw new Error('no setback was noted');
    const memory = { ...emptyMemory, setbacks: new Map([[first.what, { count: 5, lastMs: 999_999, signature: first.signature }]]) };
    const machines = [...without('a'), machine('a', { instance: instance('new') })];
    expect(kinds(decide(volume, world({ memory, machines })))).to.include('commit');
  });
});
