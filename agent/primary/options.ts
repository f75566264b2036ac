/** What a primary is given, and whom it tells. Interfaces only. */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName } from '../../core/ids.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Settings } from '../../core/settings.ts';
import type { OpenReads } from '../ports.ts';
import type { ConfigPort, Connect } from '../replication/link.ts';
import type { ProgressPace } from './catchUp.ts';
import type { Witness } from './witness.ts';

/** released: `primary: null` is written. fenced: a later config names another. lost: the agent stopped it. */
export type PrimaryEnd = 'released' | 'fenced' | 'lost';

export interface PrimaryEvents {
  /** True: serve `device` on the NBD socket now. False: close it; what its clients shall hear they have heard. */
  socket(open: boolean): void;
  /** Its last event. After fenced and lost, connections must be dropped without answering anything more. */
  closed(why: PrimaryEnd, reason: string): void;
  reportChanged(): void;
  /** It was at rest and is no longer: ticks are due as often as ever. */
  woke?(): void;
}

export type PrimaryOptions = {
  config: VolumeConfig;
  node: NodeName;
  instance: InstanceId;
  settings: () => Settings;
  connect: Connect;
  /** Without: all is read through sessions. */
  openReads?: OpenReads;
  configPort: ConfigPort;
  clock: Clock;
  events: PrimaryEvents;
  /** How far the primary before had compared the replicas. */
  scrub?: ScrubState | null;
  /** Shared by all primaries of a thread: at rest, one asks for all. */
  witness?: Witness;
  /** How often learners are told how far they are: the simulator has small volumes and little time. */
  progressPace?: ProgressPace;
  /** After how many flushes of one write each one is asked ahead (`flushAhead.ts`): the simulator's clients flush rarely. */
  flushStreakMin?: number;
};
