/** What becomes of a snapshot, situation by situation. */
import { expect } from 'chai';
import { type SnapshotUid, snapshotUid } from '../../../../core/ids.ts';
import { deleteSnapshotTaskId, snapshotTaskId } from '../../../../core/keys.ts';
import type { RecordedSnapshot } from '../../../../core/snapshot.ts';
import { fileTask, type Task, type TaskSpec, type TaskState } from '../../../../core/task.ts';
import { emptyMemory, sightingOf, withSetback } from '../../../../operator/observe/memory.ts';
import type { ObservedTask, ObservedVolume } from '../../../../operator/observe/observed.ts';
import { decideSnapshot, type SnapshotDecision } from '../../../../operator/snapshot/decide.ts';
import { snapshotEventsOf, snapshotStatusOf } from '../../../../operator/snapshot/status.ts';
import type { Transaction, World } from '../../../../operator/volume/decision.ts';
import {
  config,
  instance,
  KEYS,
  machine,
  observedVolume,
  pool,
  recorded,
  snapshotObject,
  UID,
  volumeObject,
  world,
} from '../../../support/operator/builders.ts';
import { decide, nextConfig, primary } from '../../../support/operator/decisions.ts';

const NIGHTLY = snapshotUid('nightly-uid');
const NOW_MS = 1_000_000;
const MACHINES = [...'abcde'].map((letter) => machine(letter, { pools: [pool({ reflink: true })] }));
const served = config({ primary: primary('a') });
const going = { deletionTimestamp: '2026-01-01T00:00:00Z' };

function taskOf(spec: TaskSpec, id: string, node: string, state: TaskState, error?: string): ObservedTask {
  const value: Task = { ...fileTask(id, node, spec, 1, 'f'.repeat(32)), state, ...(error ? { error } : {}) };
  return { task: { value, key: KEYS.task(node, id), revision: '70' }, claim: null };
}
const taking = (letter: string, state: TaskState, error?: string): ObservedTask =>
  taskOf({ kind: 'snapshot', volume: UID, snapshot: NIGHTLY }, snapshotTaskId(NIGHTLY), `node-${letter}`, state, error);
const deletion = (letter: string, state: TaskState, error?: string): ObservedTask => {
  const node = `node-${letter}`;
  const spec = { kind: 'delete-snapshot', volume: UID, snapshot: NIGHTLY, pool: 'default' } as const;
  return taskOf(spec, deleteSnapshotTaskId(NIGHTLY, node, 'default'), node, state, error);
};

type Parts = {
  volume?: Partial<Parameters<typeof observedVolume>[0]> | null;
  record?: RecordedSnapshot;
  object?: ReturnType<typeof snapshotObject> | null;
  tasks?: ObservedTask[];
  others?: ObservedVolume[];
  around?: Parameters<typeof world>[0];
};

function situation({
  volume = {},
  record,
  object = snapshotObject('nightly', 'pgdata', NIGHTLY),
  tasks = [],
  others = [],
  around = {},
}: Parts): World {
  const snapshots = new Map<SnapshotUid, { value: RecordedSnapshot; key: string; revision: string }>(
    record ? [[NIGHTLY, { value: record, key: KEYS.snapshot(UID, NIGHTLY), revision: '60' }]] : [],
  );
  const gone = { object: null, config: null };
  const source = observedVolume({ config: served, ...(volume ?? gone), snapshots, tasks });
  return world({ machines: MACHINES, volumes: [source, ...others], snapshotObjects: object ? [object] : [], nowMs: NOW_MS, ...around });
}

function decided(parts: Parts): SnapshotDecision {
  const around = situation(parts);
  const subject = around.snapshots.byUid.get(NIGHTLY);
  if (!subject) throw new Error('there is no such snapshot');
  return decideSnapshot(subject, around);
}
const transactionOf = (decision: SnapshotDecision): Transaction | undefined =>
  decision.actions.flatMap((action) => (action.kind === 'commit' ? [action.transaction] : []))[0];
const putsOf = (decision: SnapshotDecision): string[] =>
  (transactionOf(decision)?.changes ?? []).flatMap((change) => ('put' in change ? [change.put] : []));
const deletesOf = (decision: SnapshotDecision): string[] =>
  (transactionOf(decision)?.changes ?? []).flatMap((change) => ('delete' in change ? [change.delete] : []));
const since = (task: ObservedTask, forMs: number) => ({
  memory: { ...emptyMemory, taskSinceMs: new Map([[sightingOf(task.task.value), NOW_MS - forMs]]) },
});

describe('operator: a snapshot that cannot be taken now says why', () => {
  const rows: [says: string, parts: Parts, state: SnapshotDecision['state'], sentence: string][] = [
    ['no volume', { object: snapshotObject('nightly', 'other', NIGHTLY) }, 'blocked', 'there is no Volume other'],
    ['the volume goes', { volume: { object: volumeObject({}, going) } }, 'blocked', 'Volume pgdata is being deleted'],
    ['not placed yet', { volume: { config: null } }, 'blocked', 'Volume pgdata is not made yet'],
    ['being made', { volume: { config: config({ epoch: 0 }, 'abc', '') } }, 'blocked', 'Volume pgdata is not made yet'],
    [
      'no reflink',
      { around: { machines: [...MACHINES.slice(0, 2), machine('c')] } },
      'blocked',
      'snapshots: unsupported on pool node-c/default (its file system cannot share blocks)',
    ],
    ['nobody is primary', { volume: { config: config() } }, 'waiting', 'waits for a primary'],
    [
      'the primary is gone',
      { volume: { config: config({ primary: { node: 'node-a', instance: instance('old'), mode: 'serve' } }) } },
      'waiting',
      'the agent of node-a is gone',
    ],
    [
      'the primary lets go',
      { volume: { config: config({ primary: primary('a', 'release') }) } },
      'waiting',
      'node-a is letting go, the next primary is asked',
    ],
    ['it is being taken', { tasks: [taking('a', 'running')] }, 'taking', 'node-a is taking it'],
    ['it failed just now', { tasks: [taking('a', 'failed', 'no barrier')] }, 'failing', 'no barrier; tried again after a while'],
    ['it was taken just now', { tasks: [taking('a', 'done')] }, 'taking', 'node-a is taking it'],
  ];
  for (const [says, parts, state, sentence] of rows) {
    it(says, () => {
      const decision = decided(parts);
      expect([decision.state, decision.reason, decision.actions]).to.deep.equal([state, sentence, []]);
    });
  }

  it('a replica out of sync need not be able to', () => {
    const machines = [...MACHINES.slice(0, 2), machine('c')];
    expect(decided({ volume: { config: config({ primary: primary('a') }, 'abc', 'ab') }, around: { machines } }).state).to.equal('taking');
  });
});

describe('operator: a snapshot', () => {
  it('gets its finalizer before anything is made', () => {
    const object = snapshotObject('nightly', 'pgdata', NIGHTLY, { finalizers: [] });
    expect(decided({ object }).actions).to.deep.equal([{ kind: 'addFinalizer' }]);
  });

  it('is asked for at the primary, if that is still it', () => {
    const decision = decided({});
    expect(putsOf(decision)).to.deep.equal([KEYS.task('node-a', snapshotTaskId(NIGHTLY))]);
    expect(transactionOf(decision)?.conditions).to.deep.include({ key: KEYS.volume(UID), is: 'revision', revision: '50' });
  });

  it('is asked for at the next primary, as the next attempt', () => {
    const decision = decided({ tasks: [taking('b', 'running')] });
    expect(deletesOf(decision)).to.deep.equal([KEYS.task('node-b', snapshotTaskId(NIGHTLY)), KEYS.claim(snapshotTaskId(NIGHTLY))]);
    const change = transactionOf(decision)?.changes.find((one) => 'put' in one);
    expect(JSON.parse(change && 'value' in change ? change.value : '')).to.deep.include({ node: 'node-a', attempt: 2, state: 'filed' });
  });

  it('is tried again after a while, at growing intervals', () => {
    const failed = taking('a', 'failed', 'no barrier');
    const decision = decided({ tasks: [failed], around: since(failed, 2_000) });
    expect(putsOf(decision)).to.deep.equal([failed.task.key]);
    expect(decision.actions.map(({ kind }) => kind)).to.deep.equal(['commit', 'noteSetback']);
    const { memory } = since(failed, 60_000);
    const again = { memory: withSetback(memory, `task/${failed.task.value.id}`, '', NOW_MS - 4_000) };
    expect(decided({ tasks: [failed], around: again }).actions).to.deep.equal([]);
  });

  it('is taken again when its record does not come', () => {
    const done = taking('a', 'done');
    expect(putsOf(decided({ tasks: [done], around: since(done, 10_000) }))).to.deep.equal([done.task.key]);
  });

  it('is ready as soon as it is recorded, and its task is put away', () => {
    const decision = decided({ record: recorded('ab'), tasks: [taking('a', 'done')] });
    expect([decision.state, decision.reason]).to.deep.equal(['ready', 'held by node-a, node-b']);
    expect(deletesOf(decision)).to.include(KEYS.task('node-a', snapshotTaskId(NIGHTLY)));
    expect(decided({ record: recorded('ab') }).actions).to.deep.equal([]);
  });

  it('stays when its volume goes', () => {
    expect(decided({ record: recorded('ab'), volume: null }).state).to.equal('ready');
  });

  it('whose volume went before it was taken gives its task up', () => {
    const decision = decided({ volume: { object: volumeObject({}, going) }, tasks: [taking('a', 'failed', 'x')] });
    expect(deletesOf(decision)).to.include(KEYS.task('node-a', snapshotTaskId(NIGHTLY)));
  });
});

describe('operator: a snapshot that goes', () => {
  const object = snapshotObject('nightly', 'pgdata', NIGHTLY, going);
  const done = [...'abcd'].map((letter) => deletion(letter, 'done'));

  it('is deleted wherever something of it may lie, and no attempt goes on', () => {
    const decision = decided({ object, record: recorded('ad'), tasks: [taking('a', 'running')] });
    expect(putsOf(decision)).to.have.members(
      [...'abcd'].map((letter) => KEYS.task(`node-${letter}`, deleteSnapshotTaskId(NIGHTLY, `node-${letter}`, 'default'))),
    );
    expect(deletesOf(decision)).to.deep.equal([KEYS.task('node-a', snapshotTaskId(NIGHTLY)), KEYS.claim(snapshotTaskId(NIGHTLY))]);
  });

  it('waits for agents that live, and not for those that are away', () => {
    const tasks = [deletion('a', 'done'), deletion('b', 'running'), deletion('c', 'done')];
    expect(decided({ object, record: recorded('abc'), tasks }).reason).to.equal('node-b has still to delete its part');
    const machines = MACHINES.filter(({ node }) => node !== 'node-b');
    expect(deletesOf(decided({ object, record: recorded('abc'), tasks, around: { machines } }))).to.deep.equal([
      KEYS.snapshot(UID, NIGHTLY),
    ]);
  });

  it('tries again what failed', () => {
    const failed = deletion('b', 'failed', 'EIO');
    const tasks = [deletion('a', 'done'), failed, deletion('c', 'done')];
    const decision = decided({ object, record: recorded('abc'), tasks, around: since(failed, 2_000) });
    expect([decision.reason, putsOf(decision)]).to.deep.equal([
      'what node-b has of it could not be deleted (EIO); tried again',
      [failed.task.key],
    ]);
  });

  it('loses its record when its parts are gone, then its finalizer, then its tasks', () => {
    expect(deletesOf(decided({ object, record: recorded('abcd'), tasks: done }))).to.deep.equal([KEYS.snapshot(UID, NIGHTLY)]);
    expect(decided({ object, tasks: done }).actions).to.deep.equal([{ kind: 'removeFinalizer' }]);
    const last = decided({ object: null, tasks: done });
    expect(deletesOf(last)).to.include.members(done.map(({ task }) => task.key));
    expect(last.actions.map(({ kind }) => kind)).to.deep.equal(['commit']);
  });

  it('waits for a volume that is being made from it', () => {
    const clone = observedVolume({
      uid: 'clone' as never,
      object: volumeObject({ source: { snapshot: 'nightly' } }, { name: 'clone', uid: 'clone' }),
      config: config({ uid: 'clone' as never, name: 'clone', epoch: 0 }, 'ab', ''),
    });
    const decision = decided({ object, record: recorded('ab'), others: [clone] });
    expect([decision.reason, decision.actions]).to.deep.equal(['kept until the volumes that start from it are made', []]);
  });

  it('and is nobody’s is deleted only when the API server itself says so', () => {
    for (const parts of [{ record: recorded('ab') }, { tasks: [taking('a', 'failed', 'x')] }, { record: recorded('abc'), tasks: done }]) {
      expect(decided({ object: null, ...parts }).actions.map(({ kind }) => kind)).to.deep.equal(['confirmNobodyWants', 'commit']);
    }
  });

  it('has nothing to wait for when it was never taken and its volume is gone', () => {
    expect(decided({ object: { ...object, spec: { volume: 'other' } } }).actions).to.deep.equal([{ kind: 'removeFinalizer' }]);
    const others = { ...object, metadata: { ...object.metadata, finalizers: ['else'] } };
    expect(decided({ object: { ...others, spec: { volume: 'other' } } }).actions).to.deep.equal([]);
  });
});

describe('operator: a snapshot of a volume that nobody uses', () => {
  const volume = observedVolume();

  it('is asked for in the transaction that promotes a primary in the background', () => {
    const decision = decide(
      volume,
      world({ machines: MACHINES, volumes: [volume], snapshotObjects: [snapshotObject('nightly', 'pgdata', NIGHTLY)] }),
    );
    expect(nextConfig(decision).primary).to.deep.include({ node: 'node-a', mode: 'background' });
    expect(decision.reason).to.equal('a snapshot is to be taken: node-a takes care of it');
    const keys = decision.actions.flatMap((action) =>
      action.kind === 'commit' ? action.transaction.changes.map((change) => ('put' in change ? change.put : '')) : [],
    );
    expect(keys).to.include(KEYS.task('node-a', snapshotTaskId(NIGHTLY)));
  });

  it('that failed is not tried again before its time', () => {
    const tasks = [taking('b', 'failed', 'x')];
    const failed = observedVolume({ tasks });
    const now = world({ machines: MACHINES, volumes: [failed], snapshotObjects: [snapshotObject('nightly', 'pgdata', NIGHTLY)] });
    expect(decide(failed, now).actions).to.deep.equal([]);
    const later = { ...now, memory: since(tasks[0] as ObservedTask, 5_000).memory };
    expect(nextConfig(decide(failed, later)).primary).to.deep.include({ node: 'node-a', mode: 'background' });
  });

  it('that cannot be taken moves nobody', () => {
    const now = world({ volumes: [volume], snapshotObjects: [snapshotObject('nightly', 'pgdata', NIGHTLY)] });
    expect(decide(volume, now).state).to.equal('detached');
  });
});

describe('operator: what people see of a snapshot', () => {
  const statusOf = (parts: Parts) => {
    const subject = situation(parts).snapshots.byUid.get(NIGHTLY);
    if (!subject?.object) throw new Error('there is no such snapshot');
    return { status: snapshotStatusOf(subject.object, subject, decided(parts)), state: decided(parts).state };
  };

  it('is where it lies, how large it is and when it was taken', () => {
    const { status, state } = statusOf({ record: recorded('ba') });
    expect(status).to.deep.equal({
      phase: 'Ready',
      ready: true,
      size: '1Gi',
      createdAt: '2026-01-02T03:04:05Z',
      nodes: ['node-a', 'node-b'],
      observedGeneration: 1,
    });
    expect(snapshotEventsOf({ ready: false }, status, state)).to.deep.equal([
      { type: 'Normal', reason: 'SnapshotReady', action: 'Snapshot', note: '1Gi held by node-a, node-b' },
    ]);
    expect(snapshotEventsOf(status, status, state)).to.deep.equal([]);
  });

  it('is why it is not there', () => {
    const { status, state } = statusOf({ tasks: [taking('a', 'failed', 'no barrier')] });
    expect(status).to.deep.equal({ phase: 'Failed', ready: false, error: 'no barrier; tried again after a while', observedGeneration: 1 });
    expect(snapshotEventsOf(undefined, status, state)[0]).to.deep.include({ type: 'Warning', reason: 'SnapshotFailed' });
  });

  it('is told when somebody has to change something, and not of what comes by itself', () => {
    const blocked = statusOf({ volume: { config: null } });
    expect(snapshotEventsOf(undefined, blocked.status, blocked.state)[0]).to.deep.include({ reason: 'SnapshotWaits' });
    const waiting = statusOf({ volume: { config: config() } });
    expect(snapshotEventsOf(undefined, waiting.status, waiting.state)).to.deep.equal([]);
  });
});
