/** `kubectl holdfast explain VOLUME`: why it is as it is, and what would help. Pure. */
import type { StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import { conditionOf } from '../../operator/conditions.ts';
import { type EventObject, timeOf } from '../kube.ts';
import { bytes, type Line, line, plural, since, table } from './text.ts';

const EVENTS_SHOWN_MAX = 5;

const wanted = ({ spec }: VolumeObject): string =>
  `${plural(spec.replicas, 'replica')} of ${spec.size}${spec.shards > 1 ? ` in ${spec.shards} shards` : ''} wanted`;

function headOf(volume: VolumeObject, nowMs: number): string {
  const { metadata, status } = volume;
  const ready = conditionOf(status?.conditions, 'Ready');
  const age = since(ready?.lastTransitionTime ?? metadata.creationTimestamp, nowMs);
  const is = `${metadata.name} is ${status?.phase ?? 'new'}${age === '' ? '' : ` since ${age}`}`;
  const candidates = (status?.unschedulable ?? []).filter(({ reason }) => reason.startsWith('could hold one')).length;
  if (status?.unschedulable !== undefined)
    return `${is}: ${wanted(volume)}, ${plural(candidates, 'node')} of ${status.unschedulable.length} can hold one.`;
  return `${is}: ${ready?.message ?? 'no operator has looked at it yet'}.`;
}

/** What a person could do about a volume that fits nowhere. */
function adviceOf({ spec, status }: VolumeObject): string {
  const isTooLarge = (status?.unschedulable ?? []).some(({ reason }) => reason.includes('needed'));
  const smaller =
    isTooLarge && spec.shards === 1 ? ` Smaller pieces might fit: shards: ${Math.max(2, spec.replicas + 1)}, in a new volume.` : '';
  return `Tried again when a node, label or volume changes, and now and then.${smaller}`;
}

function replicaLines({ status }: VolumeObject): Line[] {
  const unwell = (status?.replicas ?? []).filter(({ state }) => state !== 'InSync');
  const rows = unwell.map(({ node, pool, shard, state, reason, progress }) => [
    `${node}/${pool}`,
    `shard ${shard}`,
    state,
    reason ?? (progress ? `${bytes(progress.doneBytes)} of ${bytes(progress.totalBytes)}` : ''),
  ]);
  return table(rows, '  ').map((text) => line(text, 'bad'));
}

const TOLD_IN_HEAD = ['Ready', 'Scheduled'];

function conditionLines({ status }: VolumeObject): Line[] {
  const rows = (status?.conditions ?? [])
    .filter((condition) => !TOLD_IN_HEAD.includes(condition.type) && condition.status !== 'True')
    .map(({ type, message }) => [`not ${type}`, message]);
  return table(rows, '  ').map((text) => line(text));
}

/** What the node that shall serve it says, where it is not served. */
function attachLine({ spec, status }: VolumeObject, nodes: readonly StorageNodeObject[]): Line[] {
  if (!spec.attachTo || status?.attachment?.node === spec.attachTo) return [];
  const node = nodes.find(({ metadata }) => metadata.name === spec.attachTo);
  const ready = conditionOf(node?.status?.conditions, 'Ready');
  const found =
    node === undefined
      ? 'there is no such StorageNode'
      : ready?.status === 'True'
        ? 'that node is ready'
        : (ready?.message ?? 'never heard of');
  return [line(`Shall be served on ${spec.attachTo}: ${found}.`, ready?.status === 'True' ? 'plain' : 'bad')];
}

export function explainLines(
  volume: VolumeObject,
  nodes: readonly StorageNodeObject[],
  events: readonly EventObject[],
  nowMs: number,
): Line[] {
  const { status } = volume;
  const reasons = status?.unschedulable ?? [];
  const lately = events.slice(0, EVENTS_SHOWN_MAX).map((event) => [since(timeOf(event), nowMs), event.reason ?? '', event.note ?? '']);
  return [
    line(headOf(volume, nowMs), status?.phase === 'Healthy' ? 'good' : 'bad'),
    ...table(
      reasons.map(({ node, reason }) => [node, reason]),
      '  ',
    ).map((text) => line(text)),
    ...(reasons.length > 0 ? [line(adviceOf(volume))] : []),
    ...replicaLines(volume),
    ...conditionLines(volume),
    ...attachLine(volume, nodes),
    ...(lately.length > 0 ? [line('Lately:', 'faint'), ...table(lately, '  ').map((text) => line(text, 'faint'))] : []),
  ];
}
