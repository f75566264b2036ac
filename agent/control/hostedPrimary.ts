/**
 * Control's side of one primary that runs in a worker of this agent: its compare-and-set on the config, its report and how far its scrub is
 * in etcd, its end. Lives for one epoch.
 *
 *   running --the worker says that it ended, or stopped by its owner--> ended --the worker says that no connection is left--> over
 *
 * It must never put the report of a primary back that has ended. Who may be answered is not decided here: see `workers/runningPrimary.ts`.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { ServingReport } from '../../core/machine.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { SnapshotRequest } from '../ports.ts';
import type { SnapshotDone } from '../primary/snapshot.ts';
import type { PrimaryEnd } from './engines.ts';
import type { PrimariesPort, PrimaryHandle } from './primaries.ts';
import { Proposer, type ProposerOptions } from './proposer.ts';
import type { ScrubRecord } from './scrubRecord.ts';
import type { ServingReports } from './servingReports.ts';

/** What every primary of this agent shares. */
export type PrimaryEnvironment = {
  node: NodeName;
  instance: InstanceId;
  primaries: PrimariesPort;
  clock: Clock;
  log: Log;
  reports: ServingReports;
  ended: (why: PrimaryEnd) => void;
};

/** What is its volume's alone. */
export type PrimaryBeginning = {
  config: VolumeConfig;
  /** As the primary before left it. */
  scrub: ScrubState | null;
  record: ScrubRecord;
  proposing: Omit<ProposerOptions, 'clock' | 'log'>;
};

export class HostedPrimary {
  readonly epoch: number;
  readonly #environment: PrimaryEnvironment;
  readonly #log: Log;
  readonly #uid: VolumeConfig['uid'];
  readonly #proposer: Proposer;
  readonly #record: ScrubRecord;
  readonly #handle: PrimaryHandle;
  #end: PrimaryEnd | null = null;
  #isOver = false;
  #resyncLeftBytes = 0;

  constructor({ config, scrub, record, proposing }: PrimaryBeginning, environment: PrimaryEnvironment) {
    const { clock, log, primaries } = environment;
    this.#environment = environment;
    this.#uid = config.uid;
    this.#record = record;
    this.epoch = config.epoch;
    this.#log = log.child({ volume: config.name, uid: config.uid, epoch: config.epoch });
    this.#proposer = new Proposer({ ...proposing, clock, log: this.#log });
    this.#log.info('primary started');
    this.#handle = primaries.start(config, scrub, {
      report: (report) => this.#report(report),
      scrub: (state) => {
        if (this.#end === null) this.#record.want(state);
      },
      propose: (known, next) => this.#proposer.propose(known, next),
      recheck: () => this.#proposer.recheck(),
      ended: (why, reason) => this.#ended(why, reason),
      over: () => {
        this.#isOver = true;
      },
    });
  }

  get hasEnded(): boolean {
    return this.#end !== null;
  }

  /** What learners still miss, as last reported. */
  get resyncLeftBytes(): number {
    return this.#resyncLeftBytes;
  }

  /** Ended, and no connection is left. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** A later config. */
  observe(config: VolumeConfig): void {
    if (this.#end === null) this.#handle.observe(config);
  }

  /** False: it has ended, and nothing will be called. */
  snapshot(request: SnapshotRequest, done: SnapshotDone): boolean {
    if (this.#end === null) this.#handle.snapshot(request, done);
    return this.#end === null;
  }

  letGo(): void {
    if (this.#end === null) this.#handle.letGo();
  }

  /** Its config is gone, or nobody waits for it any more. */
  stop(reason: string): void {
    if (this.#end !== null) return;
    this.#handle.stop();
    this.#ended('lost', reason);
  }

  tick(): void {
    this.#proposer.tick();
    this.#record.tick();
  }

  /** Ticks find nothing to do until something is heard. */
  get isResting(): boolean {
    return this.#end === null && this.#proposer.isResting && this.#record.isResting;
  }

  #report(report: ServingReport): void {
    if (this.#end !== null) return;
    this.#resyncLeftBytes = report.replicas.reduce((sum, { totalBytes, doneBytes }) => sum + totalBytes - doneBytes, 0);
    this.#environment.reports.tell(report);
  }

  #ended(why: PrimaryEnd, reason: string): void {
    if (this.#end !== null) return;
    this.#end = why;
    this.#proposer.close();
    this.#environment.reports.withdraw(this.#uid);
    this.#environment.ended(why);
    const fields = { why, reason };
    if (why === 'released') this.#log.info('primary let go', fields);
    else this.#log.warn('primary ended', fields);
  }
}
