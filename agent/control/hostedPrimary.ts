/**
 * One primary that runs here, with what belongs to it: its NBD socket, its report, its compare-and-set. Lives for one epoch.
 *
 *   running --closed by the engine, or stopped by its owner--> ended
 *
 * It must never let an answer out once the engine was fenced, lost or stopped.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { ServingReport } from '../../core/machine.ts';
import type { Settings } from '../../core/settings.ts';
import type { Connect } from '../replication/link.ts';
import type { ListenOnSocket, MakePrimary, PrimaryEnd, PrimaryEngine } from './engines.ts';
import { Proposer, type ProposerOptions } from './proposer.ts';
import type { ServingReports } from './servingReports.ts';
import { VolumeSocket } from './volumeSocket.ts';

/** What every primary of this agent shares. */
export type PrimaryEnvironment = {
  node: NodeName;
  instance: InstanceId;
  runDirectory: string;
  settings: () => Settings;
  makePrimary: MakePrimary;
  connect: Connect;
  listen: ListenOnSocket;
  clock: Clock;
  log: Log;
  reports: ServingReports;
  ended: (why: PrimaryEnd) => void;
};

/** Progress moves all the time and is asked for no more often than this; a change of state is told at once. */
const REPORT_MS = 1_000;

export class HostedPrimary {
  readonly epoch: number;
  readonly #environment: PrimaryEnvironment;
  readonly #log: Log;
  readonly #uid: VolumeConfig['uid'];
  readonly #socket: VolumeSocket;
  readonly #proposer: Proposer;
  readonly #engine: PrimaryEngine;
  #sinceMs: number;
  #isReportDue = true;
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #wantsSocket = false;
  #end: PrimaryEnd | null = null;
  #resyncLeftBytes = 0;

  constructor(config: VolumeConfig, environment: PrimaryEnvironment, proposing: Omit<ProposerOptions, 'clock' | 'log'>) {
    const { clock, log, node, instance, settings, connect } = environment;
    this.#environment = environment;
    this.#uid = config.uid;
    this.epoch = config.epoch;
    this.#log = log.child({ volume: config.name, uid: config.uid, epoch: config.epoch });
    this.#sinceMs = clock.wallMs();
    this.#proposer = new Proposer({ ...proposing, clock, log: this.#log });
    this.#socket = new VolumeSocket({
      directory: environment.runDirectory,
      name: config.name,
      listen: environment.listen,
      clock,
      log: this.#log,
      changed: () => this.#socketChanged(),
    });
    this.#log.info('primary started');
    const events = {
      socket: (open: boolean) => this.#serve(open),
      closed: (why: PrimaryEnd, reason: string) => this.#closed(why, reason),
      reportChanged: () => {
        this.#isReportDue = true;
      },
    };
    this.#engine = environment.makePrimary({ config, node, instance, settings, connect, configPort: this.#proposer, clock, events });
    // An engine may have spoken while it was being made.
    if (this.#wantsSocket) this.#socket.open(this.#engine.device);
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
    return this.#end !== null && this.#socket.isClosed;
  }

  /** A later config. */
  observe(config: VolumeConfig): void {
    if (this.#end === null) this.#engine.observe(config);
  }

  letGo(): void {
    if (this.#end === null) this.#engine.letGo();
  }

  /** Its config is gone, or nobody waits for it any more. */
  stop(reason: string): void {
    if (this.#end !== null) return;
    this.#engine.stop();
    this.#closed('fenced', reason);
  }

  tick(nowMs: number): void {
    this.#socket.tick();
    if (this.#end === null) this.#engine.tick();
    this.#proposer.tick();
    if (this.#end === null && (this.#isReportDue || nowMs - this.#reportedAtMs >= REPORT_MS)) this.#report(nowMs);
  }

  #serve(open: boolean): void {
    if (this.#end !== null) return;
    this.#wantsSocket = open;
    this.#isReportDue = true;
    if (!open) this.#socket.close('the volume is no longer served here');
    else if (this.#engine !== undefined) this.#socket.open(this.#engine.device);
  }

  #socketChanged(): void {
    this.#isReportDue = true;
    if (this.#socket.path !== null) this.#sinceMs = this.#environment.clock.wallMs();
  }

  #closed(why: PrimaryEnd, reason: string): void {
    if (this.#end !== null) return;
    this.#end = why;
    this.#wantsSocket = false;
    this.#proposer.close();
    if (why === 'released') this.#socket.close('the volume was let go');
    else this.#socket.drop();
    this.#environment.reports.withdraw(this.#uid);
    this.#environment.ended(why);
    const fields = { why, reason };
    if (why === 'released') this.#log.info('primary let go', fields);
    else this.#log.warn('primary ended', fields);
  }

  #report(nowMs: number): void {
    this.#isReportDue = false;
    this.#reportedAtMs = nowMs;
    const { state, reason, replicas } = this.#engine.report();
    this.#resyncLeftBytes = replicas.reduce((sum, { totalBytes, doneBytes }) => sum + totalBytes - doneBytes, 0);
    const why = this.#socket.problem ?? reason;
    const report: ServingReport = {
      uid: this.#uid,
      node: this.#environment.node,
      instance: this.#environment.instance,
      epoch: this.epoch,
      state: this.#socket.problem === null ? state : 'waiting',
      ...(why === undefined ? {} : { reason: why }),
      socket: this.#socket.path,
      sinceMs: this.#sinceMs,
      replicas,
    };
    this.#environment.reports.tell(report);
  }
}
