/** The API type Volume, made from crds/volume.yaml by tools/generate/types.ts: change it there. */

export interface Volume {
  spec: VolumeSpec;
  status?: VolumeStatus;
}
/**
 * What the volume should be.
 */
export interface VolumeSpec {
  /**
   * How many bytes the volume holds, as a quantity: 10Gi, 500G. More than 0, at most 16Ti; rounded up to whole blocks of 4096 bytes. May grow, never shrinks.
   */
  size: number | string;
  /**
   * How many full copies are kept, each on another node, 1 to 9. May change later.
   */
  replicas: number;
  /**
   * With fewer replicas in sync than this, writes wait. Left out: more than half of the replicas (2 of 3). A higher value counts once that many are in sync.
   */
  minInSync?: number;
  /**
   * Into how many independently replicated parts the volume is striped, 1 to 64: of several, each is kept on nodes of its own, so that the volume may be larger than any node and a lost node is made anew by many. May not change later.
   */
  shards: number;
  placement: VolumeSpecPlacement;
  limits: VolumeSpecLimits;
  source?: VolumeSpecSource;
  /**
   * The node that shall serve the volume. Empty or left out, nobody does.
   */
  attachTo?: string;
}
/**
 * Where replicas may be kept. Two replicas (of one shard) are never on one node.
 */
export interface VolumeSpecPlacement {
  /**
   * Labels that a node must carry (of its agent, or of its StorageNode).
   */
  nodeSelector: {
    [k: string]: string;
  };
  /**
   * Tags that a pool must carry, all of them.
   *
   * @maxItems 32
   */
  poolTags: string[];
  /**
   * Require: every replica in a zone of its own, or the volume stays Pending. Prefer: spread over zones as far as they go. Ignore: zones do not matter.
   */
  zones: 'Require' | 'Prefer' | 'Ignore';
}
/**
 * What the volume may take; 0 is no limit. May change while it is in use.
 */
export interface VolumeSpecLimits {
  /**
   * Reads and writes a second.
   */
  iops: number;
  /**
   * Bytes read and written a second.
   */
  bytesPerSecond: number;
}
/**
 * What the volume starts from, fixed at its making: as large or larger, with as many shards. Left out, it starts empty. Its first replicas share blocks with those of the source, in the same pools.
 */
export interface VolumeSpecSource {
  /**
   * A Snapshot's name.
   */
  snapshot?: string;
  /**
   * A Volume's name: as that is now.
   */
  volume?: string;
}
/**
 * What the leading operator saw last. Never written by people.
 */
export interface VolumeStatus {
  /**
   * Pending: no place for its replicas. Creating: they are being made. Healthy: all in sync, and served where it shall be. Degraded: works, with fewer replicas in sync than asked for. Unavailable: not served although it shall be, or too few replicas reachable. Deleting. Failed: somebody has to look.
   */
  phase?: 'Pending' | 'Creating' | 'Healthy' | 'Degraded' | 'Unavailable' | 'Deleting' | 'Failed';
  /**
   * The metadata.generation that this status speaks of.
   */
  observedGeneration?: number;
  /**
   * What it offers its clients now; what is asked, until it is placed.
   */
  size?: string;
  /**
   * Replicas in sync, of those asked for: 3/3. Of several shards, the one with the fewest.
   */
  inSync?: string;
  /**
   * Rises with every change of the serving agent.
   */
  epoch?: number;
  /**
   * The node whose agent may write to the replicas now, with or without a socket.
   */
  primary?: string;
  attachment?: VolumeStatusAttachment;
  replicas?: VolumeStatusReplica[];
  scrub?: VolumeStatusScrub;
  /**
   * For every known node, why it takes no replica of this volume; of more than 100 nodes, every reason with some of its nodes.
   */
  unschedulable?: VolumeStatusUnschedulable[];
  conditions?: VolumeStatusCondition[];
}
/**
 * Where the volume is served.
 */
export interface VolumeStatusAttachment {
  node: string;
  /**
   * Path of the NBD socket on that node.
   */
  socket: string;
  since: string;
}
export interface VolumeStatusReplica {
  /**
   * The replica's id.
   */
  name: string;
  node: string;
  pool: string;
  shard: number;
  /**
   * Creating: its files are being made. InSync: holds every acknowledged write. Learner: catches up. Out: not reached. Leaving: is being taken out. Failed: its node refuses to serve it.
   */
  state: 'Creating' | 'InSync' | 'Learner' | 'Out' | 'Leaving' | 'Failed';
  /**
   * In words, where it is not in sync.
   */
  reason?: string;
  progress?: VolumeStatusReplicaProgress;
}
/**
 * How far a learner is.
 */
export interface VolumeStatusReplicaProgress {
  doneBytes: number;
  totalBytes: number;
  /**
   * At the present pace. Left out while it is not known.
   */
  secondsLeft?: number;
}
/**
 * The last comparing of all replicas with each other.
 */
export interface VolumeStatusScrub {
  /**
   * How much is compared of the one under way, or of the last: 42%.
   */
  position: string;
  lastCompleted?: string;
  /**
   * Blocks that differed and were made like the majority's.
   */
  repaired: number;
  /**
   * Blocks that differ where no majority says how they should be: somebody has to look.
   */
  unresolved: number;
}
export interface VolumeStatusUnschedulable {
  node: string;
  reason: string;
}
export interface VolumeStatusCondition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  /**
   * One word for programs.
   */
  reason: string;
  /**
   * A sentence for people.
   */
  message: string;
  /**
   * When status last changed.
   */
  lastTransitionTime: string;
  observedGeneration?: number;
}
