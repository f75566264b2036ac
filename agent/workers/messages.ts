/**
 * Everything that control and the workers say to each other: plain data that survives a structured clone. Types only.
 *
 * Order holds: what one side posts is heard in that order. Calls with an answer carry an id. Bounds: control has one `observe` and one `ping` out per
 * pool, and as many `perform` as there are tasks in work; a pool has one `appointment` out per volume of which it holds a replica; a worker posts a report per volume at most once a second unless its state changed, how
 * far a scrub is every ten seconds and when one ends, and asks for an address at most once a second for each member.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName, ReplicaId, VolumeUid } from '../../core/ids.ts';
import type { PoolInventory } from '../../core/inventory.ts';
import type { LogFields, LogLevel } from '../../core/log.ts';
import type { PoolReport, ServingReport } from '../../core/machine.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Settings } from '../../core/settings.ts';
import type { PoolSpec } from '../../core/task.ts';
import type { VersionRange } from '../../core/versions.ts';
import type { ThreadMetrics } from '../../edge/metrics.ts';
import type { TlsFiles } from '../../edge/tls.ts';
import type { PrimaryEnd } from '../control/engines.ts';
import type { SnapshotRequest } from '../ports.ts';
import type { SnapshotOutcome } from '../primary/snapshot.ts';

/** What a worker is started with. */
export type WorkerBasics = {
  node: NodeName;
  instance: InstanceId;
  runDirectory: string;
  /** Read by the worker itself, and again when they change. Null: REPLICATION_TLS is off. */
  tls: TlsFiles | null;
  logLevel: LogLevel;
};

export type PoolWorkerData = WorkerBasics & {
  kind: 'pool';
  pool: string;
  path: string;
  tags: string[];
  bootId: string;
  /** The pool's own replication port; 0: any that is free. */
  listen: HostPort;
};

/** `pools`: where those of this agent lie, by name. */
export type PrimaryWorkerData = WorkerBasics & { kind: 'primary'; index: number; pools: ReadonlyMap<string, string> };

/** From either kind of worker. */
export type FromWorker =
  | { type: 'log'; level: LogLevel; message: string; fields: LogFields }
  /** All of the worker's metrics as they are now: one that is lost is made up for by the next. */
  | { type: 'metrics'; metrics: ThreadMetrics };

/** A replica that lies in a pool, as control needs to know of it. */
export type HeldReplica = {
  replica: ReplicaId;
  /** Null where the files do not tell. */
  volume: VolumeUid | null;
  /** Why it is not served. */
  failure: string | null;
  isBeingRemoved: boolean;
};

/** What is known of a volume's config. `isCurrent`: etcd said so behind the question; else it did not answer, and a later one may stand there. */
export type InForce = { config: VolumeConfig | null; isCurrent: boolean };

export type ToPool =
  /** Answered by `observed` when they were given to the replicas here, not when these have made them durable. */
  | { type: 'observe'; id: number; configs: VolumeConfig[] }
  /** `config`: the latest of the volume, for a replica that is made. */
  | { type: 'perform'; id: number; spec: PoolSpec; config: VolumeConfig | null }
  /** Answers what the pool asked by the same name. */
  | ({ type: 'appointment'; uid: VolumeUid } & InForce)
  | { type: 'ping'; id: number }
  /** Answered by `inventory`; for people who rebuild a lost store, seldom. */
  | { type: 'inventory'; id: number }
  /** Its disk has hung: nothing here is served any more. */
  | { type: 'giveUp'; reason: string }
  | { type: 'close' };

export type FromPool =
  /** Its lock is held, its replicas are served, on `port`. */
  | { type: 'opened'; port: number; report: PoolReport; held: HeldReplica[] }
  /** It cannot be used for a reason that is not the disk's (it is in use, its port is taken): the agent must end with this sentence. */
  | { type: 'refused'; problem: string }
  /** Its disk does not let itself be used: this pool is quarantined, the others go on. */
  | { type: 'unusable'; problem: string }
  | { type: 'report'; report: PoolReport }
  /** Those that changed, and those that are no longer there. */
  | { type: 'held'; held: HeldReplica[]; gone: ReplicaId[] }
  | { type: 'observed'; id: number }
  | { type: 'performed'; id: number; problem: string | null }
  /** Somebody seals a replica here under that epoch, which nobody has promised. Answered once, also when etcd does not. */
  | { type: 'appointment'; uid: VolumeUid; epoch: number }
  | { type: 'inventory'; id: number; found: PoolInventory | null; problem: string }
  /** `oldestCallMs`: how long the disk has not answered its oldest call. */
  | { type: 'pong'; id: number; oldestCallMs: number }
  /** All replicas and the lock are given up. */
  | { type: 'closed' }
  | FromWorker;

/** A primary is one of a volume and epoch: a later one of the same volume may begin while the last connection of the earlier still ends. */
export type PrimaryKey = { uid: VolumeUid; epoch: number };
export const keyText = ({ uid, epoch }: PrimaryKey): string => `${epoch}/${uid}`;

/** `protocol`: what the agent there speaks; left out: what agents spoke before they said so. */
export type Address = { host: string; port: number; protocol?: VersionRange };

export type ToPrimary =
  /** `scrub`: how far the primary before had compared the replicas. */
  | { type: 'start'; config: VolumeConfig; scrub: ScrubState | null }
  | ({ type: 'observe'; config: VolumeConfig } & PrimaryKey)
  | ({ type: 'letGo' } & PrimaryKey)
  | ({ type: 'stop' } & PrimaryKey)
  /** Answered by `snapshotEnded`, also when the primary is over. */
  | ({ type: 'snapshot'; id: number; request: SnapshotRequest } & PrimaryKey)
  | { type: 'settings'; settings: Settings }
  | { type: 'ping'; id: number }
  /** `isNew`: an agent has come to that node a moment ago; whoever waits to dial it need not. */
  | { type: 'address'; node: NodeName; pool: string; address: Address | null; isNew: boolean };

export type FromPrimary =
  | ({ type: 'report'; report: ServingReport } & PrimaryKey)
  | ({ type: 'scrub'; state: ScrubState } & PrimaryKey)
  | ({ type: 'propose'; known: VolumeConfig; next: VolumeConfig } & PrimaryKey)
  | ({ type: 'recheck' } & PrimaryKey)
  /** Its last word as a primary; its socket may still end. */
  | ({ type: 'ended'; why: PrimaryEnd; reason: string } & PrimaryKey)
  /** It ended, and no connection is left. */
  | ({ type: 'over' } & PrimaryKey)
  | { type: 'snapshotEnded'; id: number; outcome: SnapshotOutcome }
  | { type: 'resolve'; node: NodeName; pool: string }
  | { type: 'pong'; id: number }
  | FromWorker;
