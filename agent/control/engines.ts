/**
 * The two protocol engines and the NBD server as the control loop sees them: what it makes, tells and hears. Interfaces only; the tests put fakes
 * behind them.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName } from '../../core/ids.ts';
import type { ReplicaProgress, ServingState } from '../../core/machine.ts';
import type { Settings } from '../../core/settings.ts';
import type { Seal } from '../../core/wire/messages.ts';
import type { BlockDevice, ReplicaStore } from '../ports.ts';
import type { ConfigPort, Connect, ReplicaLink, ReplicaSession } from '../replication/link.ts';

/** How often `tick` of everything is called. */
export const TICK_MS = 50;

export interface ReplicaEvents {
  failed(reason: string): void;
  sessionOpened(epoch: number, peer: string): void;
  sessionEnded(reason: string): void;
  protocolError(rule: string, peer: string): void;
}

export interface ReplicaEngine {
  readonly failed: string | null;
  /** All refusals are its own. */
  accept(seal: Seal, link: ReplicaLink): ReplicaSession;
  /** Promises a higher epoch durably, ends an older session. */
  observe(config: VolumeConfig): void;
  tick(): void;
  /** Ends the session, flushes, marks cleanly closed. */
  close(done: () => void): void;
}

export type ReplicaOptions = { store: ReplicaStore; clock: Clock; events: ReplicaEvents };
export type MakeReplica = (options: ReplicaOptions) => ReplicaEngine;

/** released: all settled, `primary: null` is written. fenced: a later config names another. lost: it gave up, and says why. */
export type PrimaryEnd = 'released' | 'fenced' | 'lost';
export type PrimaryReport = { state: ServingState; reason?: string; replicas: ReplicaProgress[] };

export interface PrimaryEvents {
  /** True: serve `device` on the NBD socket now. False: close it, answering waiting requests with ESHUTDOWN. */
  socket(open: boolean): void;
  /** Its last event. After fenced and lost, connections must be dropped without answering anything more. */
  closed(why: PrimaryEnd, reason: string): void;
  reportChanged(): void;
}

/** One a volume and epoch. */
export interface PrimaryEngine {
  readonly device: BlockDevice;
  /** Every later config that was seen; one that does not name this epoch and instance ends it. */
  observe(config: VolumeConfig): void;
  tick(): void;
  report(): PrimaryReport;
  /** Gracefully: as mode `release`. */
  letGo(): void;
  /** At once: from here it neither acknowledges nor answers anything. */
  stop(): void;
}

export type PrimaryOptions = {
  config: VolumeConfig;
  node: NodeName;
  instance: InstanceId;
  settings: () => Settings;
  connect: Connect;
  configPort: ConfigPort;
  clock: Clock;
  events: PrimaryEvents;
};
export type MakePrimary = (options: PrimaryOptions) => PrimaryEngine;

export type Engines = { makeReplica: MakeReplica; makePrimary: MakePrimary };

/** The NBD server of one volume. */
export interface SocketServer {
  /** Waiting requests fail with ESHUTDOWN; resolves when no connection is left. */
  close(reason: string): Promise<void>;
  /** At once, and not a byte more to anybody. */
  stopAnswering(): void;
}
export type ListenOnSocket = (device: BlockDevice, socketPath: string) => Promise<SocketServer>;
