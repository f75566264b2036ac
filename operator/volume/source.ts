/**
 * What a volume starts from: a Snapshot, or another volume, of which a snapshot of its own is made first and deleted afterwards. Either way its first replicas
 * share the blocks of a snapshot's, so they are made in the very pools that hold it. Pure.
 */
import { isFresh, type Member } from '../../core/config.ts';
import type { SnapshotUid } from '../../core/ids.ts';
import { type RecordedSnapshot, type SnapshotReplica, shardsOf } from '../../core/snapshot.ts';
import type { CloneSource } from '../../core/task.ts';
import type { VolumeObject } from '../api.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import type { PlacementRequest } from '../placement/checks.ts';
import { formatExact, parseQuantity } from '../quantity.ts';
import { takeReason } from '../snapshot/take.ts';
import type { PlacedVolume, World } from './decision.ts';

export type Source = { snapshot: SnapshotUid; record: RecordedSnapshot };
export type Resolved = { source: Source; problem: null } | { source: null; problem: string };

type NewVolume = ObservedVolume & { object: VolumeObject };
const problem = (text: string): Resolved => ({ source: null, problem: text });

/** What the volume must be like, whatever it starts from. */
function mismatch(object: VolumeObject, sizeBytes: number, shards: number): string | null {
  if ((parseQuantity(object.spec.size) ?? 0) < sizeBytes)
    return `spec.size: must be at least ${formatExact(sizeBytes)} as its source has (is ${object.spec.size})`;
  if (object.spec.shards !== shards) return `spec.shards: must be ${shards} as its source has (is ${object.spec.shards})`;
  return null;
}

function checked(object: VolumeObject, snapshot: SnapshotUid, record: RecordedSnapshot): Resolved {
  const wrong = mismatch(object, record.sizeBytes, shardsOf(record));
  return wrong === null ? { source: { snapshot, record }, problem: null } : problem(wrong);
}

function ofSnapshot({ object, config }: NewVolume, name: string, world: World): Resolved {
  const where = 'spec.source.snapshot:';
  const subject = world.snapshots.byName.get(name);
  if (!subject?.object) return problem(`${where} there is no Snapshot ${name}`);
  const isGoing = subject.object.metadata.deletionTimestamp !== undefined;
  // Once the clone is begun the snapshot waits for it.
  if (subject.record !== null && (!isGoing || config !== null)) return checked(object, subject.uid, subject.record.value);
  if (isGoing) return problem(`${where} ${name} is being deleted`);
  return problem(`${where} ${name} is not ready: ${takeReason(subject, world)}`);
}

function ofVolume(volume: NewVolume, name: string, world: World): Resolved {
  const where = 'spec.source.volume:';
  const subject = world.snapshots.byUid.get(volume.uid);
  if (subject?.record) return checked(volume.object, subject.uid, subject.record.value);
  if (name === volume.object.metadata.name) return problem(`${where} a volume cannot start from itself`);
  const source = world.snapshots.volumesByName.get(name);
  if (!source?.object) return problem(`${where} there is no Volume ${name}`);
  if (source.object.metadata.deletionTimestamp) return problem(`${where} ${name} is being deleted`);
  const config = source.config?.value;
  const wrong = config ? mismatch(volume.object, config.sizeBytes, config.shards.length) : null;
  if (wrong !== null || !subject) return problem(wrong ?? `${where} ${name} is not ready`);
  return problem(`a snapshot of ${name} is made first: ${takeReason(subject, world)}`);
}

/** Null: it starts empty. */
export function resolveSource(volume: NewVolume, world: World): Resolved | null {
  const { source } = volume.object.spec;
  if (source?.snapshot !== undefined) return ofSnapshot(volume, source.snapshot, world);
  return source?.volume === undefined ? null : ofVolume(volume, source.volume, world);
}

export const holdersIn = ({ record }: Source, shardIndex: number): SnapshotReplica[] =>
  record.replicas.filter(({ shard }) => shard === shardIndex);

type Only = NonNullable<PlacementRequest['only']>;
export const onlyOn = (holders: readonly SnapshotReplica[]): Only => ({
  places: holders.map(({ node, pool }) => ({ node, pool })),
  reason: 'does not hold what the volume starts from',
});

const sourceInMaking = (volume: PlacedVolume, world: World): Source | null =>
  isFresh(volume.config.value) ? (resolveSource(volume, world)?.source ?? null) : null;

/** Where the first replicas of a clone may be made; null: anywhere, as those of any volume that has something in sync. */
export function holdersOf(volume: PlacedVolume, shardIndex: number, world: World): Only | null {
  if (!isFresh(volume.config.value) || !volume.object.spec.source) return null;
  const source = sourceInMaking(volume, world);
  return onlyOn(source ? holdersIn(source, shardIndex) : []);
}

export function sourceOn(source: Source, shardIndex: number, member: Member): CloneSource | null {
  const held = holdersIn(source, shardIndex).find(({ node, pool }) => node === member.node && pool === member.pool);
  return held ? { snapshot: source.snapshot, attempt: source.record.attempt, replica: held.replica } : null;
}

/** What a member of a clone in the making starts from; null for every other. */
export function heldSourceOf(volume: PlacedVolume, shardIndex: number, member: Member, world: World): CloneSource | null {
  const source = sourceInMaking(volume, world);
  return source === null ? null : sourceOn(source, shardIndex, member);
}
