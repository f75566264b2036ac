import { expect } from 'chai';
import { deleteTaskId } from '../../../../core/keys.ts';
import { emptyMemory } from '../../../../operator/observe/memory.ts';
import type { ObservedVolume } from '../../../../operator/observe/observed.ts';
import type { World } from '../../../../operator/volume/decision.ts';
import { replacementsUnderWay } from '../../../../operator/volume/replace.ts';
import {
  config,
  KEYS,
  machine,
  member,
  observedTask,
  observedVolume,
  placementNode,
  pool,
  replica,
  UID,
  volumeObject,
  without,
  world,
} from '../../../support/operator/builders.ts';
import {
  attached,
  decide,
  deleted,
  filedTasks,
  fresh,
  kinds,
  membersOf,
  nextConfig,
  primary,
} from '../../../support/operator/decisions.ts';

describe('operator: deciding which replicas there are', () => {
  const failing = (letter: string, pools = [pool()]) => [
    ...without(letter),
    machine(letter, { pools, failedReplicas: [{ volume: UID, replica: replica(letter), reason: 'the data file is short' }] }),
  ];
  const quarantined = [pool({ state: 'quarantined', reason: 'EIO' })];

  it('marks a failed replica as leaving and makes another, in one transaction', () => {
    const decision = decide(observedVolume({}), world({ machines: failing('b', quarantined) }));
    expect(decision.state).to.equal('replacing');
    expect(membersOf(decision).slice(0, 3)).to.deep.equal(['node-a', 'node-b leaving', 'node-c']);
    expect(nextConfig(decision).shards[0]?.inSync).to.deep.equal([...'abc'].map(replica));
    expect(filedTasks(decision).map(({ spec }) => spec.kind)).to.deep.equal(['create-replica']);
    expect(kinds(decision)).to.deep.equal(['commit', 'noteSetback', 'tell']);
  });

  it('makes the other on the same node when there is no other node and the pool is sound', () => {
    const machines = failing('b').filter(({ node }) => node <= 'node-c');
    expect(membersOf(decide(observedVolume({}), world({ machines })))).to.deep.equal(['node-a', 'node-b leaving', 'node-c', 'node-b']);
  });

  it('says why where nothing can be made, and leaves the member', () => {
    const machines = failing('b', quarantined).filter(({ node }) => node <= 'node-c');
    const decision = decide(observedVolume({}), world({ machines }));
    expect([decision.actions, decision.reason]).to.deep.equal([
      [],
      'the replica on node-b is to be replaced (the data file is short), but no node can hold another',
    ]);
    expect(decision.unschedulable.map(({ node }) => node)).to.deep.equal(['node-a', 'node-b', 'node-c']);
  });

  it('does nothing when every replica in sync has failed: people decide', () => {
    const decision = decide(
      observedVolume({ config: config({}, 'ab', 'a'), object: volumeObject({ replicas: 2 }) }),
      world({ machines: failing('a') }),
    );
    expect([decision.state, kinds(decision).includes('commit')]).to.deep.equal(['lost', false]);
  });

  describe('on a node that stays away', () => {
    const NOW_MS = 1_000_000;
    const gone = (letters: string, agoMs: number) => ({
      ...emptyMemory,
      machineGoneSinceMs: new Map([...letters].map((letter) => [`node-${letter}`, NOW_MS - agoMs])),
    });
    const away = (letters: string, agoMs = 600_000, change: Partial<World> = {}) => {
      const machines = new Map(without(letters).map((state) => [state.node, state]));
      const nodes = [...'abcde'].map((letter) => placementNode(letter, letters.includes(letter) ? null : {}));
      return { ...world({ machines: [...machines.values()], memory: gone(letters, agoMs) }), nodes, ...change };
    };

    it('is replaced after ten minutes', () => {
      expect(decide(observedVolume({}), away('b', 599_999)).actions).to.deep.equal([]);
      const decision = decide(observedVolume({}), away('b'));
      expect(membersOf(decision).slice(0, 3)).to.deep.equal(['node-a', 'node-b leaving', 'node-c']);
      expect(kinds(decision)).to.deep.equal(['commit', 'noteSetback', 'tell']);
    });

    it('is not replaced where nobody wants that', () => {
      expect(decide(observedVolume({}), away('b', 6_000_000, { replaceAfterMs: 0 })).actions).to.deep.equal([]);
    });

    it('is not replaced in maintenance', () => {
      const around = away('b');
      const nodes = around.nodes.map((node) => (node.node === 'node-b' ? placementNode('b', null, { maintenance: true }) : node));
      expect(decide(observedVolume({}), { ...around, nodes }).actions).to.deep.equal([]);
    });

    it('is not replaced while more than a third of the nodes are away', () => {
      const decision = decide(observedVolume({}), away('be'));
      expect([decision.actions, decision.reason]).to.deep.equal([
        [],
        'node-b: its agent is not heard of for more than 600 s; nothing is replaced while more than a third of the nodes are away',
      ]);
    });

    it('is replaced a few at a time', () => {
      const replacements = { left: 1 };
      expect(decide(observedVolume({}), away('b', 600_000, { replacements })).actions).to.not.deep.equal([]);
      expect(decide(observedVolume({}), away('b', 600_000, { replacements })).actions).to.deep.equal([]);
      expect(replacementsUnderWay([config(), config({}, 'abc', 'ab'), fresh()])).to.equal(1);
    });

    it('is not replaced when nothing else holds everything', () => {
      expect(decide(observedVolume({ config: config({}, 'abc', 'b') }), away('b')).actions).to.deep.equal([]);
    });
  });

  it('removes one that has left the in-sync set, once the new one is made', () => {
    const members = [member('a'), member('b', { leaving: true, leftAt: 5 }), member('c'), member('d')];
    const left = config({ primary: primary('a'), shards: [{ members, inSync: [...'ac'].map(replica) }] });
    const object = attached('a');
    expect(
      decide(observedVolume({ object, config: left, tasks: [observedTask('create', 'd', 'running', { claimed: true })] })).actions,
    ).to.deep.equal([]);
    const decision = decide(observedVolume({ object, config: left, tasks: [observedTask('create', 'd', 'done')] }));
    expect(membersOf(decision)).to.deep.equal(['node-a', 'node-c', 'node-d']);
    expect(filedTasks(decision).map(({ id }) => id)).to.deep.equal([deleteTaskId(replica('b'))]);
    expect(deleted(decision)).to.deep.equal([KEYS.pointer('node-b', UID), KEYS.bell('node-b', UID)]);
  });

  it('never removes one that is still in sync: the primary drops it', () => {
    const members = [member('a'), member('b', { leaving: true }), member('c'), member('d')];
    const volume = observedVolume({
      object: attached('a'),
      config: config({ primary: primary('a'), shards: [{ members, inSync: [...'abcd'].map(replica) }] }),
    });
    expect(decide(volume).actions).to.deep.equal([]);
  });

  it('gives a detached volume a primary to drop one that is leaving', () => {
    const members = [member('a'), member('b', { leaving: true }), member('c'), member('d')];
    const volume = observedVolume({ config: config({ shards: [{ members, inSync: [...'abcd'].map(replica) }] }) });
    expect(nextConfig(decide(volume)).primary).to.deep.equal(primary('a', 'background'));
  });

  it('adds one when more are asked for', () => {
    const decision = decide(observedVolume({ object: volumeObject({ replicas: 4 }) }));
    expect(membersOf(decision).length).to.equal(4);
    expect(filedTasks(decision).length).to.equal(1);
    expect(nextConfig(decision).minInSync).to.equal(2);
  });

  it('never has so many members, leaving ones included, that a transaction could not hold them', () => {
    const leaving = Array.from({ length: 16 }, (_, index) => member(`l${index}`, { leaving: true }));
    const crowded = config({
      primary: primary('a'),
      shards: [
        { members: [member('a'), member('b'), ...leaving], inSync: [...'ab', ...leaving.map((_, index) => `l${index}`)].map(replica) },
      ],
    });
    expect(decide(observedVolume({ object: attached('a'), config: crowded })).actions).to.deep.equal([]);
    const machines = [...without('b'), machine('b', { failedReplicas: [{ volume: UID, replica: replica('b'), reason: 'EIO' }] })];
    expect(decide(observedVolume({ object: attached('a', { replicas: 2 }), config: crowded }), world({ machines })).actions).to.deep.equal(
      [],
    );
  });

  it('raises minInSync only when that many are in sync', () => {
    const object = attached('a', { replicas: 5 });
    const at = (inSync: string) => config({ primary: primary('a') }, 'abcde', inSync);
    expect(decide(observedVolume({ object, config: at('ab') })).actions).to.deep.equal([]);
    expect(nextConfig(decide(observedVolume({ object, config: at('abc') }))).minInSync).to.equal(3);
  });

  it('marks the surplus as leaving when fewer are asked for, and lowers minInSync with it', () => {
    const decision = decide(observedVolume({ object: attached('c', { replicas: 1 }), config: config({ primary: primary('c') }) }));
    expect(membersOf(decision)).to.deep.equal(['node-a leaving', 'node-b leaving', 'node-c']);
    expect(nextConfig(decision).minInSync).to.equal(1);
  });

  const left = config({ shards: [{ members: [member('a', { leftAt: 4 }), member('b'), member('c')], inSync: [...'bc'].map(replica) }] });
  const surplus: [says: string, volume: ObservedVolume, around: World, leaves: string][] = [
    ['out of sync', observedVolume({ object: volumeObject({ replicas: 2 }), config: left }), world(), 'node-a'],
    ['on a machine that is away', observedVolume({ object: volumeObject({ replicas: 2 }) }), world({ machines: without('b') }), 'node-b'],
    ['that is the youngest, all else equal', observedVolume({ object: volumeObject({ replicas: 2 }) }), world(), 'node-c'],
  ];
  for (const [says, volume, around, leaves] of surplus) {
    it(`prefers to let the one go ${says}`, () => {
      expect(membersOf(decide(volume, around)).filter((one) => one.endsWith('leaving'))).to.deep.equal([`${leaves} leaving`]);
    });
  }

  describe('more than asked for, because one moves', () => {
    const NOW_MS = 1_000_000;
    const moving = (change: Partial<Parameters<typeof member>[1]> = {}, inSync = 'abc') =>
      config({
        primary: primary('a'),
        shards: [{ members: [member('a'), member('b', change), member('c'), member('d')], inSync: [...inSync].map(replica) }],
      });
    const emptying = (letter: string, machines = without('')): World => ({
      ...world({ machines }),
      nodes: [...'abcde'].map((one) =>
        placementNode(one, machines.some(({ node }) => node === `node-${one}`) ? {} : null, { evict: one === letter }),
      ),
    });
    const leaving = (decision: ReturnType<typeof decide>) =>
      decision.actions.length === 0 ? [] : membersOf(decision).filter((one) => one.endsWith('leaving'));
    const object = attached('a');

    it('nobody goes before the new one is in sync', () => {
      const decision = decide(observedVolume({ object, config: moving() }), emptying('b'));
      expect([leaving(decision), decision.reason]).to.deep.equal([
        [],
        'one more than the 3 replicas wanted until the one on node-d is in sync',
      ]);
    });

    it('the one on the node that is emptied goes then, wherever the volume is used', () => {
      for (const letter of 'abc')
        expect(leaving(decide(observedVolume({ object, config: moving({}, 'abcd') }), emptying(letter)))).to.deep.equal([
          `node-${letter} leaving`,
        ]);
    });

    it('nobody goes while another is out of sync that is needed', () => {
      const out = moving({ leftAt: 4 }, 'acd');
      expect(leaving(decide(observedVolume({ object, config: out }), emptying('c')))).to.deep.equal([]);
      expect(leaving(decide(observedVolume({ object, config: out }), emptying('e')))).to.deep.equal(['node-b leaving']);
    });

    it('a new one whose machine stays away is given up', () => {
      const around = emptying('b', without('d'));
      const gone = (agoMs: number): World => ({
        ...around,
        memory: { ...emptyMemory, machineGoneSinceMs: new Map([['node-d', NOW_MS - agoMs]]) },
      });
      expect(leaving(decide(observedVolume({ object, config: moving() }), gone(59_999)))).to.deep.equal([]);
      expect(leaving(decide(observedVolume({ object, config: moving() }), gone(60_000)))).to.deep.equal(['node-d leaving']);
    });

    it('one that fails meanwhile goes without another being made', () => {
      const machines = [...without('c'), machine('c', { failedReplicas: [{ volume: UID, replica: replica('c'), reason: 'EIO' }] })];
      const decision = decide(observedVolume({ object, config: moving() }), {
        ...emptying('b', machines),
        machines: world({ machines }).machines,
      });
      expect(membersOf(decision)).to.deep.equal(['node-a', 'node-b', 'node-c leaving', 'node-d']);
    });

    it('as the balance wants it, another is made and the wanted one leaves', () => {
      const move = {
        uid: UID,
        shard: 0,
        replica: replica('b'),
        from: 'node-b',
        to: 'node-e',
        pool: 'default',
        sizeBytes: 1,
        why: 'spread',
        trouble: 'its pool is fuller than others',
      } as const;
      const around = { ...world(), moves: new Map([[replica('b'), move]]) };
      const decision = decide(observedVolume({ object, config: config({ primary: primary('a') }) }), around);
      expect([membersOf(decision), decision.reason]).to.deep.equal([
        ['node-a', 'node-b', 'node-c', 'node-e'],
        'the replica on node-b moves to node-e: its pool is fuller than others',
      ]);
      expect(around.replacements.left).to.equal(7);
    });
  });
});
