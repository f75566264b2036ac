/**
 * Everything that there is of each snapshot, gathered by its uid: the Snapshot that asks for it or the volume that starts from another (its uid is then the
 * snapshot's), what is recorded in etcd, its tasks, and the volume that it is of. Pure.
 */

import { isFresh } from '../../core/config.ts';
import { isSnapshotUid, type SnapshotUid, snapshotUid, type VolumeUid } from '../../core/ids.ts';
import type { RecordedSnapshot } from '../../core/snapshot.ts';
import type { SnapshotObject } from '../api.ts';
import type { Observed, ObservedTask, ObservedVolume, Stored } from '../observe/observed.ts';

export type SnapshotSubject = {
  uid: SnapshotUid;
  object: SnapshotObject | null;
  /** The volume that it is made for, while that is an object. */
  clone: ObservedVolume | null;
  /** By name, as it was asked for; null where nobody asks any more. */
  volumeName: string | null;
  /** The volume that it is of; null: not known (any more). */
  source: ObservedVolume | null;
  record: Stored<RecordedSnapshot> | null;
  tasks: readonly ObservedTask[];
  /** A volume that starts from it is being made: till then it must not go. */
  isInUse: boolean;
};

export type SnapshotIndex = {
  byUid: ReadonlyMap<string, SnapshotSubject>;
  /** Of the Snapshots. */
  byName: ReadonlyMap<string, SnapshotSubject>;
  volumesByName: ReadonlyMap<string, ObservedVolume>;
  /** By the volume that they are of. */
  byVolume: ReadonlyMap<VolumeUid, readonly SnapshotSubject[]>;
};

const isInMaking = ({ config }: ObservedVolume): boolean => config === null || isFresh(config.value);

type Traces = { of: VolumeUid; record: Stored<RecordedSnapshot> | null; tasks: ObservedTask[] };

/** What etcd has of each snapshot. */
function tracesOf(volumes: Iterable<ObservedVolume>): Map<string, Traces> {
  const traces = new Map<string, Traces>();
  for (const volume of volumes) {
    const at = (uid: string): Traces => {
      const known = traces.get(uid) ?? { of: volume.uid, record: null, tasks: [] };
      traces.set(uid, known);
      return known;
    };
    for (const [uid, record] of volume.snapshots) Object.assign(at(uid), { record, of: volume.uid });
    for (const observed of volume.tasks) {
      const { spec } = observed.task.value;
      if ('snapshot' in spec) at(spec.snapshot).tasks.push(observed);
    }
  }
  return traces;
}

const clonesOf = (volumes: Iterable<ObservedVolume>): ObservedVolume[] =>
  [...volumes].filter(({ object }) => object?.spec.source?.volume !== undefined);

export function snapshotIndex({ volumes, snapshots }: Pick<Observed, 'volumes' | 'snapshots'>): SnapshotIndex {
  const traces = tracesOf(volumes.values());
  const volumesByName = new Map([...volumes.values()].flatMap((volume) => (volume.object ? [[volume.object.metadata.name, volume]] : [])));
  const users = [...volumes.values()].filter((volume) => volume.config !== null && isInMaking(volume));
  const usedNames = new Set(users.map(({ object }) => object?.spec.source?.snapshot));
  const byUid = new Map<string, SnapshotSubject>();
  const add = (uid: string, parts: Pick<SnapshotSubject, 'object' | 'clone' | 'volumeName' | 'isInUse'>): void => {
    const trace = traces.get(uid);
    const named = parts.volumeName === null ? undefined : volumesByName.get(parts.volumeName);
    const source = trace ? volumes.get(trace.of) : named;
    byUid.set(uid, { ...parts, uid: snapshotUid(uid), source: source ?? null, record: trace?.record ?? null, tasks: trace?.tasks ?? [] });
  };
  for (const uid of traces.keys()) add(uid, { object: null, clone: null, volumeName: null, isInUse: false });
  for (const clone of clonesOf(volumes.values())) {
    const volumeName = clone.object?.spec.source?.volume ?? null;
    add(clone.uid, { object: null, clone, volumeName, isInUse: clone.config !== null && isInMaking(clone) });
  }
  for (const object of snapshots.values()) {
    const { uid, name } = object.metadata;
    if (isSnapshotUid(uid)) add(uid, { object, clone: null, volumeName: object.spec.volume, isInUse: usedNames.has(name) });
  }
  const subjects = [...byUid.values()];
  const byName = new Map(subjects.flatMap((subject) => (subject.object ? [[subject.object.metadata.name, subject]] : [])));
  const byVolume = Map.groupBy(
    subjects.filter(({ source }) => source !== null),
    ({ source }) => (source as ObservedVolume).uid,
  );
  return { byUid, byName, volumesByName, byVolume };
}

/** Whether it shall be there: asked for, and by nobody who goes or has all of it already. */
export function isWanted({ object, clone, record }: SnapshotSubject): boolean {
  if (object !== null) return object.metadata.deletionTimestamp === undefined;
  if (clone === null || clone.object?.metadata.deletionTimestamp !== undefined) return false;
  // A clone whose replicas are being made needs what is there; nothing can be made for it any more once it has begun.
  return clone.config === null || (record !== null && isInMaking(clone));
}
