/** What an agent tells of itself and of the volumes it serves. Both keys stand under the agent's etcd lease: they go when it does. */
import type { InstanceId, NodeName, ReplicaId, VolumeUid } from './ids.ts';
import type { Speaks } from './versions.ts';

export type PoolState = 'ready' | 'quarantined';

export type PoolReport = {
  name: string;
  capacityBytes: number;
  /** On the file system, by anybody. */
  usedBytes: number;
  /** Sum of the sizes promised to replicas; may exceed the capacity (thin). */
  allocatedBytes: number;
  tags: string[];
  /** Whether the file system can share blocks between files: snapshots need it. */
  reflink: boolean;
  state: PoolState;
  /** `host:port` where primaries on other nodes reach its replicas; left out until it was opened. */
  address?: string;
  /** In words, when not ready. */
  reason?: string;
};

/** A replica that this agent holds and does not serve. */
export type FailedReplica = { volume: VolumeUid; replica: ReplicaId; reason: string };

export type MachineState = {
  node: NodeName;
  instance: InstanceId;
  addresses: { http: string };
  bootId: string;
  zone: string;
  labels: Record<string, string>;
  pools: PoolReport[];
  failedReplicas: FailedReplica[];
  version: string;
  settingsVersion: number;
  /** What this agent understands. Left out by agents before they said so: the first version of each. */
  speaks?: Speaks;
  /** It lets go of everything and ends: nothing new is begun there. Left out, as by agents that do not know the word: it does not. */
  stopping?: true;
};

/** waiting: it may not serve yet, `reason` says why. stalled: it serves, but I/O waits, `reason` says for what. */
export type ServingState = 'sealing' | 'waiting' | 'serving' | 'stalled' | 'background';

export type ReplicaProgress = {
  replica: ReplicaId;
  /** out: a member without a session. */
  state: 'inSync' | 'learner' | 'out';
  doneBytes: number;
  totalBytes: number;
  bytesPerSecond: number;
};

/** A replica that knows of a later epoch, or a later config, than the primary: etcd does not hold what it once did. */
export type AheadReport = { node: NodeName; epoch: number; version: number };

/** `serving/<uid>`: what the primary says of its volume. */
export type ServingReport = {
  uid: VolumeUid;
  node: NodeName;
  instance: InstanceId;
  epoch: number;
  state: ServingState;
  reason?: string;
  /** Absolute path of the NBD socket on that node, while it is open. */
  socket: string | null;
  sinceMs: number;
  /** How large it is to its clients. Behind `VolumeConfig.sizeBytes` until every replica in sync has grown. */
  sizeBytes?: number;
  /** Who has no room to grow, and why; asked again and again. */
  growthTrouble?: string;
  /** Who refuses the primary because it knows better, when that has been so for a while. */
  ahead?: AheadReport;
  replicas: ReplicaProgress[];
};
