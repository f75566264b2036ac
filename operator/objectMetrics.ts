/**
 * What the leader tells of single volumes, nodes and pools, for alarms that name them and for pictures of one of them. Looked at when somebody scrapes, not
 * before. Must never grow without a bound: of volumes the worst VOLUMES_TOLD_MAX are told, and how many are not.
 */
import type { NodeName } from '../core/ids.ts';
import type { Metrics } from '../edge/metrics.ts';
import type { NodeState } from './node/status.ts';
import type { PoolLevel } from './placement/levels.ts';
import type { SnapshotState } from './snapshot/decide.ts';
import type { Phase } from './volume/status.ts';
import type { ToldVolume } from './volume/told.ts';

export const VOLUMES_TOLD_MAX = 2_000;
const WORST_FIRST: readonly Phase[] = ['Failed', 'Unavailable', 'Degraded', 'Pending', 'Creating', 'Deleting', 'Healthy'];
export const SNAPSHOT_STATES: readonly SnapshotState[] = ['waiting', 'blocked', 'taking', 'failing', 'ready', 'deleting'];
const MS_PER_SECOND = 1000;

export type ToldNode = { node: NodeName; state: NodeState; version: string };

/** As they are at each moment: what is handed in is looked at again and again. */
export type ToldObjects = {
  volumes: ReadonlyMap<unknown, ToldVolume>;
  nodes: readonly ToldNode[];
  pools: readonly PoolLevel[];
  snapshots: readonly SnapshotState[];
  /** Of each node that has tasks which have not ended: for how long the oldest has been as it is. */
  oldestTasksMs: ReadonlyMap<NodeName, number>;
};

const NOTHING: ToldObjects = { volumes: new Map(), nodes: [], pools: [], snapshots: [], oldestTasksMs: new Map() };

export function objectMetrics(metrics: Metrics) {
  let objects = NOTHING;
  volumeMetrics(metrics, () => worst(objects.volumes));
  metrics.gauge('volumes_untold_count', `Volumes of which nothing is told by name: the best beyond ${VOLUMES_TOLD_MAX}`, [], (gauge) =>
    gauge.set(Math.max(0, objects.volumes.size - VOLUMES_TOLD_MAX)),
  );
  metrics.gauge(
    'node_state_info',
    'The state of each StorageNode, and which version its agent runs (empty: it is not heard of)',
    ['node', 'state', 'version'],
    (gauge) => {
      gauge.reset();
      for (const { node, state, version } of objects.nodes) gauge.set({ node, state, version }, 1);
    },
  );
  metrics.gauge(
    'node_oldest_task_seconds',
    'For how long nothing happened to the oldest task of a node that has not ended',
    ['node'],
    (gauge) => {
      gauge.reset();
      for (const [node, ageMs] of objects.oldestTasksMs) gauge.set({ node }, ageMs / MS_PER_SECOND);
    },
  );
  metrics.gauge(
    'pool_limit_ratio',
    'How far a pool is towards a limit of placement, where that is near; 1: it is reached, and nothing more is placed there',
    ['node', 'pool', 'limit'],
    (gauge) => {
      gauge.reset();
      for (const { node, pool, limit, ratio } of objects.pools) gauge.set({ node, pool, limit }, ratio);
    },
  );
  metrics.gauge('snapshots_count', 'Snapshots by state; failing and blocked ones are tried again', ['state'], (gauge) => {
    for (const state of SNAPSHOT_STATES) gauge.set({ state }, objects.snapshots.filter((one) => one === state).length);
  });
  return {
    see(seen: ToldObjects): void {
      objects = seen;
    },
    forget(): void {
      objects = NOTHING;
    },
  };
}

function worst(volumes: ReadonlyMap<unknown, ToldVolume>): Iterable<ToldVolume> {
  if (volumes.size <= VOLUMES_TOLD_MAX) return volumes.values();
  const byPhase = Map.groupBy(volumes.values(), ({ phase }) => phase);
  return WORST_FIRST.flatMap((phase) => byPhase.get(phase) ?? []).slice(0, VOLUMES_TOLD_MAX);
}

function volumeMetrics(metrics: Metrics, volumes: () => Iterable<ToldVolume>): void {
  metrics.gauge(
    'volume_state_info',
    'The phase of a volume with the reason of its condition Ready; node: where it is served or shall be',
    ['volume', 'phase', 'reason', 'node'],
    (gauge) => {
      gauge.reset();
      for (const { name: volume, phase, reason, node } of volumes()) gauge.set({ volume, phase, reason, node }, 1);
    },
  );
  const numbers: [name: string, help: string, of: (volume: ToldVolume) => number | null][] = [];
  const number = (name: string, help: string, of: (volume: ToldVolume) => number | null): void => void numbers.push([name, help, of]);
  number('volume_in_sync_count', 'Replicas of a volume that are in sync; of several shards, the least', ({ inSync }) => inSync);
  number('volume_replicas_count', 'Replicas that a volume shall have', ({ replicas }) => replicas);
  number('volume_size_bytes', 'What a volume offers its clients', ({ sizeBytes }) => sizeBytes);
  number('volume_resync_left_bytes', 'What the learners of a volume still miss', ({ resyncLeftBytes }) => resyncLeftBytes);
  number(
    'volume_unresolved_blocks_count',
    'Blocks that differ between replicas without a majority',
    ({ unresolvedBlocks }) => unresolvedBlocks,
  );
  number(
    'volume_scrub_ended_timestamp_seconds',
    'When all replicas of a volume were last compared',
    ({ scrubbedAtSeconds }) => scrubbedAtSeconds,
  );
  for (const [name, help, of] of numbers) {
    metrics.gauge(name, help, ['volume'], (gauge) => {
      gauge.reset();
      for (const volume of volumes()) {
        const value = of(volume);
        if (value !== null) gauge.set({ volume: volume.name }, value);
      }
    });
  }
}
