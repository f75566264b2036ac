/** A small cluster as it stands in Kubernetes, in which something of each kind is wrong. */
import type { Facts } from '../../../bin/kube.ts';
import type { StorageNodeObject, VolumeObject } from '../../../operator/api.ts';
import type { LeaderFacts } from '../../../operator/election/facts.ts';

export const NOW_MS = Date.parse('2026-01-02T12:00:00Z');
const at = (secondsAgo: number): string => new Date(NOW_MS - secondsAgo * 1_000).toISOString();
const GIB = 1024 ** 3;

type Condition = { type: string; status: 'True' | 'False' | 'Unknown'; reason: string; message: string; ago?: number };
const conditions = (...all: Condition[]) =>
  all.map(({ ago = 60, ...rest }) => ({ ...rest, lastTransitionTime: at(ago), observedGeneration: 1 }));

export function node(name: string, change: { spec?: object; status?: object } = {}): StorageNodeObject {
  const pool = { name: 'default', state: 'Ready', capacity: '100Gi', used: '10Gi', allocated: '20Gi', tags: [], snapshots: true };
  return {
    metadata: { name, uid: `uid-${name}`, resourceVersion: '1', generation: 1, labels: {} },
    spec: { schedulable: true, maintenance: false, evict: false, ...change.spec },
    status: {
      zone: 'left',
      version: '1.0.0',
      replicas: 2,
      pools: [pool],
      conditions: conditions({ type: 'Ready', status: 'True', reason: 'AgentRuns', message: 'its agent runs version 1.0.0' }),
      ...change.status,
    },
  } as StorageNodeObject;
}

export function volume(name: string, change: { spec?: object; status?: object } = {}): VolumeObject {
  return {
    metadata: { name, uid: `uid-${name}`, resourceVersion: '1', generation: 1, creationTimestamp: at(3_600) },
    spec: {
      size: '10Gi',
      replicas: 3,
      shards: 1,
      placement: { nodeSelector: {}, poolTags: [], zones: 'Prefer' },
      limits: { iops: 0, bytesPerSecond: 0 },
      ...change.spec,
    },
    status: {
      phase: 'Healthy',
      observedGeneration: 1,
      size: '10Gi',
      inSync: '3/3',
      replicas: ['a', 'b', 'c'].map((letter) => replica(letter)),
      conditions: conditions({ type: 'Ready', status: 'True', reason: 'Healthy', message: 'all replicas are in sync' }),
      ...change.status,
    },
  } as VolumeObject;
}

export const replica = (letter: string, change: object = {}) => ({
  name: letter.repeat(16),
  node: `node-${letter}`,
  pool: 'default',
  shard: 0,
  state: 'InSync',
  ...change,
});

const notReady = (reason: string, message: string, ago: number) => conditions({ type: 'Ready', status: 'False', reason, message, ago });

export const logs = volume('logs', {
  spec: { size: '50Gi' },
  status: {
    phase: 'Degraded',
    inSync: '1/3',
    replicas: [
      replica('a'),
      replica('b', { state: 'Out', reason: 'its agent is not heard of' }),
      replica('c', { state: 'Learner', progress: { doneBytes: 23.1 * GIB, totalBytes: 50 * GIB, secondsLeft: 130 } }),
    ],
    conditions: conditions({ type: 'Ready', status: 'True', reason: 'Degraded', message: '1 of 3 replicas are in sync' }),
  },
});

export const cache = volume('cache', {
  spec: { size: '2Ti' },
  status: {
    phase: 'Pending',
    inSync: '0/3',
    replicas: [],
    unschedulable: [
      { node: 'node-a', reason: '1.4Ti free after reserve, 2Ti needed' },
      { node: 'node-c', reason: 'excluded by placement.nodeSelector disk=nvme' },
    ],
    conditions: [
      ...notReady('Unschedulable', 'no node can hold a replica of 2Ti', 240),
      ...conditions({ type: 'Attached', status: 'False', reason: 'Pending', message: 'it is not placed yet' }),
    ],
  },
});

export const LIMITS = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };
const LEADER: LeaderFacts = {
  version: '1.0.0',
  name: 'operator-1',
  generation: 14,
  since: at(9_000),
  etcd: { answering: 2, of: 3 },
  conditions: [],
  limits: LIMITS,
  replaceAfterSeconds: 600,
};

export const facts = (): Facts => ({
  volumes: [volume('pgdata', { status: { attachment: { node: 'node-a', socket: '/s', since: at(60) } } }), cache, logs],
  nodes: [
    node('node-a'),
    node('node-b', { status: { conditions: notReady('NotHeardOf', 'its agent is not heard of', 130) } }),
    node('node-c', { spec: { maintenance: true } }),
    node('node-d'),
  ],
  snapshots: [],
  lease: {
    metadata: {
      name: 'operator.holdfast.dev',
      uid: 'u',
      resourceVersion: '1',
      annotations: { 'holdfast.dev/leader': JSON.stringify(LEADER) },
    },
    spec: { holderIdentity: 'operator-1_x', renewTime: at(1), leaseDurationSeconds: 6 },
  },
  nowMs: NOW_MS,
});
