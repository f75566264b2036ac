/** What people read, as they read it. */
import { expect } from 'chai';
import { drainingLines, drainingOf, forecastLines } from '../../../bin/view/drain.ts';
import { explainLines } from '../../../bin/view/explain.ts';
import { forecast, refusalOf, shardsThatFit } from '../../../bin/view/forecast.ts';
import { rebuildLines, rebuilds } from '../../../bin/view/rebuild.ts';
import { statusLines, statusReport } from '../../../bin/view/status.ts';
import { bar, bytes, duration, type Line, line, painted } from '../../../bin/view/text.ts';
import type { VolumeObject } from '../../../operator/api.ts';
import { cache, facts, LIMITS, logs, NOW_MS, node, replica, volume } from './fixtures.ts';

const texts = (lines: readonly Line[]): string[] => lines.map(({ text }) => text);

describe('kubectl holdfast: what people read', () => {
  it('status: what is wrong first, then how many of what', () => {
    expect(texts(statusLines(facts(), false))).to.deep.equal([
      'Holdfast 1.0.0, leader operator-1 (generation 14), etcd 2/3',
      '! node-b   not heard of for 2m10s; 1 replica out of sync; replaced elsewhere in 7m50s unless it returns',
      '! logs     1/3 in sync (node-b out, node-c catching up)',
      '! cache    pending: no node can hold a replica of 2Ti; kubectl holdfast explain cache',
      '! node-c   in maintenance: nothing is placed here; kubectl holdfast maintenance node-c off ends it',
      '4 nodes; 3 volumes: 1 pending, 1 healthy, 1 degraded; 1 rebuilding, 26.9 GiB left, about 2m10s',
    ]);
  });

  it('status --all: also every volume with its replicas, the worst first', () => {
    const lines = texts(statusLines(facts(), true));
    expect(lines.slice(5, 10)).to.deep.equal([
      'logs   Degraded 1/3   10Gi   detached',
      '  node-a/default   InSync',
      '  node-b/default   Out       its agent is not heard of',
      '  node-c/default   Learner',
      'cache   Pending 0/3   10Gi   detached',
    ]);
  });

  it('status: of many problems the first ones, and how many more there are', () => {
    const many = Array.from({ length: 30 }, (_, index) => volume(`v${index}`, { status: { phase: 'Degraded', inSync: '2/3' } }));
    const lines = texts(statusLines({ ...facts(), volumes: many, nodes: [] }, false));
    expect(lines).to.have.length(28);
    expect(lines[26]).to.equal('... and 5 more: kubectl holdfast status --all');
  });

  it('status: says that nobody leads, or that who leads is not known', () => {
    const { lease, ...rest } = facts();
    const silent = { ...rest, nowMs: NOW_MS + 60_000, lease };
    expect(texts(statusLines(silent, false))[1]).to.match(
      /^! operator +the leader was last heard of 1m1s ago: nothing is decided, volumes go on/,
    );
    expect(texts(statusLines({ ...rest, lease: null }, false))[1]).to.match(
      /^! operator +who leads is not known: the Lease cannot be read/,
    );
    expect(statusReport({ ...rest, lease: null }).leader).to.deep.equal({ name: null, version: null, generation: null, etcd: null });
  });

  it('status: what is wrong with etcd, and with agents that run other settings', () => {
    const { lease, ...rest } = facts();
    const said = (type: string, status: string, message: string) => ({ type, status, reason: 'Said', message, lastTransitionTime: '' });
    const conditions = [said('StoreWritable', 'False', 'etcd has no space left'), said('StoreNearlyFull', 'True', 'nearly full')];
    const annotations = { 'holdfast.dev/leader': JSON.stringify({ name: 'operator-1', conditions }) };
    if (lease === null) throw new Error('the fixture has a Lease');
    const nodes = [
      node('node-a', { status: { conditions: [said('Ready', 'True', ''), said('SettingsBehind', 'True', 'runs version 1')] } }),
    ];
    const { problems } = statusReport({ ...rest, nodes, lease: { ...lease, metadata: { ...lease.metadata, annotations } } });
    expect(problems.filter(({ kind }) => kind !== 'volume').map(({ name, problem }) => [name, problem])).to.deep.equal([
      ['etcd', 'etcd has no space left'],
      ['etcd', 'nearly full'],
      ['node-a', 'runs version 1'],
    ]);
    expect(
      problems.slice(0, 2).map(({ name }) => name),
      'before all volumes',
    ).to.deep.equal(['etcd', 'etcd']);
    const well = { 'holdfast.dev/leader': JSON.stringify({ conditions: [said('StoreWritable', 'True', 'etcd has space')] }) };
    const fine = statusReport({ ...rest, nodes: [], volumes: [], lease: { ...lease, metadata: { ...lease.metadata, annotations: well } } });
    expect(fine.problems).to.deep.equal([]);
  });

  it('status -o json: the same facts', () => {
    const report = statusReport(facts());
    expect(report.leader).to.deep.equal({ name: 'operator-1', version: '1.0.0', generation: 14, etcd: { answering: 2, of: 3 } });
    expect(report.problems.map(({ kind, name }) => `${kind} ${name}`)).to.deep.equal([
      'node node-b',
      'volume logs',
      'volume cache',
      'node node-c',
    ]);
    expect(report.volumes).to.include({ Healthy: 1, Degraded: 1, Pending: 1, Failed: 0 });
  });

  it('explain: why a volume fits nowhere, node by node', () => {
    expect(texts(explainLines(cache, [], [], 4, NOW_MS))).to.deep.equal([
      'cache is Pending since 4m: 3 replicas of 2Ti wanted, 0 nodes of 2 can hold one.',
      '  node-a   1.4Ti free after reserve, 2Ti needed',
      '  node-c   excluded by placement.nodeSelector disk=nvme',
      'Tried again when a node, label or volume changes, and now and then. Smaller pieces would fit now: shards: 4, in a new volume.',
      '  not Attached   it is not placed yet',
    ]);
  });

  it('explain: what is wrong with each replica, where it shall be served, what happened', () => {
    const attached = { ...logs, spec: { ...logs.spec, attachTo: 'node-b' } };
    const metadata = { name: 'e', uid: 'e', resourceVersion: '1', creationTimestamp: new Date(NOW_MS - 120_000).toISOString() };
    const events = [{ metadata, reason: 'ReplicaOut', note: 'node-b is not reached' }];
    expect(texts(explainLines(attached, facts().nodes, events, null, NOW_MS))).to.deep.equal([
      'logs is Degraded since 1m: 1 of 3 replicas are in sync.',
      '  node-b/default   Out       its agent is not heard of',
      '  node-c/default   Learner   23.1 GiB of 50.0 GiB',
      'Shall be served on node-b: its agent is not heard of.',
      'Lately:',
      '  2m   ReplicaOut   node-b is not reached',
    ]);
  });

  it('explain: says how many pieces would fit now, or that none would', () => {
    const { nodes } = facts();
    const fits = (size: string, shards = 1) => {
      const wide = volume('wide', { spec: { size, shards, replicas: 1 }, status: { phase: 'Pending', replicas: [] } });
      return shardsThatFit(wide, [wide], nodes, LIMITS);
    };
    expect([fits('150Gi'), fits('400Gi')], 'of two nodes with 190Gi each that may be promised').to.deep.equal([2, null]);
    expect(texts(explainLines(cache, [], [], null, NOW_MS))[3]).to.include('would not fit either: more room is needed.');
  });

  it('move: refuses what the leader would, in its sentence, before anything is changed', () => {
    const { nodes } = facts();
    const refused = (wish: string) => {
      const asked = volume('pgdata');
      const wished = { ...asked, metadata: { ...asked.metadata, annotations: { 'holdfast.dev/move': wish } } };
      return refusalOf(wished, [asked], nodes, LIMITS);
    };
    expect(refused('node-a=node-d')).to.equal(null);
    expect(refused('node-a=node-c')).to.equal('node-c: in maintenance');
    expect(refused('node-a=node-b')).to.equal('node-b: its agent is not heard of');
    const others = nodes.map((one) => (one.metadata.name === 'node-d' ? node('node-d', { spec: { schedulable: false } }) : one));
    const asked = volume('pgdata');
    const wished = { ...asked, metadata: { ...asked.metadata, annotations: { 'holdfast.dev/move': 'node-a=node-d' } } };
    expect(refusalOf(wished, [asked], others, LIMITS)).to.equal('node-d: excluded by spec.schedulable of its StorageNode');
  });

  it('rebuild: how far, how fast, how long, from where', () => {
    expect(texts(rebuildLines(facts()))).to.deep.equal([
      'logs   node-c   [#########-----------]  46 %   23.1 GiB of 50.0 GiB   212 MiB/s   2m10s left   from node-a',
    ]);
    expect(texts(rebuildLines({ volumes: [] }))).to.deep.equal(['Nothing is being rebuilt.']);
    const [unknown] = rebuilds({ volumes: [volume('v', { status: { replicas: [replica('a', { state: 'Learner' })] } })] });
    expect(unknown).to.include({ totalBytes: 0, secondsLeft: null });
  });

  it('drain --dry-run: where each replica would go, and what cannot leave', () => {
    const { nodes } = facts();
    const [small, large] = [volume('pgdata', { status: { attachment: { node: 'node-a' } } }), volume('logs', { spec: { size: '50Gi' } })];
    const dryRun = (name: string, volumes: VolumeObject[], among = nodes) =>
      texts(forecastLines(name, forecast(name, volumes, among, LIMITS), volumes, true));
    expect(dryRun('node-a', [small, large])).to.deep.equal([
      '2 replicas of 60Gi at most would leave node-a, each copied elsewhere first.',
      '  logs     50Gi   to node-d/default',
      '  pgdata   10Gi   to node-d/default',
      'Served from node-a and staying so until somebody attaches them elsewhere: pgdata',
      "Nothing was changed. By the leader's rules and limits, and what StorageNodes and Volumes show now.",
    ]);
    const without = nodes.filter(({ metadata }) => metadata.name !== 'node-d');
    const [head, line] = dryRun('node-a', [small], [...without, node('node-e', { spec: { schedulable: false } })]);
    expect([head, line]).to.deep.equal([
      '0 replicas of 0 at most would leave node-a, each copied elsewhere first. 1 replica could not leave as things are now.',
      '! pgdata   10Gi   cannot leave: no other node can hold it (' +
        'node-b: its agent is not heard of; node-c: in maintenance; node-e: excluded by spec.schedulable of its StorageNode)',
    ]);
    expect(dryRun('node-z', [small])).to.deep.equal(['No replica is on node-z.']);
    expect(dryRun('node-a', [logs])[1]).to.equal('! logs   50Gi   cannot leave: the replica on node-b has to be in sync first');
  });

  it('drain --dry-run: says that the limits are not those of this cluster where nobody tells them', () => {
    const volumes = [volume('pgdata')];
    const lines = texts(forecastLines('node-a', forecast('node-a', volumes, facts().nodes, LIMITS), volumes, false));
    expect(lines.at(-1)).to.include('the default limits (its Lease cannot be read)');
  });

  it('drain --wait: what is left, what cannot leave, and the end', () => {
    const evicted = (status: string, generation = 1) => [
      { type: 'Evicted', status, reason: 'r', message: 'm', lastTransitionTime: '', observedGeneration: generation },
    ];
    const evicting = { replicasLeft: 2, blocked: [{ volume: 'logs', reason: 'no other node can hold it' }] };
    const left = node('node-a', { status: { evicting, conditions: evicted('False') } });
    expect(texts(drainingLines('node-a', drainingOf(left)))).to.deep.equal([
      'node-a: 2 replicas left',
      '! logs   no other node can hold it',
    ]);
    expect(drainingOf(node('node-a', { status: { conditions: evicted('True', 0) } })), 'said of an earlier wish').to.equal(null);
    const done = drainingOf(node('node-a', { status: { conditions: evicted('True') } }));
    expect(texts(drainingLines('node-a', done))).to.deep.equal(['node-a is empty: no replica is left there.']);
  });

  const durations: [number, string][] = [
    [0, '0s'],
    [59.4, '59s'],
    [60, '1m'],
    [130, '2m10s'],
    [3_600, '1h'],
    [3_665, '1h1m'],
    [90_000, '1d1h'],
    [-5, '0s'],
  ];
  for (const [seconds, text] of durations) it(`calls ${seconds} s ${text}`, () => expect(duration(seconds)).to.equal(text));

  it('compares bytes and shares', () => {
    expect([0, 1_023, 1_024, 118 * 1024 ** 2, 41.2 * 1024 ** 3].map(bytes)).to.deep.equal([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '118 MiB',
      '41.2 GiB',
    ]);
    expect([bar(0, 100), bar(99, 100), bar(1, 0)]).to.deep.equal([
      '[--------------------]   0 %',
      '[###################-]  99 %',
      '[####################] 100 %',
    ]);
  });

  it('colours only where that is wanted', () => {
    expect(painted(line('x', 'bad'), false)).to.equal('x');
    expect(painted(line('x', 'bad'), true)).to.equal('\u001b[31mx\u001b[0m');
    expect(painted(line('x'), true)).to.equal('x');
  });
});
