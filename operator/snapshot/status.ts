/** What people see of a snapshot: for now, that there is none. Pure. */
import type { SnapshotObject } from '../api.ts';
import type { SnapshotStatus } from '../generated/snapshot.ts';

export const snapshotStatusOf = ({ metadata }: SnapshotObject): SnapshotStatus => ({
  ready: false,
  error: 'snapshots are not supported yet',
  ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
});
