/** What the operator tells of itself, in one place. Names end in their unit. */
import type { Metrics } from '../edge/metrics.ts';
import { NODE_STATES, type NodeState } from './node/status.ts';
import { objectMetrics } from './objectMetrics.ts';
import { POOL_LIMITS, type PoolLevel } from './placement/levels.ts';
import type { SeenStore } from './store/decide.ts';
import type { Phase } from './volume/status.ts';

export const PHASES: readonly Phase[] = ['Pending', 'Creating', 'Healthy', 'Degraded', 'Unavailable', 'Deleting', 'Failed'];
const TASK_STATES = ['filed', 'running', 'done', 'failed'] as const;
const PASS_BUCKETS_SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10];

export type CommitOutcome = 'committed' | 'conflict' | 'fenced' | 'unanswered';
export type OperatorMetrics = ReturnType<typeof operatorMetrics>;

export function operatorMetrics(metrics: Metrics) {
  const leader = metrics.gauge('leader_count', '1 while this operator leads, else 0');
  const generation = metrics.gauge('leader_generation_count', 'The generation under which this operator leads; 0 while it does not');
  const isCaretaker = metrics.gauge('leader_caretaker_count', '1 while this operator leads without the API server or its Lease, else 0');
  const volumes = metrics.gauge('volumes_count', 'Volumes by phase; only the leader counts them', ['phase']);
  const nodes = metrics.gauge('nodes_count', 'StorageNodes by state; in maintenance is on purpose, away is not', ['state']);
  const tasks = metrics.gauge('tasks_count', 'Tasks in etcd by state; only the leader counts them', ['state']);
  const unschedulable = metrics.gauge('volumes_unschedulable_count', 'Volumes of which some replica fits nowhere; their status says why');
  const planned = metrics.gauge(
    'volumes_planned_count',
    'Volumes that are Degraded only because of nodes in maintenance; alarm on those Degraded beyond these',
  );
  const pools = metrics.gauge('pools_count', 'Pools by limit, and whether they are near it (nine tenths) or have reached it', [
    'limit',
    'level',
  ]);
  const pass = metrics.histogram('reconcile_duration_seconds', 'One pass: observe, decide, write to etcd', PASS_BUCKETS_SECONDS);
  const commits = metrics.counter('etcd_transactions_total', "The leader's transactions by outcome", ['outcome']);
  const elections = metrics.counter('elections_won_total', 'How often this operator became the leader');
  const damages = metrics.gauge('etcd_damaged_keys_count', 'Keys in etcd that cannot be read; somebody has to look');
  const lagging = metrics.gauge(
    'agents_settings_behind_count',
    'Agents that have not run the latest settings for more than a minute; their StorageNodes say so',
  );
  const objects = objectMetrics(metrics);
  leader.set(0);
  generation.set(0);
  isCaretaker.set(0);
  return {
    ...storeMetrics(metrics),
    objects,
    lagging,
    isCaretaker,
    commits,
    pass,
    damages,
    leads(ofGeneration: number): void {
      leader.set(1);
      generation.set(ofGeneration);
      elections.inc();
    },
    /** Numbers that only a leader knows must not stand still when it is none any more. */
    follows(): void {
      leader.set(0);
      generation.set(0);
      isCaretaker.set(0);
      volumes.reset();
      nodes.reset();
      pools.reset();
      unschedulable.set(0);
      planned.set(0);
      tasks.reset();
      damages.set(0);
      lagging.set(0);
      objects.forget();
    },
    unschedulable,
    planned,
    /** The alarm that comes before each of the three. */
    countPools(levels: Iterable<PoolLevel>): void {
      const counts = tally([...levels].map(({ limit, level }) => `${limit}/${level}`));
      for (const limit of POOL_LIMITS)
        for (const level of ['near', 'reached'] as const) pools.set({ limit, level }, counts.get(`${limit}/${level}`) ?? 0);
    },
    count(phases: Iterable<Phase>, taskStates: Iterable<string>, nodeStates: Iterable<NodeState>): void {
      const [byPhase, byState, byNodeState] = [tally(phases), tally(taskStates), tally(nodeStates)];
      for (const state of NODE_STATES) nodes.set({ state }, byNodeState.get(state) ?? 0);
      for (const phase of PHASES) volumes.set({ phase }, byPhase.get(phase) ?? 0);
      for (const state of TASK_STATES) tasks.set({ state }, byState.get(state) ?? 0);
    },
  };
}

/** Each operator tells for itself what it sees of the world. A reason: what it knows may be old. */
export function sourceMetrics(metrics: Metrics, sources: Record<string, () => string | null>): void {
  metrics.gauge(
    'source_behind_count',
    '1 while what this operator knows of a source (etcd, apiserver) may be old, else 0',
    ['source'],
    (gauge) => {
      for (const [source, staleReason] of Object.entries(sources)) gauge.set({ source }, staleReason() === null ? 0 : 1);
    },
  );
}

/** Of etcd itself, by whoever holds the Lease. */
function storeMetrics(metrics: Metrics) {
  const alarms = metrics.gauge('etcd_alarms_count', 'Alarms of etcd by kind; with NOSPACE it takes no writes', ['alarm']);
  const used = metrics.gauge('etcd_db_used_bytes', "The largest of the members' databases without what a defragmentation would win");
  const quota = metrics.gauge('etcd_quota_ratio', 'How full the fullest member of etcd is, of its quota; beyond 1 it takes no writes');
  const steps = metrics.counter('etcd_upkeep_total', 'Compactions, defragmentations and disarmed alarms by outcome', ['step', 'outcome']);
  const most = (values: readonly number[]): number => Math.max(0, ...values);
  return {
    storeSeen({ members, alarms: raised, quotas }: SeenStore): void {
      const there = members.flatMap(({ status }) => status ?? []);
      for (const alarm of ['NOSPACE', 'CORRUPT']) alarms.set({ alarm }, raised.filter(({ kind }) => kind === alarm).length);
      used.set(most(there.map(({ usedBytes }) => usedBytes)));
      quota.set(most(there.map(({ id, dbBytes }) => dbBytes / (quotas.get(id) ?? Number.POSITIVE_INFINITY))));
    },
    storeStep(step: string, outcome: 'done' | 'unneeded' | 'failed'): void {
      steps.inc({ step, outcome });
    },
    storeForgotten(): void {
      alarms.reset();
      used.set(0);
      quota.set(0);
    },
  };
}

function tally<Key>(keys: Iterable<Key>): Map<Key, number> {
  const counts = new Map<Key, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
