import { expect } from 'chai';
import type { VolumeObject } from '../../../../operator/api.ts';
import type { VolumeStatus } from '../../../../operator/generated/volume.ts';
import { decideVolume } from '../../../../operator/volume/decide.ts';
import type { World } from '../../../../operator/volume/decision.ts';
import { eventsOf, NOTE_LENGTH_MAX } from '../../../../operator/volume/events.ts';
import { foremost, isPlannedOnly, statusOf, UNSCHEDULABLE_MAX, withoutProgress } from '../../../../operator/volume/status.ts';
import {
  config,
  instance,
  machine,
  member,
  observedTask,
  observedVolume,
  placementNode,
  replica,
  serving,
  UID,
  type VolumeParts,
  volumeObject,
  without,
  world,
} from '../../../support/operator/builders.ts';
import { attached, deleting, fresh, primary } from '../../../support/operator/decisions.ts';

function see(parts: VolumeParts, around: World = world()): VolumeStatus {
  const volume = observedVolume(parts);
  const { object } = volume;
  if (!object) throw new Error('no object');
  return statusOf({ ...volume, object }, decideVolume(volume, around), around);
}
const condition = (status: VolumeStatus, type: string) => status.conditions?.find((one) => one.type === type);
const line = (status: VolumeStatus): string => `${status.phase}: ${condition(status, 'Ready')?.message}`;
const withStatus = (object: VolumeObject, status: VolumeStatus): VolumeObject => ({ ...object, status });
const served = (change: Parameters<typeof serving>[1] = {}) => ({
  object: withStatus(attached('a'), { phase: 'Healthy' }),
  config: config({ primary: primary('a') }),
  serving: serving('a', change),
});

/** The node is down, and people said so. */
function inMaintenance(letter: string): World {
  const others = [...'abcde'].filter((other) => other !== letter).map((other) => placementNode(other));
  return world({ machines: without(letter), nodes: [...others, placementNode(letter, null, { maintenance: true })] });
}

describe('operator: the phase of a volume', () => {
  const rows: [says: string, parts: VolumeParts, around: World | undefined, expected: string][] = [
    [
      'nothing fits',
      { config: null, object: volumeObject({ size: '300Gi' }) },
      undefined,
      'Pending: 3 replicas of 300Gi wanted, no node can hold one',
    ],
    [
      'the replicas are made',
      { config: fresh(), tasks: [...'abc'].map((letter) => observedTask('create', letter, 'filed')) },
      undefined,
      'Creating: 0 of 3 replicas are made',
    ],
    ['all is well and nobody asked for it', {}, undefined, 'Healthy: 3/3 in sync, served nowhere'],
    ['all is well and it is served', served(), undefined, 'Healthy: 3/3 in sync, served on node-a'],
    [
      'the first attachment is under way',
      { object: withStatus(attached('a'), { phase: 'Creating' }), config: config({ epoch: 0 }) },
      undefined,
      'Creating: node-a is to serve it',
    ],
    [
      'a later attachment is under way',
      { object: withStatus(attached('a'), { phase: 'Healthy' }) },
      undefined,
      'Unavailable: node-a is to serve it',
    ],
    [
      'the primary does not serve yet, and says why',
      served({ state: 'waiting', socket: null, reason: 'waits out a lease' }),
      undefined,
      'Unavailable: node-a does not serve it yet: waits out a lease',
    ],
    [
      'I/O waits',
      served({ state: 'stalled', reason: '1 of 2 in sync answer' }),
      undefined,
      'Unavailable: I/O waits: 1 of 2 in sync answer',
    ],
    ['a report is of an old epoch', { ...served({ epoch: 0 }) }, undefined, 'Unavailable: node-a is to serve it'],
    ['a report is of an old process', { ...served({ instance: instance('old') }) }, undefined, 'Unavailable: node-a is to serve it'],
    [
      'the node it is to be attached to is away',
      { object: attached('a') },
      world({ machines: without('a') }),
      'Unavailable: the agent of node-a is not heard of; nobody serves the volume until it is back or spec.attachTo names another',
    ],
    [
      'it is served elsewhere than it shall be',
      { ...served(), object: withStatus(attached('b'), { phase: 'Healthy' }) },
      undefined,
      'Unavailable: node-a lets go, node-b is next',
    ],
    [
      'one catches up',
      {
        ...served({ replicas: [{ replica: replica('b'), state: 'learner', doneBytes: 1, totalBytes: 1, bytesPerSecond: 0 }] }),
        config: config({ primary: primary('a') }, 'abc', 'ac'),
      },
      undefined,
      'Degraded: 2/3 in sync (node-b: catches up)',
    ],
    [
      'one catches up, and how far it is is known',
      {
        ...served({
          replicas: [{ replica: replica('b'), state: 'learner', doneBytes: 2 ** 20, totalBytes: 2 ** 22, bytesPerSecond: 2 ** 20 }],
        }),
        config: config({ primary: primary('a') }, 'abc', 'ac'),
      },
      undefined,
      'Degraded: 2/3 in sync (node-b: catches up, 3Mi left, about 3 s)',
    ],
    [
      'one is out',
      { ...served(), config: config({ primary: primary('a') }, 'abc', 'ac') },
      world({ machines: without('b') }),
      'Degraded: 2/3 in sync (node-b: its agent is not heard of)',
    ],
    [
      'a machine of a detached one is away',
      {},
      world({ machines: without('b') }),
      'Degraded: 3/3 in sync, 2 can be reached (node-b: its agent is not heard of)',
    ],
    [
      'too few machines of a detached one are there',
      {},
      world({ machines: without('ab') }),
      'Unavailable: 1 of the replicas in sync can be reached, 2 are needed: node-a: its agent is not heard of; node-b: its agent is not heard of',
    ],
    [
      'one more was asked for',
      { object: volumeObject({ replicas: 4 }) },
      world({ machines: without('de') }),
      'Degraded: 3/4 in sync (4 replicas wanted, there are 3, and no node can hold another)',
    ],
    [
      'one failed',
      served(),
      world({ machines: [...without('b'), machine('b', { failedReplicas: [{ volume: UID, replica: replica('b'), reason: 'EIO' }] })] }),
      'Degraded: 2/3 in sync (node-b: EIO)',
    ],
    [
      'it goes',
      { object: deleting(), config: null, tasks: [observedTask('delete', 'a', 'filed')] },
      undefined,
      'Deleting: node-a has still to delete its replica',
    ],
    ['its config cannot be read', { config: null, damage: 'not JSON' }, undefined, 'Failed: nothing is done to it: not JSON'],
  ];
  for (const [says, parts, around, expected] of rows)
    it(`is told with the reason when ${says}`, () => expect(line(see(parts, around))).to.equal(expected));
});

describe('operator: the status of a volume', () => {
  it('shows what people need of a served volume', () => {
    const status = see({ ...served({ sinceMs: Date.UTC(2026, 0, 1) + 123 }) });
    expect(status).to.deep.include({ inSync: '3/3', epoch: 1, primary: 'node-a', observedGeneration: 1 });
    expect(status.attachment).to.deep.equal({ node: 'node-a', socket: '/run/pgdata.sock', since: '2026-01-01T00:00:00Z' });
    expect(status.conditions?.map(({ type, status: holds }) => `${type}=${holds}`)).to.deep.equal([
      'Ready=True',
      'Scheduled=True',
      'Attached=True',
      'Healthy=True',
    ]);
  });

  it('shows each replica, and how long a learner still takes', () => {
    const members = [member('a'), member('b'), member('c', { leaving: true }), member('d'), member('e')];
    const learner = { replica: replica('b'), state: 'learner' as const, doneBytes: 100, totalBytes: 1_100, bytesPerSecond: 300 };
    const status = see({
      ...served({ replicas: [learner] }),
      config: config({ primary: primary('a'), shards: [{ members, inSync: [replica('a')] }] }),
      tasks: [observedTask('create', 'd', 'running', { claimed: true })],
    });
    expect(status.replicas?.map(({ node, state }) => `${node} ${state}`)).to.deep.equal([
      'node-a InSync',
      'node-b Learner',
      'node-c Leaving',
      'node-d Creating',
      'node-e Out',
    ]);
    expect(status.replicas?.[1]?.progress).to.deep.equal({ doneBytes: 100, totalBytes: 1_100, secondsLeft: 4 });
    expect(status.inSync).to.equal('1/3');
  });

  it('leaves out how long it takes while that is not known', () => {
    const learner = { replica: replica('b'), state: 'learner' as const, doneBytes: 0, totalBytes: 1_000, bytesPerSecond: 0 };
    const status = see({ ...served({ replicas: [learner] }), config: config({ primary: primary('a') }, 'abc', 'ac') });
    expect(status.replicas?.[1]?.progress).to.deep.equal({ doneBytes: 0, totalBytes: 1_000 });
  });

  it('keeps since when a condition is so, and renews it when it changes', () => {
    const before = see({});
    const old = { ...before, conditions: before.conditions?.map((one) => ({ ...one, lastTransitionTime: '2020-01-01T00:00:00Z' })) ?? [] };
    const after = see({ object: withStatus(attached('a'), old), config: config({ primary: primary('a') }), serving: serving('a') });
    expect(condition(after, 'Ready')?.lastTransitionTime).to.equal('2020-01-01T00:00:00Z');
    expect(condition(after, 'Attached')?.lastTransitionTime).to.equal('2026-01-02T03:04:05Z');
  });

  it('is not worth a write for how far a learner is', () => {
    const learning = (doneBytes: number) =>
      withoutProgress(
        see({
          ...served({ replicas: [{ replica: replica('b'), state: 'learner', doneBytes, totalBytes: 2 ** 22, bytesPerSecond: 2 ** 20 }] }),
          config: config({ primary: primary('a') }, 'abc', 'ac'),
        }),
      );
    expect(learning(1)).to.deep.equal(learning(2 ** 21));
    expect(learning(1)).to.not.deep.equal(withoutProgress(see(served())));
  });

  it('is not worth a write for how many replicas are made, but for having made them all', () => {
    const making = (...states: ('filed' | 'done')[]) =>
      withoutProgress(
        see({ config: fresh(), tasks: [...'abc'].map((letter, at) => observedTask('create', letter, states[at] ?? 'filed')) }),
      );
    expect(making('done', 'done')).to.deep.equal(making());
    expect(making()).to.not.deep.equal(withoutProgress(see({})));
  });

  it('shows no socket of a primary that only finishes something', () => {
    expect(
      see({ config: config({ primary: primary('a', 'background') }), serving: serving('a', { state: 'background' }) }),
    ).to.not.have.property('attachment');
  });
});

describe('operator: events', () => {
  const told = (before: VolumeStatus | undefined, after: VolumeStatus): string[] =>
    eventsOf(before, after).map(({ type, reason }) => `${type} ${reason}`);
  const healthy = see(served());
  const detached = see({});
  const attaching = see({ object: withStatus(attached('a'), detached) });
  const away = see({ object: attached('a') }, world({ machines: without('a') }));
  const degraded = see({ ...served(), config: config({ primary: primary('a') }, 'abc', 'ac') });
  const failed = see(
    served(),
    world({ machines: [...without('b'), machine('b', { failedReplicas: [{ volume: UID, replica: replica('b'), reason: 'EIO' }] })] }),
  );
  const pending = see({ config: null, object: volumeObject({ size: '300Gi' }) });

  const planned = see(served(), inMaintenance('b'));

  it('are left out for what people have in maintenance, and that is told from every other reason', () => {
    expect([isPlannedOnly(planned), isPlannedOnly(degraded), isPlannedOnly(detached)]).to.deep.equal([true, false, false]);
    expect(isPlannedOnly(see({}, world({ machines: without('b') }))), 'away, and nobody meant it').to.equal(false);
    const wanted = { object: volumeObject({ replicas: 4 }) };
    expect(isPlannedOnly(see(wanted, inMaintenance('b'))), 'one more is missing anyway').to.equal(false);
  });

  const rows: [says: string, before: VolumeStatus | undefined, after: VolumeStatus, events: string[]][] = [
    ['a volume fits nowhere', undefined, pending, ['Warning Unschedulable']],
    ['it still fits nowhere', pending, pending, []],
    ['it is placed and well', pending, detached, ['Normal Scheduled', 'Normal Healthy']],
    ['a machine in maintenance is away', healthy, planned, []],
    ['beside that a replica goes out', planned, degraded, ['Warning Degraded']],
    ['it is attached', detached, healthy, ['Normal Attached']],
    ['nothing changed', healthy, healthy, []],
    ['it is being attached: that is no trouble yet', detached, attaching, []],
    ['the node went away', healthy, away, ['Warning Unavailable']],
    ['it is detached', healthy, detached, ['Normal Detached']],
    ['a replica went out', healthy, degraded, ['Warning Degraded']],
    ['a replica failed', healthy, failed, ['Warning ReplicaFailed', 'Warning Degraded']],
    ['all is well again', degraded, healthy, ['Normal Healthy']],
  ];
  for (const [says, before, after, events] of rows) it(`are told when ${says}`, () => expect(told(before, after)).to.deep.equal(events));

  it('never have more text than Kubernetes takes', () => {
    const many = {
      ...pending,
      unschedulable: Array.from({ length: 100 }, (_, index) => ({ node: `node-${index}`, reason: 'x'.repeat(50) })),
    };
    expect(eventsOf(undefined, many)[0]?.note.length).to.equal(NOTE_LENGTH_MAX);
  });
});

describe('operator: the reasons that people read', () => {
  const many = (count: number, reason: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => ({ node: `node-${index}`, reason: reason(index) }));

  it('are all of them, where nodes are few', () => {
    expect(foremost(many(UNSCHEDULABLE_MAX, () => 'no room'))).to.have.length(UNSCHEDULABLE_MAX);
  });

  it('are each with some of its nodes, where they are many', () => {
    const shown = foremost(many(1_000, (index) => (index < 998 ? 'no room' : 'in maintenance')));
    expect(shown).to.have.length(UNSCHEDULABLE_MAX);
    expect(shown.filter(({ reason }) => reason === 'in maintenance')).to.have.length(2);
    expect(foremost(many(1_000, (index) => `${index} free`))).to.have.length(UNSCHEDULABLE_MAX);
  });
});
