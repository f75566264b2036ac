/**
 * `kubectl holdfast drain`: where the replicas of a node would go, by the operator's own rules of placement over what stands in Kubernetes. That is less than the
 * operator knows: sizes are rounded, and agents' labels and the limits of this cluster stand elsewhere. So it is a forecast, and says so. Pure.
 */
import { shardBytes } from '../../core/extent.ts';
import type { InstanceId } from '../../core/ids.ts';
import type { MachineState, PoolReport } from '../../core/machine.ts';
import type { StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import { conditionOf, isTrue } from '../../operator/conditions.ts';
import type { StorageNodeStatusPool } from '../../operator/generated/storagenode.ts';
import type { VolumeStatusReplica } from '../../operator/generated/volume.ts';
import type { PlacementNode } from '../../operator/placement/checks.ts';
import { Ledger } from '../../operator/placement/ledger.ts';
import { place } from '../../operator/placement/place.ts';
import { formatBytes, parseQuantity } from '../../operator/quantity.ts';
import { type Line, line, plural, table } from './text.ts';

/** An operator's defaults. */
const LIMITS = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };
const REASONS_SHOWN_MAX = 4;

export type Move = { volume: string; shard: number; replica: string; sizeBytes: number; to: string | null; reason: string | null };

const poolReport = (pool: StorageNodeStatusPool): PoolReport => ({
  name: pool.name,
  capacityBytes: parseQuantity(pool.capacity) ?? 0,
  usedBytes: parseQuantity(pool.used) ?? 0,
  allocatedBytes: parseQuantity(pool.allocated) ?? 0,
  tags: pool.tags ?? [],
  reflink: pool.snapshots ?? false,
  state: pool.state === 'Ready' ? 'ready' : 'quarantined',
  ...(pool.reason === undefined ? {} : { reason: pool.reason }),
});

/** What only the store knows is left empty: placement looks at none of it. */
function machineOf({ metadata, status }: StorageNodeObject): MachineState | null {
  if (!isTrue(status?.conditions, 'Ready')) return null;
  const unknown = { instance: '' as InstanceId, bootId: '', addresses: { http: '' }, failedReplicas: [], settingsVersion: 0 };
  return {
    ...unknown,
    node: metadata.name,
    zone: status?.zone ?? '',
    labels: {},
    version: status?.version ?? '',
    pools: (status?.pools ?? []).map(poolReport),
  };
}

const placementNode = (node: StorageNodeObject, drained: string): PlacementNode => ({
  node: node.metadata.name,
  machine: machineOf(node),
  spec: node.metadata.name === drained ? { ...node.spec, schedulable: false, evict: true } : node.spec,
  labels: node.metadata.labels ?? {},
  isRemoved: node.metadata.deletionTimestamp !== undefined,
});

const LEAVES_ALREADY = ['Leaving', 'Failed'];

/** In the order in which the operator takes volumes: the oldest first. */
export function forecast(drained: string, volumes: readonly VolumeObject[], nodes: readonly StorageNodeObject[]): Move[] {
  const places = nodes.map((node) => placementNode(node, drained));
  const ledger = new Ledger([]);
  const byAge = [...volumes].sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1));
  return byAge.flatMap((volume) =>
    (volume.status?.replicas ?? [])
      .filter((replica) => replica.node === drained && !LEAVES_ALREADY.includes(replica.state))
      .map((replica) => moveOf(volume, replica, places, ledger)),
  );
}

function moveOf(
  { metadata, spec, status }: VolumeObject,
  replica: VolumeStatusReplica,
  nodes: readonly PlacementNode[],
  ledger: Ledger,
): Move {
  const sizeBytes = shardBytes(parseQuantity(spec.size) ?? 0, spec.shards, replica.shard);
  const staying = (status?.replicas ?? []).filter(({ state }) => !LEAVES_ALREADY.includes(state));
  const crowd = new Map<string, number>();
  for (const { node, shard } of staying) if (shard !== replica.shard) crowd.set(node, (crowd.get(node) ?? 0) + 1);
  const request = {
    replicas: 1,
    sizeBytes,
    rules: { ...spec.placement, nodeSelector: {} },
    taken: staying.filter(({ shard }) => shard === replica.shard).map(({ node }) => node),
    departing: replica.node,
    crowd,
    only: null,
    preferred: spec.attachTo || null,
    avoided: new Map<string, string>(),
  };
  const { places, reasons } = place(request, nodes, ledger, LIMITS);
  const [found] = places ?? [];
  const others = (reasons ?? []).filter(({ node }) => node !== replica.node);
  const words = others.slice(0, REASONS_SHOWN_MAX).map(({ node, reason }) => `${node}: ${reason}`);
  if (others.length > words.length) words.push(`and ${others.length - words.length} more nodes`);
  const about = { volume: metadata.name, shard: replica.shard, replica: replica.name, sizeBytes };
  return found
    ? { ...about, to: `${found.node}/${found.pool}`, reason: null }
    : { ...about, to: null, reason: words.join('; ') || 'there is no other node' };
}

export function forecastLines(drained: string, moves: readonly Move[], volumes: readonly VolumeObject[]): Line[] {
  if (moves.length === 0) return [line(`No replica is on ${drained}.`)];
  const stuck = moves.filter(({ to }) => to === null);
  const total = moves.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const names = new Set(moves.map(({ volume }) => volume));
  const hasSelectors = volumes.some(
    ({ metadata, spec }) => names.has(metadata.name) && Object.keys(spec.placement.nodeSelector).length > 0,
  );
  const served = volumes.filter(({ status }) => status?.attachment?.node === drained);
  return [
    line(
      `${plural(moves.length, 'replica')} of ${formatBytes(total)} at most would leave ${drained}, each copied elsewhere first; nothing was changed.`,
    ),
    ...table(stuck.map((move) => [`! ${move.volume}`, formatBytes(move.sizeBytes), `cannot leave: ${move.reason}`])).map((text) =>
      line(text, 'bad'),
    ),
    ...table(moves.filter(({ to }) => to !== null).map((move) => [`  ${move.volume}`, formatBytes(move.sizeBytes), `to ${move.to}`])).map(
      (text) => line(text),
    ),
    ...(served.length === 0
      ? []
      : [
          line(
            `Served from ${drained} and staying so until somebody attaches them elsewhere: ${served.map(({ metadata }) => metadata.name).join(' ')}`,
          ),
        ]),
    line(
      `A forecast by what StorageNodes show now and an operator's default limits${hasSelectors ? '; placement.nodeSelector is not looked at, agents carry labels too' : ''}.`,
      'faint',
    ),
  ];
}

export type Draining = { isDone: boolean; replicasLeft: number | null; blocked: { volume: string; reason: string }[] };

/** As the operator tells it; null: it has not looked at the wish yet. */
export function drainingOf({ status, metadata }: StorageNodeObject): Draining | null {
  const evicted = conditionOf(status?.conditions, 'Evicted');
  if (evicted === undefined || (evicted.observedGeneration ?? 0) < (metadata.generation ?? 0)) return null;
  return {
    isDone: evicted.status === 'True',
    replicasLeft: status?.evicting?.replicasLeft ?? null,
    blocked: status?.evicting?.blocked ?? [],
  };
}

export function drainingLines(name: string, draining: Draining | null): Line[] {
  if (draining === null) return [line(`${name} shall be emptied; no operator has looked at that yet`)];
  if (draining.isDone) return [line(`${name} is empty: no replica is left there.`, 'good')];
  return [
    line(`${name}: ${plural(draining.replicasLeft ?? 0, 'replica')} left`),
    ...table(draining.blocked.map(({ volume, reason }) => [`! ${volume}`, reason])).map((text) => line(text, 'bad')),
  ];
}
