/** Shards, growing, limits, quarantined pools and scrubs: what is decided, and what people see of them. */
import { expect } from 'chai';
import type { Shard } from '../../../../core/config.ts';
import type { ScrubState } from '../../../../core/scrub.ts';
import type { VolumeObject } from '../../../../operator/api.ts';
import type { VolumeStatus } from '../../../../operator/generated/volume.ts';
import { emptyMemory } from '../../../../operator/observe/memory.ts';
import { decideVolume } from '../../../../operator/volume/decide.ts';
import type { World } from '../../../../operator/volume/decision.ts';
import { eventsOf } from '../../../../operator/volume/events.ts';
import { resyncsOf, VOLUME_RESYNCS_MAX } from '../../../../operator/volume/shards.ts';
import { statusOf, withoutProgress } from '../../../../operator/volume/status.ts';
import {
  config,
  GiB,
  machine,
  member,
  nodeOf,
  observedVolume,
  pool,
  replica,
  serving,
  UID,
  type VolumeParts,
  volumeObject,
  WALL_MS,
  without,
  world,
} from '../../../support/operator/builders.ts';
import { attached, decide, filedTasks, nextConfig, primary } from '../../../support/operator/decisions.ts';

/** `ab/a`: on a and b, in sync on a. Replica `a0` is on node-a, of shard 0. */
const shard = (text: string, index: number): Shard => {
  const [letters = '', inSync = letters] = text.split('/');
  return {
    members: [...letters].map((letter) => member(`${letter}${index}`, { node: nodeOf(letter) })),
    inSync: [...inSync].map((letter) => replica(`${letter}${index}`)),
  };
};
const striped = (...texts: string[]) => config({ primary: primary('a'), minInSync: 1, shards: texts.map(shard) });
const wide = (shards: number, change: Parameters<typeof volumeObject>[0] = {}) =>
  attached('a', { replicas: 2, minInSync: 1, shards, ...change });
const nodesOf = (one: Shard | undefined): string[] => one?.members.map(({ node, leaving }) => (leaving ? `${node} leaving` : node)) ?? [];

function see(parts: VolumeParts, around: World = world()): VolumeStatus {
  const volume = observedVolume(parts);
  if (!volume.object) throw new Error('no object');
  return statusOf({ ...volume, object: volume.object }, decideVolume(volume, around), around);
}
const condition = (status: VolumeStatus, type: string) => status.conditions?.find((one) => one.type === type);
const asSeen = (object: VolumeObject, status: VolumeStatus): VolumeObject => ({ ...object, status });

describe('operator: deciding about shards', () => {
  it('places each for itself, with replicas of its own size', () => {
    const decision = decide(observedVolume({ config: null, object: volumeObject({ shards: 3, replicas: 2, size: '10Mi' }) }));
    const { shards } = nextConfig(decision);
    expect(shards.length).to.equal(3);
    for (const one of shards) expect(new Set(nodesOf(one)).size).to.equal(2);
    const sizes = filedTasks(decision).map(({ spec }) => ('sizeBytes' in spec ? spec.sizeBytes / 2 ** 20 : 0));
    expect(sizes).to.deep.equal([4, 4, 3, 3, 3, 3]);
  });

  it('files what a transaction cannot hold afterwards', () => {
    const volume = observedVolume({ config: null, object: volumeObject({ shards: 64, replicas: 3, size: '64Gi' }) });
    const first = decide(volume);
    expect(filedTasks(first).length).to.equal(32);
    const rest = decide(observedVolume({ config: nextConfig(first), object: volumeObject({ shards: 64 }) }));
    expect(filedTasks(rest).length).to.equal(32);
    for (const decision of [first, rest]) {
      const [action] = decision.actions;
      expect(action?.kind === 'commit' && action.transaction.changes.length).to.be.lessThan(128);
    }
  });

  it('waits with a size that its shards do not fit in', () => {
    const decision = decide(observedVolume({ config: null, object: volumeObject({ shards: 4, size: '3Mi' }) }));
    expect([decision.state, decision.reason]).to.deep.equal([
      'unschedulable',
      'spec.size: must be at least 4Mi, 1Mi for each of 4 shards (is 3Mi)',
    ]);
  });

  it('says which shard fits nowhere', () => {
    const machines = [...'ab'].map((letter) => machine(letter, { pools: [pool({ capacityBytes: GiB })] }));
    const object = volumeObject({ shards: 2, replicas: 2, size: '3Gi' });
    const decision = decide(observedVolume({ config: null, object }), world({ machines }));
    expect(decision.reason).to.equal('2 replicas of 1.5Gi in each of 2 shards wanted, for shard 0 no node can hold one');
  });

  it('takes back a replica in each shard, one after the other, and says which', () => {
    const machines = [...without('b'), machine('b', { failedReplicas: [{ volume: UID, replica: replica('b1'), reason: 'EIO' }] })];
    const decision = decide(observedVolume({ object: wide(2), config: striped('ab', 'bc') }), world({ machines }));
    expect(nodesOf(nextConfig(decision).shards[0])).to.deep.equal(['node-a', 'node-b']);
    expect(nodesOf(nextConfig(decision).shards[1])?.slice(0, 2)).to.deep.equal(['node-b leaving', 'node-c']);
    expect(decision.reason).to.match(/^the replica of shard 1 on node-b \(EIO\) is made anew on node-[de]$/);
  });

  it('makes only a few of a volume anew at a time', () => {
    const busy = Array.from({ length: VOLUME_RESYNCS_MAX }, () => 'ab/a');
    const full = striped(...busy, 'ac');
    expect(resyncsOf(full)).to.equal(VOLUME_RESYNCS_MAX);
    const machines = [...without('c'), machine('c', { failedReplicas: [{ volume: UID, replica: replica('c4'), reason: 'EIO' }] })];
    const decision = decide(observedVolume({ object: wide(5), config: full }), world({ machines }));
    expect([decision.reason, decision.actions]).to.deep.equal([
      'the replica of shard 4 on node-c is to be replaced (EIO), when those of other shards are in sync',
      [],
    ]);
    const less = decide(observedVolume({ object: wide(4), config: striped(...busy.slice(2), 'ab', 'ac') }), world({ machines }));
    expect(less.state).to.equal('serving');
    const adding = decide(observedVolume({ object: wide(5, { replicas: 3, minInSync: 1 }), config: full }));
    expect(nodesOf(nextConfig(adding).shards[0]), 'a shard that is at it anyway need not wait').to.have.length(3);
  });

  it('raises minInSync only when every shard has so many', () => {
    const object = wide(2, { minInSync: 2 });
    expect(decide(observedVolume({ object, config: striped('ab', 'bc/b') })).actions).to.deep.equal([]);
    expect(nextConfig(decide(observedVolume({ object, config: striped('ab', 'bc') }))).minInSync).to.equal(2);
  });

  it('finds no successor for a volume of which one shard is nowhere', () => {
    const object = wide(2, { attachTo: '' });
    const gone = (letters: string) =>
      decide(observedVolume({ object, config: striped('ab', 'bc') }), world({ machines: without(letters) }));
    expect(nextConfig(gone('a')).primary).to.deep.include({ node: 'node-b', mode: 'background' });
    expect(nextConfig(gone('abc')).primary).to.equal(null);
  });

  it('deletes a volume with many replicas in parts, its config last', () => {
    const many = config({ shards: Array.from({ length: 12 }, (_, index) => shard('ab', index)) });
    const decision = decide(observedVolume({ object: volumeObject({}, { deletionTimestamp: '2026-01-01T00:00:00Z' }), config: many }));
    expect(filedTasks(decision).length).to.equal(10);
    const [action] = decision.actions;
    expect(action?.kind === 'commit' && action.transaction.changes.every((change) => 'put' in change)).to.equal(true);
  });
});

describe('operator: deciding about limits and sizes', () => {
  it('gives limits to the primary at once, and takes them away', () => {
    const limits = { iops: 100, bytesPerSecond: 0 };
    const set = nextConfig(decide(observedVolume({ object: attached('a', { limits }), config: config({ primary: primary('a') }) })));
    expect(set).to.deep.include({ limits, epoch: 1, version: 6 });
    const lifted = nextConfig(decide(observedVolume({ object: attached('a'), config: config({ primary: primary('a'), limits }) })));
    expect(lifted).to.not.have.property('limits');
  });

  it('raises the size where there is room, in one transaction', () => {
    const decision = decide(observedVolume({ object: volumeObject({ size: '2Gi' }) }));
    expect(nextConfig(decision)).to.deep.include({ sizeBytes: 2 * GiB, version: 6, epoch: 1 });
    expect(filedTasks(decision)).to.deep.equal([]);
  });

  const full = (change: Parameters<typeof pool>[0]) => world({ machines: [...without('c'), machine('c', { pools: [pool(change)] })] });
  const refused: [says: string, around: World, sentence: string][] = [
    [
      'no pool may promise so much',
      full({ allocatedBytes: 190 * GiB }),
      'it stays at 1Gi, 21Gi asked: node-c/default: 0 free after reserve, 20Gi more needed',
    ],
    [
      'a pool is full',
      full({ usedBytes: 99 * GiB }),
      'it stays at 1Gi, 21Gi asked: node-c/default: pool default is full: 99 % of it is used',
    ],
    [
      'a pool could never hold it',
      full({ capacityBytes: 20 * GiB }),
      'it stays at 1Gi, 21Gi asked: node-c/default: 19Gi usable after reserve, 21Gi needed',
    ],
  ];
  for (const [says, around, sentence] of refused) {
    it(`leaves it, and says why: ${says}`, () => {
      const status = see({ object: volumeObject({ size: '21Gi' }) }, around);
      expect(condition(status, 'Resizing')).to.deep.include({ status: 'False', reason: 'NoRoom', message: sentence });
      expect([status.phase, status.size]).to.deep.equal(['Healthy', '1Gi']);
      expect(eventsOf({}, status).map(({ reason }) => reason)).to.include('ResizeRefused');
    });
  }

  it('asks nobody who is away, and gives the same room only once', () => {
    const around = world({ machines: without('c') });
    expect(nextConfig(decide(observedVolume({ object: volumeObject({ size: '2Gi' }) }), around)).sizeBytes).to.equal(2 * GiB);
    expect(around.ledger.allocatedBytes('node-a', 'default', 0)).to.equal(GiB);
  });

  const growing: [says: string, parts: VolumeParts, size: string, message: string | undefined][] = [
    [
      'while it grows',
      {
        config: config({ primary: primary('a'), sizeBytes: 2 * GiB }),
        serving: serving('a', { sizeBytes: GiB }),
        object: attached('a', { size: '2Gi' }),
      },
      '1Gi',
      'it grows from 1Gi to 2Gi, replica by replica',
    ],
    [
      'of which a disk is full',
      {
        config: config({ primary: primary('a'), sizeBytes: 2 * GiB }),
        serving: serving('a', { sizeBytes: GiB, growthTrouble: 'node-b: no space' }),
        object: attached('a', { size: '2Gi' }),
      },
      '1Gi',
      'it stays at 1Gi, 2Gi asked: node-b: no space',
    ],
    [
      'when it has grown',
      {
        config: config({ primary: primary('a'), sizeBytes: 2 * GiB }),
        serving: serving('a', { sizeBytes: 2 * GiB }),
        object: attached('a', { size: '2Gi' }),
      },
      '2Gi',
      undefined,
    ],
    [
      'while nobody serves it',
      { config: config({ sizeBytes: 2 * GiB }), object: asSeen(volumeObject({ size: '2Gi' }), { epoch: 1, size: '1Gi' }) },
      '1Gi',
      'it grows from 1Gi to 2Gi when it is attached',
    ],
    ['that was never smaller', { config: config({ sizeBytes: 2 * GiB }), object: volumeObject({ size: '2Gi' }) }, '2Gi', undefined],
    ['that is not placed: what is asked', { config: null, object: volumeObject({ size: '2500Mi' }) }, '2500Mi', undefined],
    [
      'that is not placed, and of which less was asked before',
      { config: null, object: asSeen(volumeObject({ size: '2Gi' }), { size: '1Gi' }) },
      '2Gi',
      undefined,
    ],
    [
      'that was placed as larger than was asked first',
      { config: config({ sizeBytes: 2 * GiB }), object: asSeen(volumeObject({ size: '2Gi' }), { size: '1Gi' }) },
      '2Gi',
      undefined,
    ],
    [
      'of which etcd forgot everything: what it last offered',
      { config: null, object: asSeen(volumeObject({ size: '2Gi' }), { epoch: 3, size: '1Gi' }) },
      '1Gi',
      undefined,
    ],
  ];
  for (const [says, parts, size, message] of growing) {
    it(`shows what is offered: one ${says}`, () => {
      const status = see(parts);
      expect([status.size, condition(status, 'Resizing')?.message]).to.deep.equal([size, message]);
    });
  }

  it('tells when it has grown', () => {
    expect(eventsOf({ epoch: 1, size: '1Gi' }, { epoch: 1, size: '2Gi' })).to.deep.equal([
      { type: 'Normal', reason: 'Resized', action: 'Resize', note: '2Gi now, 1Gi before' },
    ]);
    expect(eventsOf({ size: '1Gi' }, { size: '2Gi' }), 'while it was not placed').to.deep.equal([]);
  });
});

describe('operator: what people see of shards', () => {
  const reported = (change: Partial<VolumeParts> = {}): VolumeParts => ({
    object: asSeen(wide(2), { phase: 'Healthy' }),
    config: striped('ab', 'bc'),
    serving: serving('a'),
    ...change,
  });

  it('is the shard with the fewest in sync', () => {
    const status = see(reported({ config: striped('ab', 'bc/b') }));
    expect([status.phase, status.inSync]).to.deep.equal(['Degraded', '1/2']);
    expect(status.replicas?.map((one) => [one.node, one.shard, one.state])).to.deep.equal([
      ['node-a', 0, 'InSync'],
      ['node-b', 0, 'InSync'],
      ['node-b', 1, 'InSync'],
      ['node-c', 1, 'Out'],
    ]);
  });

  it('is unavailable as soon as one of them is', () => {
    const object = asSeen(volumeObject({ replicas: 2, minInSync: 1, shards: 2 }), { phase: 'Healthy' });
    const status = see({ object, config: { ...striped('ab', 'cd'), primary: null } }, world({ machines: without('cd') }));
    expect([status.phase, condition(status, 'Ready')?.message]).to.deep.equal([
      'Unavailable',
      '0 of the replicas of shard 1 in sync can be reached, 1 are needed: node-c: its agent is not heard of; node-d: its agent is not heard of',
    ]);
  });
});

describe('operator: quarantined pools', () => {
  const sick = (letter: string) => machine(letter, { pools: [pool({ state: 'quarantined', reason: 'fdatasync failed' })] });
  const served = config({ primary: primary('a') });

  it('lose their replicas to others, few at a time', () => {
    const machines = [...without('b'), sick('b')];
    const decision = decide(observedVolume({ object: attached('a'), config: served }), world({ machines }));
    expect(nodesOf(nextConfig(decision).shards[0]).slice(0, 2)).to.deep.equal(['node-a', 'node-b leaving']);
    expect(decision.reason).to.include('the replica on node-b (pool default is quarantined: fdatasync failed) is made anew on');
    const busy = decide(observedVolume({ object: attached('a'), config: served }), world({ machines, replacements: { left: 0 } }));
    expect([busy.reason, busy.actions]).to.deep.equal([
      'node-b: pool default is quarantined: fdatasync failed; replaced when others are',
      [],
    ]);
  });

  it('go on holding what is sound: even all of them are not a loss', () => {
    const machines = [...'abc'].map(sick);
    const status = see({ object: asSeen(attached('a'), { phase: 'Healthy' }), config: served, serving: serving('a') }, world({ machines }));
    expect([status.phase, status.inSync]).to.deep.equal(['Healthy', '3/3']);
    expect(status.replicas?.[0]).to.deep.include({ state: 'InSync', reason: 'pool default is quarantined: fdatasync failed' });
  });

  it('are left first when fewer replicas are asked for', () => {
    const decision = decide(
      observedVolume({ object: attached('c', { replicas: 2 }), config: config({ primary: primary('c') }) }),
      world({ machines: [sick('a'), machine('b'), machine('c')], memory: emptyMemory }),
    );
    expect(nodesOf(nextConfig(decision).shards[0])).to.deep.equal(['node-a leaving', 'node-b', 'node-c']);
  });
});

describe('operator: what people see of scrubs', () => {
  const scrub = (change: Partial<ScrubState> = {}): ScrubState => ({
    position: { shard: 1, extent: 128 },
    startedAtMs: WALL_MS,
    endedAtMs: null,
    repairedBlocks: 0,
    unresolvedBlocks: 0,
    ...change,
  });
  const object = volumeObject({ shards: 2, replicas: 2, minInSync: 1 });
  const of = (state: ScrubState | null, status: VolumeStatus = {}) =>
    see({ object: asSeen(object, status), config: { ...striped('ab', 'bc'), primary: null }, scrub: state });

  it('is nothing before the first, then how far it is', () => {
    expect(of(null)).to.not.have.property('scrub');
    expect(of(scrub()).scrub).to.deep.equal({ position: '62%', repaired: 0, unresolved: 0 });
    expect(of(scrub({ position: { shard: 1, extent: 512 } })).scrub?.position, 'not before it has ended').to.equal('99%');
  });

  it('is when the last ended, also while the next is under way', () => {
    const ended = of(scrub({ endedAtMs: WALL_MS, repairedBlocks: 2 })).scrub;
    expect(ended).to.deep.equal({ position: '100%', lastCompleted: '2026-01-02T03:04:05Z', repaired: 2, unresolved: 0 });
    expect(of(scrub(), ended ? { scrub: ended } : {}).scrub?.lastCompleted).to.equal('2026-01-02T03:04:05Z');
  });

  it('is a condition and an Event where nobody can say what is right', () => {
    const status = of(scrub({ unresolvedBlocks: 3, unresolvedExtents: [{ shard: 1, extent: 7 }] }));
    expect(condition(status, 'Consistent')).to.deep.include({ status: 'False', reason: 'BlocksDiffer' });
    expect(condition(status, 'Consistent')?.message).to.equal(
      '3 blocks of 4Ki differ between replicas, and no majority says what is right: extent 7 of shard 1',
    );
    expect(eventsOf({}, status).map(({ reason }) => reason)).to.include('BlocksDiffer');
    expect(condition(of(scrub()), 'Consistent')).to.equal(undefined);
  });

  it('is an Event when blocks were repaired', () => {
    const [was, is] = [of(scrub({ repairedBlocks: 1 })), of(scrub({ repairedBlocks: 2 }))];
    expect(eventsOf(was, is)).to.deep.equal([
      {
        type: 'Warning',
        reason: 'BlocksRepaired',
        action: 'Scrub',
        note: "comparing the replicas found 2 blocks that differed; they are as the majority's now",
      },
    ]);
  });

  it('is not worth a write for its position alone', () => {
    expect(withoutProgress(of(scrub()))).to.deep.equal(withoutProgress(of(scrub({ position: { shard: 1, extent: 200 } }))));
  });
});
