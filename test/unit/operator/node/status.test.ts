/** What people see of a node whose agent runs, is silent, or is not wanted for anything new. */
import { expect } from 'chai';
import type { StorageNodeObject } from '../../../../operator/api.ts';
import { nodeEventsOf } from '../../../../operator/node/events.ts';
import { type NodeFacts, newStorageNode, nodeStateOf, nodeStatusOf } from '../../../../operator/node/status.ts';
import { GiB, machine, pool, UID } from '../../../support/operator/builders.ts';

const NOW = { monotonicMs: 0, wallMs: Date.parse('2026-01-02T03:04:05Z') };
const LIMITS = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };
const facts = (change: Partial<NodeFacts> = {}): NodeFacts => ({
  machine: machine('a'),
  replicas: 2,
  snapshots: 0,
  blocked: [],
  removal: null,
  limits: LIMITS,
  isOutOfService: false,
  settingsLag: null,
  ...change,
});
const conditions = (status: ReturnType<typeof nodeStatusOf>): string[] =>
  status.conditions?.map(({ type, status: holds, message }) => `${type} ${holds}: ${message}`) ?? [];

describe('operator: the status of a node', () => {
  const node = newStorageNode('node-a');
  const running = nodeStatusOf(node, facts(), NOW);

  it('says that its agent runs and that replicas may be placed there', () => {
    expect(conditions(running)).to.deep.equal([
      `Ready True: its agent runs version ${machine('a').version}`,
      'Schedulable True: new replicas may be placed here',
    ]);
  });

  it('keeps what a silent agent last told, and says that nothing is placed there', () => {
    const silent = nodeStatusOf({ ...node, status: running }, facts({ machine: null }), NOW);
    expect(silent).to.include({ capacity: running.capacity, used: running.used, version: running.version });
    expect(conditions(silent)).to.deep.equal(['Ready False: its agent is not heard of', 'Schedulable False: its agent is not heard of']);
  });

  it('says first what people asked for', () => {
    const excluded = { ...node, spec: { ...node.spec, schedulable: false } };
    expect(conditions(nodeStatusOf(excluded, facts({ machine: null }), NOW))[1]).to.equal(
      'Schedulable False: excluded by spec.schedulable',
    );
  });

  const asked = (change: Partial<StorageNodeObject['spec']>): StorageNodeObject => ({ ...node, spec: { ...node.spec, ...change } });

  it('tells what is left of emptying it, and what holds that up', () => {
    const evicting = nodeStatusOf(asked({ evict: true }), facts(), NOW);
    expect(evicting.evicting).to.deep.equal({ replicasLeft: 2, blocked: [] });
    expect(conditions(evicting)[2]).to.equal('Evicted False: 2 replicas are left');
    const blocked = [{ volume: 'pgdata', reason: 'no other node can hold it' }];
    const stuck = nodeStatusOf(asked({ evict: true }), facts({ replicas: 1, blocked: blocked.map((one) => ({ ...one, uid: UID })) }), NOW);
    expect(stuck.evicting).to.deep.equal({ replicasLeft: 1, blocked });
    expect(conditions(stuck)[2]).to.equal('Evicted False: 1 replica is left, 1 cannot leave now: pgdata: no other node can hold it');
    const empty = nodeStatusOf({ ...asked({ evict: true }), status: stuck }, facts({ replicas: 0 }), NOW);
    expect(conditions(empty)[2]).to.equal('Evicted True: no replica is left here');
    const kept = nodeStatusOf(asked({ evict: true }), facts({ replicas: 0, snapshots: 2 }), NOW);
    expect(conditions(kept)[2]).to.equal('Evicted True: no replica is left here; the parts of 2 snapshots stay until they are deleted');
    expect(nodeEventsOf(evicting, stuck).map(({ reason }) => reason)).to.deep.equal(['EvictionBlocked']);
    expect(nodeEventsOf(stuck, empty).map(({ reason }) => reason)).to.deep.equal(['Evicted']);
    expect(nodeStatusOf({ ...node, status: empty }, facts(), NOW)).to.not.have.property('evicting');
  });

  it('tells of pools that are nearly full, once', () => {
    const full = nodeStatusOf(node, facts({ machine: machine('a', { pools: [pool({ usedBytes: 90 * GiB })] }) }), NOW);
    expect(conditions(full)[2]).to.equal('PoolNearlyFull True: pool default is nearly full: 90 % of it is used, more than 85 %');
    expect(nodeEventsOf(running, full).map(({ reason }) => reason)).to.deep.equal(['PoolNearlyFull']);
    expect(nodeEventsOf(full, full)).to.deep.equal([]);
  });

  it('calls nobody for a node that is down on purpose', () => {
    const planned = nodeStatusOf({ ...asked({ maintenance: true }), status: running }, facts({ machine: null }), NOW);
    expect([conditions(planned)[0], nodeEventsOf(running, planned)]).to.deep.equal([
      'Ready False: in maintenance; its agent is not heard of',
      [],
    ]);
    const away = nodeStatusOf({ ...node, status: running }, facts({ machine: null }), NOW);
    expect(nodeEventsOf(running, away).map(({ reason }) => reason)).to.deep.equal(['NodeAway']);
    expect(nodeEventsOf(away, running).map(({ reason }) => reason)).to.deep.equal(['NodeBack']);
    expect(nodeEventsOf(planned, running)).to.deep.equal([]);
  });

  it('is told of a pool that is given up', () => {
    const broken = nodeStatusOf(node, facts({ machine: machine('a', { pools: [pool({ state: 'quarantined', reason: 'EIO' })] }) }), NOW);
    expect(nodeEventsOf(running, broken).map(({ reason, note }) => `${reason}: ${note}`)).to.deep.equal([
      'PoolQuarantined: pool default: EIO',
    ]);
  });

  it('counts as what people meant by it', () => {
    expect([
      nodeStateOf(node, true),
      nodeStateOf(node, false),
      nodeStateOf(asked({ maintenance: true, evict: true }), false),
      nodeStateOf(asked({ evict: true }), true),
      nodeStateOf({ ...node, metadata: { ...node.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }, true),
    ]).to.deep.equal(['ready', 'away', 'maintenance', 'evicting', 'evicting']);
  });
});
