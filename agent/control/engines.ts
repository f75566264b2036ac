/**
 * The two protocol engines and the NBD server as the control loop sees them: what it makes, tells and hears. Interfaces only; the tests put fakes
 * behind them.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Seal } from '../../core/wire/messages.ts';
import type { BlockDevice, SnapshotRequest } from '../ports.ts';
import type { PrimaryEnd, PrimaryEvents, PrimaryOptions } from '../primary/options.ts';
import type { PrimaryReport } from '../primary/report.ts';
import type { SnapshotDone } from '../primary/snapshot.ts';
import type { ReplicaEvents, ReplicaOptions, SealJudgement } from '../replica/replica.ts';
import type { ReplicaLink, ReplicaSession } from '../replication/link.ts';

export type { PrimaryEnd, PrimaryEvents, PrimaryOptions, PrimaryReport, ReplicaEvents, ReplicaOptions, SealJudgement };

/** How often `tick` of everything is called. */
export const TICK_MS = 50;

export interface ReplicaEngine {
  readonly failed: string | null;
  /** Whether anybody must be asked about who sends this Seal before it may be accepted. Changes nothing. */
  judge(seal: Seal): SealJudgement;
  /** All refusals are its own, save that the leader has not appointed the sender (`workers/appointments.ts`). */
  accept(seal: Seal, link: ReplicaLink): ReplicaSession;
  /** Promises a higher epoch durably, ends an older session. */
  observe(config: VolumeConfig): void;
  tick(): void;
  /** Ticks find nothing to do; they may come a second later than ever when there is. */
  readonly isResting: boolean;
  /** Ends the session, flushes, marks cleanly closed. */
  close(done: () => void): void;
}

export type MakeReplica = (options: ReplicaOptions) => ReplicaEngine;

/** One a volume and epoch. */
export interface PrimaryEngine {
  readonly device: BlockDevice;
  /** Every later config that was seen; one that does not name this epoch and instance ends it. */
  observe(config: VolumeConfig): void;
  tick(): void;
  /** Ticks find nothing to do, and its report is what it was: both may come less often. */
  readonly isResting: boolean;
  report(): PrimaryReport;
  /** How far it has compared the replicas; another object whenever it differs. Null: never begun. */
  readonly scrub: ScrubState | null;
  /** `done` is told once, also when this primary ends before. */
  snapshot(request: SnapshotRequest, done: SnapshotDone): void;
  /** An agent has come to that node: nobody there need be waited for before he is dialled again. */
  reachable(node: NodeName): void;
  /** Gracefully: as mode `release`. */
  letGo(): void;
  /** At once: from here it neither acknowledges nor answers anything. */
  stop(): void;
}

export type MakePrimary = (options: PrimaryOptions) => PrimaryEngine;

export type Engines = { makeReplica: MakeReplica; makePrimary: MakePrimary };

/** The NBD server of one volume. */
export interface SocketServer {
  /** Replies that are ready are sent, what waits is not answered; resolves when no connection is left. */
  close(): Promise<void>;
  /** At once, and not a byte more to anybody. */
  stopAnswering(): void;
}
export type ListenOnSocket = (device: BlockDevice, socketPath: string) => Promise<SocketServer>;
