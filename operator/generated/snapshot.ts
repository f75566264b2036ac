/** The API type Snapshot, made from crds/snapshot.yaml by tools/generate/types.ts: change it there. */

export interface Snapshot {
  spec: SnapshotSpec;
  status?: SnapshotStatus;
}
/**
 * What to take a snapshot of.
 */
export interface SnapshotSpec {
  /**
   * The name of the Volume. May not change.
   */
  volume: string;
}
/**
 * What the leading operator saw last. Never written by people.
 */
export interface SnapshotStatus {
  /**
   * Pending: it cannot be taken now, error says why. Taking. Ready: it exists, on nodes. Failed: taking it failed and is tried again. Deleting.
   */
  phase?: 'Pending' | 'Taking' | 'Ready' | 'Failed' | 'Deleting';
  /**
   * It can be used as a volume's source.
   */
  ready?: boolean;
  /**
   * Of the volume when the snapshot was taken.
   */
  size?: string;
  /**
   * When it was taken.
   */
  createdAt?: string;
  /**
   * That hold a part of it.
   */
  nodes?: string[];
  /**
   * In words, why it is not ready.
   */
  error?: string;
  observedGeneration?: number;
}
