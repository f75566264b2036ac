/** The API type StorageNode, made from crds/storagenode.yaml by tools/generate/types.ts: change it there. */

export interface StorageNode {
  spec: StorageNodeSpec;
  status?: StorageNodeStatus;
}
/**
 * What people want of the node.
 */
export interface StorageNodeSpec {
  /**
   * New replicas may be placed here.
   */
  schedulable: boolean;
  /**
   * The node is down on purpose, or will be: nothing is placed here, and nothing is replaced because it is away.
   */
  maintenance: boolean;
  /**
   * Replicas shall leave this node: each is made elsewhere first. Nothing new is placed here.
   */
  evict: boolean;
}
/**
 * What the leading operator saw last. Never written by people.
 */
export interface StorageNodeStatus {
  zone?: string;
  /**
   * Of the agent.
   */
  version?: string;
  /**
   * Of the agent: placement.nodeSelector sees them as those of this object, which win.
   */
  labels?: {
    [k: string]: string;
  };
  /**
   * How many replicas are kept here.
   */
  replicas?: number;
  /**
   * Bytes used on the file systems of its pools, by anybody.
   */
  used?: string;
  /**
   * Bytes of the file systems of its pools.
   */
  capacity?: string;
  evicting?: StorageNodeStatusEvicting;
  pools?: StorageNodeStatusPool[];
  conditions?: StorageNodeStatusCondition[];
}
/**
 * What is left of emptying the node, while that is asked for (spec.evict) or the node is removed.
 */
export interface StorageNodeStatusEvicting {
  /**
   * Replicas that are still here, whether in sync or leaving.
   */
  replicasLeft: number;
  /**
   * Volumes whose replica cannot leave now, and why; the first few. They are tried again.
   */
  blocked: StorageNodeStatusEvictingBlocked[];
}
export interface StorageNodeStatusEvictingBlocked {
  volume: string;
  /**
   * A sentence for people.
   */
  reason: string;
}
export interface StorageNodeStatusPool {
  name: string;
  state: 'Ready' | 'Quarantined';
  /**
   * In words, where it is not ready.
   */
  reason?: string;
  /**
   * Exact, as the next two: drain --dry-run reckons with them.
   */
  capacity: string;
  /**
   * On the file system, by anybody.
   */
  used: string;
  /**
   * Sum of the sizes promised to replicas; may exceed the capacity (thin).
   */
  allocated: string;
  tags?: string[];
  /**
   * Whether its file system can share blocks between files.
   */
  snapshots?: boolean;
}
export interface StorageNodeStatusCondition {
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
