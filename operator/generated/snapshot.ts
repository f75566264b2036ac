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
   * It can be used as a volume's source.
   */
  ready?: boolean;
  /**
   * Of the volume when the snapshot was taken.
   */
  size?: string;
  /**
   * In words, why it is not ready.
   */
  error?: string;
  observedGeneration?: number;
}
