/** When a rolling update may end the next agent, as the one before it says. */
import { expect } from 'chai';
import { lackingOf, Wholeness } from '../../../../agent/control/wholeness.ts';
import { type VolumeConfig, withInSync } from '../../../../core/config.ts';
import type { ReplicaId } from '../../../../core/ids.ts';
import { silentLog } from '../../../../core/log.ts';
import { configWith, REPLICAS } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { VolumesBench } from '../../../support/volumesBench.ts';

const [first, second, third] = REPLICAS as [ReplicaId, ReplicaId, ReplicaId];
const NONE: ReadonlySet<ReplicaId> = new Set();
const WITHOUT_FIRST = withInSync(configWith(), 0, [second, third]);
const BEHIND = `replica ${first} of pgdata is not in sync again`;
const attached = (config: VolumeConfig): VolumeConfig => ({ ...config, attachment: { node: 'node-a', bootId: 'boot', epoch: 1 } });
const changed = (change: object): VolumeConfig => ({
  ...WITHOUT_FIRST,
  shards: WITHOUT_FIRST.shards.map((shard) => ({
    ...shard,
    members: shard.members.map((member) => (member.replica === first ? { ...member, ...change } : member)),
  })),
});
const neverInSync = ({ shards, ...config }: VolumeConfig): VolumeConfig => ({
  ...config,
  shards: shards.map(({ members, inSync }) => ({ members: members.map(({ leftAt: _, ...member }) => member), inSync })),
});

describe('what a node lacks of a volume', () => {
  const cases: [string, string[], string[]][] = [
    ['all are in sync', lackingOf(configWith(), 'node-a', true, NONE), []],
    ['its replica has left the in-sync set', lackingOf(WITHOUT_FIRST, 'node-a', true, NONE), [BEHIND]],
    ["another node's has", lackingOf(WITHOUT_FIRST, 'node-b', true, NONE), []],
    ['its replica failed, so another is made', lackingOf(WITHOUT_FIRST, 'node-a', true, new Set([first])), []],
    ['its replica is to leave', lackingOf(changed({ leaving: true }), 'node-a', true, NONE), []],
    ['its replica never was in sync', lackingOf(neverInSync(WITHOUT_FIRST), 'node-a', true, NONE), []],
    ['attached here and served here', lackingOf(attached(configWith()), 'node-a', true, NONE), []],
    [
      'attached here, served nowhere',
      lackingOf(attached(configWith()), 'node-a', false, NONE),
      ['pgdata is attached here and not served here'],
    ],
    ['attached elsewhere', lackingOf(attached(configWith()), 'node-b', false, NONE), []],
  ];
  for (const [what, found, expected] of cases) it(`${what}: ${expected.join() || 'nothing'}`, () => expect(found).to.deep.equal(expected));
});

describe('an agent that has started', () => {
  const waiting = (boundSeconds = 600) => {
    const clock = new ManualClock();
    const state = { lacking: [] as string[] };
    const parts = { clock, log: silentLog, boundSeconds, replicaTimeoutMs: () => 5_000, lacking: () => state.lacking };
    return { clock, state, wholeness: new Wholeness(parts) };
  };

  it('is whole when nothing has lacked for as long as a silent replica may be called in sync', () => {
    const { clock, wholeness } = waiting();
    expect(wholeness.reason()).to.match(/if it stays so/);
    clock.advance(5_900);
    expect(wholeness.reason()).to.match(/if it stays so/);
    clock.advance(100);
    expect(wholeness.reason()).to.equal(null);
  });

  it('counts anew when something lacks in between', () => {
    const { clock, state, wholeness } = waiting();
    wholeness.reason();
    clock.advance(4_000);
    state.lacking = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    expect(wholeness.reason()).to.equal('a; b; c; d; e; and 2 more');
    state.lacking = [];
    clock.advance(4_000);
    expect(wholeness.reason()).to.match(/if it stays so/);
    clock.advance(6_000);
    expect(wholeness.reason()).to.equal(null);
  });

  it('stays whole, whatever lacks later', () => {
    const { clock, state, wholeness } = waiting();
    wholeness.reason();
    clock.advance(6_000);
    wholeness.reason();
    state.lacking = ['something'];
    expect(wholeness.reason()).to.equal(null);
  });

  it('is waited for no longer than the bound, and not at all with none', () => {
    const { clock, state, wholeness } = waiting(60);
    state.lacking = ['something'];
    clock.advance(59_999);
    expect(wholeness.reason()).to.equal('something');
    clock.advance(1);
    expect(wholeness.reason()).to.equal(null);
    expect(waiting(0).wholeness.reason()).to.equal(null);
  });
});

describe('what all volumes of a node lack', () => {
  it('is not known before the first listing, then what their configs say', async () => {
    const node = new VolumesBench();
    node.write(WITHOUT_FIRST);
    node.store.viewsAreCurrent = false;
    expect(node.volumes.lacking(NONE)).to.deep.equal(['which volumes concern this node is not known yet']);
    node.store.viewsAreCurrent = true;
    await node.run();
    expect(node.volumes.lacking(NONE)).to.deep.equal([BEHIND]);
    expect(node.volumes.lacking(new Set([first]))).to.deep.equal([]);
  });
});
