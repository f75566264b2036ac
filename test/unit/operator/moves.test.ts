/** The whole control loop in memory: nodes that are emptied or removed, and replicas that people want elsewhere. */
import { expect } from 'chai';
import type { VolumeConfig } from '../../../core/config.ts';
import { collectionPath, MOVE_ANNOTATION, type StorageNodeObject, type VolumeObject } from '../../../operator/api.ts';
import { conditionOf } from '../../../operator/conditions.ts';
import { KEYS } from '../../support/operator/builders.ts';
import { Rig } from '../../support/operator/rig.ts';

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const nodePath = (letter: string): string => `${collectionPath('storagenodes')}/node-${letter}`;
const nodeOf = (rig: Rig, letter: string): StorageNodeObject | null => rig.api.object<StorageNodeObject>(nodePath(letter));
const want = (rig: Rig, letter: string, change: Partial<StorageNodeObject['spec']>): void =>
  rig.api.change<StorageNodeObject>(nodePath(letter), ({ spec }) => Object.assign(spec, change));
const condition = (rig: Rig, letter: string, type: string) => conditionOf(nodeOf(rig, letter)?.status?.conditions, type);
const events = (rig: Rig): string[] =>
  rig.api.objectsOf(EVENTS).map((event) => {
    const { reason, note } = event as unknown as { reason: string; note: string };
    return `${reason}: ${note}`;
  });
const reasons = (rig: Rig): string[] => events(rig).map((text) => text.split(':')[0] ?? '');
const lettersOf = (config: VolumeConfig | null): string =>
  (config?.shards[0]?.members ?? [])
    .map(({ node }) => node.slice(-1))
    .sort()
    .join('');
const ask = (rig: Rig, name: string, move: string): void =>
  rig.api.change<VolumeObject>(rig.path(name), ({ metadata }) => Object.assign(metadata, { annotations: { [MOVE_ANNOTATION]: move } }));
const asked = (rig: Rig, name: string): string | undefined => rig.volume(name)?.metadata.annotations?.[MOVE_ANNOTATION];

describe('operator: replicas that shall be elsewhere, in memory', function () {
  this.timeout(60_000);

  async function rigWith(letters: string): Promise<Rig> {
    const rig = new Rig();
    for (const letter of letters) rig.start(letter);
    rig.elect();
    await rig.until('nodes are known', () => rig.api.objectsOf(collectionPath('storagenodes')).length === letters.length);
    return rig;
  }

  /** Steps until it is so; all the time so many replicas are in sync and stay. */
  async function untilWithCopies(rig: Rig, copies: number, what: string, holds: () => boolean): Promise<void> {
    await rig.until(what, () => {
      for (const { shards } of rig.configs) {
        for (const { members, inSync } of shards)
          expect(members.filter(({ replica }) => inSync.includes(replica)).length, 'copies while it moves').to.be.at.least(copies);
      }
      return holds();
    });
  }

  for (const attachTo of ['', 'node-a']) {
    it(`empties a node, each replica copied before it goes, of a volume that is ${attachTo === '' ? 'detached' : 'served there'}`, async () => {
      const rig = await rigWith('abcd');
      for (const name of ['one', 'two', 'three']) await rig.create(name, { attachTo });
      await rig.until(
        'healthy',
        () => rig.phase('one') === 'Healthy' && rig.phase('two') === 'Healthy' && rig.phase('three') === 'Healthy',
      );
      want(rig, 'a', { evict: true });
      await untilWithCopies(rig, 3, 'a is empty', () => condition(rig, 'a', 'Evicted')?.status === 'True');
      await rig.until('no file is left there', () => rig.disks.of('node-a').size === 0);
      await rig.until('healthy again', () => ['one', 'two', 'three'].every((name) => rig.phase(name) === 'Healthy'));
      expect([lettersOf(rig.config('one')), nodeOf(rig, 'a')?.status?.evicting]).to.deep.equal(['bcd', { replicasLeft: 0, blocked: [] }]);
      expect(reasons(rig)).to.include('Evicted');
      want(rig, 'a', { evict: false });
      await rig.until('wanted again', () => condition(rig, 'a', 'Schedulable')?.status === 'True');
      expect(nodeOf(rig, 'a')?.status).to.not.have.property('evicting');
    });
  }

  it('says what cannot leave and why, and goes on when it can', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    want(rig, 'a', { evict: true });
    await rig.until('blocked', () => condition(rig, 'a', 'Evicted')?.reason === 'Blocked');
    expect(nodeOf(rig, 'a')?.status?.evicting).to.deep.equal({
      replicasLeft: 1,
      blocked: [
        {
          volume: 'pgdata',
          reason:
            'no other node can hold it (node-b: holds a replica of this volume already; node-c: holds a replica of this volume already)',
        },
      ],
    });
    // Between two tries it is not looked at, and people see it all the same; with the volume nothing is wrong.
    for (let step = 0; step < 40; step++) {
      await rig.step();
      expect([condition(rig, 'a', 'Evicted')?.reason, rig.phase('pgdata')]).to.deep.equal(['Blocked', 'Healthy']);
    }
    expect(conditionOf(rig.volume('pgdata')?.status?.conditions, 'Scheduled')?.status).to.equal('True');
    rig.start('d');
    await untilWithCopies(rig, 3, 'empty', () => condition(rig, 'a', 'Evicted')?.status === 'True');
  });

  it('keeps a node in its zone where each replica needs a zone of its own', async () => {
    const rig = new Rig();
    for (const [letter, zone] of ['az1', 'bz2', 'cz3', 'dz3'].map((text) => [text.slice(0, 1), text.slice(1)] as const))
      rig.start(letter, { zone });
    rig.elect();
    await rig.create('pgdata', { placement: { nodeSelector: {}, poolTags: [], zones: 'Require' } });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const [from, to] = lettersOf(rig.config('pgdata')) === 'abc' ? ['c', 'd'] : ['d', 'c'];
    want(rig, from, { evict: true });
    await rig.until('empty', () => condition(rig, from, 'Evicted')?.status === 'True');
    expect(lettersOf(rig.config('pgdata'))).to.equal(`ab${to}`);
  });

  it('goes on when the leader changes in the middle of it, and copies nothing twice', async () => {
    const rig = await rigWith('abcd');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    want(rig, lettersOf(rig.config('pgdata')).slice(0, 1), { evict: true });
    await rig.until('one more is there', () => rig.config('pgdata')?.shards[0]?.members.length === 4);
    const replicas = () => rig.config('pgdata')?.shards[0]?.members.map(({ replica }) => replica) ?? [];
    const before = replicas();
    rig.elect();
    await rig.until('three are left', () => rig.config('pgdata')?.shards[0]?.members.length === 3);
    expect(before).to.include.members(replicas());
  });

  it('stays where it is when nobody wants it elsewhere any more, and one copy goes', async () => {
    const rig = await rigWith('abcd');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const letter = lettersOf(rig.config('pgdata')).slice(0, 1);
    want(rig, letter, { evict: true });
    await rig.until('one more is there', () => rig.config('pgdata')?.shards[0]?.members.length === 4);
    want(rig, letter, { evict: false });
    await rig.until('three are left', () => rig.config('pgdata')?.shards[0]?.members.length === 3 && rig.phase('pgdata') === 'Healthy');
    expect(rig.volume('pgdata')?.status?.inSync).to.equal('3/3');
  });

  it('looks for another place when the new one never comes', async () => {
    const rig = await rigWith('abcde');
    await rig.create('pgdata');
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const letters = lettersOf(rig.config('pgdata'));
    const [first = '', second = ''] = [...'abcde'].filter((letter) => !letters.includes(letter));
    want(rig, second, { schedulable: false });
    rig.agent(first).isStill = true;
    want(rig, letters.slice(0, 1), { evict: true });
    await rig.until('one more is there', () => lettersOf(rig.config('pgdata')).includes(first));
    rig.kill(first);
    want(rig, second, { schedulable: true });
    await rig.until('it moved to the other', () => condition(rig, letters.slice(0, 1), 'Evicted')?.status === 'True', 3_000);
    expect(lettersOf(rig.config('pgdata'))).to.equal([...letters.slice(1), second].sort().join(''));
  });

  it('moves the replica that somebody asks for, and takes the wish off the object', async () => {
    const rig = await rigWith('abcd');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const letters = lettersOf(rig.config('pgdata'));
    const [to = ''] = [...'abcd'].filter((letter) => !letters.includes(letter));
    const from = letters.at(-1) ?? '';
    ask(rig, 'pgdata', `node-${from}=node-${to}`);
    await untilWithCopies(rig, 3, 'the wish is gone', () => asked(rig, 'pgdata') === undefined);
    await rig.until('three are left', () => rig.config('pgdata')?.shards[0]?.members.length === 3);
    expect(lettersOf(rig.config('pgdata'))).to.equal([...letters.slice(0, -1), to].sort().join(''));
    expect(events(rig)).to.include(`Moved: node-${from} holds none of it any more, node-${to} does`);
  });

  it('refuses a move that cannot be, in one sentence, and forgets it', async () => {
    const rig = await rigWith('abcd');
    await rig.create('pgdata', { replicas: 2 });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    const [first = '', second = ''] = lettersOf(rig.config('pgdata'));
    const other = [...'abcd'].find((letter) => !lettersOf(rig.config('pgdata')).includes(letter));
    const refusals: [move: string, says: string][] = [
      ['somewhere', 'MoveRefused: the annotation holdfast.dev/move must be <node or replica>=<node>, or <node or replica>=<node>/<pool>'],
      [`node-${first}=node-${second}`, `MoveRefused: node-${second}: holds a replica of this volume already`],
      [`node-${first}=node-${first}`, `MoveRefused: the replica on node-${first} is there already`],
      ['node-x=node-y', 'MoveRefused: it has no replica node-x, or none on that node'],
      [`node-${first}=node-${other}/fast`, `has no pool fast`],
    ];
    for (const [move, says] of refusals) {
      ask(rig, 'pgdata', move);
      await rig.until(`${move} is refused`, () => asked(rig, 'pgdata') === undefined);
      await rig.step(5);
      expect(events(rig).at(-1)).to.include(says);
    }
    expect(lettersOf(rig.config('pgdata'))).to.equal(`${first}${second}`);
  });

  describe('a node that is removed for good', () => {
    const exists = (rig: Rig, letter: string): boolean => nodeOf(rig, letter) !== null;

    it('is emptied while its agent lives, and goes when that is stopped', async () => {
      const rig = await rigWith('abcd');
      await rig.create('pgdata');
      await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
      const letter = lettersOf(rig.config('pgdata')).slice(0, 1);
      rig.api.delete(nodePath(letter));
      await untilWithCopies(rig, 3, 'only its agent is left', () => condition(rig, letter, 'Removed')?.reason === 'AgentRuns');
      await rig.until('no file is left there', () => rig.disks.of(`node-${letter}`).size === 0);
      rig.kill(letter);
      await rig.until('it is gone', () => !exists(rig, letter));
    });

    it('counts as lost at once when it is silent, and leaves no task behind', async () => {
      const rig = await rigWith('abcde');
      await rig.create('pgdata');
      await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
      const letter = lettersOf(rig.config('pgdata')).slice(0, 1);
      rig.kill(letter);
      await rig.step(20);
      expect(lettersOf(rig.config('pgdata'))).to.include(letter);
      rig.api.delete(nodePath(letter));
      await rig.until('it is gone', () => !exists(rig, letter));
      expect(lettersOf(rig.config('pgdata'))).to.not.include(letter);
      await rig.until('healthy again', () => rig.phase('pgdata') === 'Healthy' && rig.volume('pgdata')?.status?.inSync === '3/3');
      await rig.until('no task is left', () => rig.store.entriesOf(KEYS.tasks).size === 0);
    });

    it('is refused while it holds the last replica of anything', async () => {
      const rig = await rigWith('abc');
      await rig.create('single', { replicas: 1 });
      await rig.until('healthy', () => rig.phase('single') === 'Healthy');
      const letter = lettersOf(rig.config('single'));
      rig.kill(letter);
      rig.api.delete(nodePath(letter));
      await rig.until('refused', () => condition(rig, letter, 'Removed')?.reason === 'LastReplica');
      expect(condition(rig, letter, 'Removed')?.message).to.equal(
        'it holds the last replica that is sound of single: bring it back, or delete the volume',
      );
      expect(events(rig).at(-1)).to.match(/^RemovalRefused: /);
      await rig.step(50);
      expect(exists(rig, letter)).to.equal(true);
      rig.api.delete(rig.path('single'));
      await rig.until('it is gone', () => !exists(rig, letter));
      await rig.until('no task is left', () => rig.store.entriesOf(KEYS.tasks).size === 0);
    });
  });
});
