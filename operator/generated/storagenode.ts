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
   * Replicas shall leave this node. Nothing new is placed here; moving away what is here is not supported yet.
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
  pools?: StorageNodeStatusPool[];
  conditions?: StorageNodeStatusCondition[];
}
export interface StorageNodeStatusPool {
  name: string;
  state: 'Ready' | 'Quarantined';
  /**
   * In words, where it is not ready.
   */
  reason?: string;
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
