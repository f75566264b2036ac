/** `kubectl holdfast explain VOLUME`: why it is as it is, and what would help. Pure. */
import type { StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import { conditionOf } from '../../operator/conditions.ts';
import { type EventObject, timeOf } from '../kube.ts';
import { bytes, type Line, line, plural, since, table } from './text.ts';

const EVENTS_SHOWN_MAX = 5;

const wanted = ({ spec }: VolumeObject): string =>
  `${plural(spec.replicas, 'replica')} of ${spec.size}${spec.shards > 1 ? ` in ${spec.shards} shards` : ''} wanted`;

/** Since when it is so: that it may be used, and that all are in sync, are two conditions. */
function sinceWhen({ metadata, status }: VolumeObject): string | undefined {
  const types = status?.phase === 'Degraded' || status?.phase === 'Healthy' ? ['Healthy', 'Ready'] : ['Ready'];
  const [condition] = types.flatMap((type) => conditionOf(status?.conditions, type) ?? []);
  return condition?.lastTransitionTime ?? metadata.creationTimestamp;
}

const headMessageOf = ({ status }: VolumeObject): string =>
  conditionOf(status?.conditions, 'Ready')?.message ?? 'no operator has looked at it yet';

function headOf(volume: VolumeObject, nowMs: number): string {
  const { metadata, status } = volume;
  const age = since(sinceWhen(volume), nowMs);
  const is = `${metadata.name} is ${status?.phase ?? 'new'}${age === '' ? '' : ` since ${age}`}`;
  const candidates = (status?.unschedulable ?? []).filter(({ reason }) => reason.startsWith('could hold one')).length;
  if (status?.unschedulable !== undefined)
    return `${is}: ${wanted(volume)}, ${plural(candidates, 'node')} of ${status.unschedulable.length} can hold one.`;
  return `${is}: ${headMessageOf(volume)}.`;
}

/** What a person could do about a volume that fits nowhere. `shards`: with so many it would fit now. */
function adviceOf({ spec, status }: VolumeObject, shards: number | null): string {
  const isTooLarge = (status?.unschedulable ?? []).some(({ reason }) => reason.includes('needed'));
  const again = 'Tried again when a node, label or volume changes, and now and then.';
  if (shards !== null) return `${again} Smaller pieces would fit now: shards: ${shards}, in a new volume.`;
  return isTooLarge && spec.shards === 1 ? `${again} Smaller pieces (spec.shards) would not fit either: more room is needed.` : again;
}

function replicaLines({ spec, status }: VolumeObject): Line[] {
  const unwell = (status?.replicas ?? []).filter(({ state }) => state !== 'InSync');
  const rows = unwell.map(({ node, pool, shard, state, reason, progress }) => [
    `${node}/${pool}`,
    ...(spec.shards > 1 ? [`shard ${shard}`] : []),
    state,
    reason ?? (progress ? `${bytes(progress.doneBytes)} of ${bytes(progress.totalBytes)}` : ''),
  ]);
  return table(rows, '  ').map((text) => line(text, 'bad'));
}

const TOLD_IN_HEAD = ['Ready', 'Scheduled'];
/** What nobody asked for, or cannot be yet. */
const NO_TROUBLE = ['NotAsked', 'NotPlaced'];

function conditionLines(volume: VolumeObject): Line[] {
  const rows = (volume.status?.conditions ?? [])
    .filter(({ type, status, reason }) => !TOLD_IN_HEAD.includes(type) && !NO_TROUBLE.includes(reason) && status !== 'True')
    .filter(({ message }) => !headMessageOf(volume).includes(message))
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
  shards: number | null,
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
    ...(reasons.length > 0 ? [line(adviceOf(volume, shards))] : []),
    ...replicaLines(volume),
    ...conditionLines(volume),
    ...attachLine(volume, nodes),
    ...(lately.length > 0 ? [line('Lately:', 'faint'), ...table(lately, '  ').map((text) => line(text, 'faint'))] : []),
  ];
}
