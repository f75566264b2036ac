/**
 * One primary in its worker, with its NBD socket and its report. Lives for one epoch.
 *
 *   running --closed by the engine, or stopped by control--> ended --no connection left--> over
 *
 * It must never let an answer out once the engine was fenced, lost or stopped. That is done here, in the thread that answers, as soon as the config is
 * observed; and the leases by which anything is answered run out here by themselves, by this thread's own clock. So a control thread that is slow, or
 * stands still, never makes a zombie answer: it only makes the volume wait.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { InstanceId, NodeName } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { ServingReport } from '../../core/machine.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Settings } from '../../core/settings.ts';
import type { ListenOnSocket, MakePrimary, PrimaryEnd, PrimaryEngine, PrimaryReport } from '../control/engines.ts';
import type { SnapshotRequest } from '../ports.ts';
import type { SnapshotDone } from '../primary/snapshot.ts';
import type { Witness } from '../primary/witness.ts';
import type { ConfigPort, Connect } from '../replication/link.ts';
import { VolumeSocket } from './volumeSocket.ts';

/** What every primary of a worker shares. */
export type PrimaryEnvironment = {
  node: NodeName;
  instance: InstanceId;
  runDirectory: string;
  settings: () => Settings;
  makePrimary: MakePrimary;
  connect: Connect;
  listen: ListenOnSocket;
  witness: Witness;
  /** Ticks are due again: something was heard. */
  hasten: () => void;
  clock: Clock;
  log: Log;
};

/** What it says to control. */
export type PrimaryVoice = {
  configPort: ConfigPort;
  report(report: ServingReport): void;
  scrub(state: ScrubState): void;
  ended(why: PrimaryEnd, reason: string): void;
};

/** Progress moves all the time and is asked for no more often than this; a change of state is told at once. */
const REPORT_MS = 1_000;
/** A replica that dies makes I/O wait until it is taken out, for a moment: what is shorter than this is not told. */
const STALL_MS = 2_000;
/** How far a scrub is matters to the next primary; that one has ended, to people. */
const SCRUB_MS = 10_000;

export class RunningPrimary {
  readonly epoch: number;
  readonly #environment: PrimaryEnvironment;
  readonly #voice: PrimaryVoice;
  readonly #uid: VolumeConfig['uid'];
  readonly #socket: VolumeSocket;
  readonly #engine: PrimaryEngine;
  #sinceMs: number;
  #isReportDue = true;
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #told = '';
  #toldScrub: ScrubState | null;
  #toldScrubAtMs: number;
  #stalledSinceMs: number | null = null;
  #wantsSocket = false;
  #hasEnded = false;

  /** `scrub`: how far the primary before came. */
  constructor(config: VolumeConfig, scrub: ScrubState | null, environment: PrimaryEnvironment, voice: PrimaryVoice) {
    const { clock, node, instance, settings, connect, witness } = environment;
    this.#environment = environment;
    this.#voice = voice;
    this.#uid = config.uid;
    this.epoch = config.epoch;
    this.#sinceMs = clock.wallMs();
    this.#toldScrub = scrub;
    this.#toldScrubAtMs = clock.monotonicMs();
    this.#socket = new VolumeSocket({
      directory: environment.runDirectory,
      name: config.name,
      listen: environment.listen,
      clock,
      log: environment.log.child({ volume: config.name, uid: config.uid, epoch: config.epoch }),
      changed: () => this.#socketChanged(),
    });
    const events = {
      socket: (open: boolean) => this.#serve(open),
      closed: (why: PrimaryEnd, reason: string) => this.#closed(why, reason),
      reportChanged: () => {
        this.#isReportDue = true;
      },
      woke: () => environment.hasten(),
    };
    const { configPort } = voice;
    this.#engine = environment.makePrimary({ config, node, instance, settings, connect, configPort, clock, events, scrub, witness });
    // An engine may have spoken while it was being made.
    if (this.#wantsSocket) this.#socket.open(this.#engine.device);
  }

  /** Ended, and no connection is left. */
  get isOver(): boolean {
    return this.#hasEnded && this.#socket.isClosed;
  }

  /** Nothing is to be told, and ticks find nothing to do. */
  get isResting(): boolean {
    return !this.#hasEnded && !this.#isReportDue && this.#engine.isResting;
  }

  /** A later config. */
  observe(config: VolumeConfig): void {
    if (!this.#hasEnded) this.#engine.observe(config);
  }

  letGo(): void {
    if (!this.#hasEnded) this.#engine.letGo();
  }

  reachable(node: NodeName): void {
    if (!this.#hasEnded) this.#engine.reachable(node);
  }

  snapshot(request: SnapshotRequest, done: SnapshotDone): void {
    if (this.#hasEnded) done({ problem: 'the primary has ended' });
    else this.#engine.snapshot(request, done);
  }

  /** Its config is gone, or nobody waits for it any more. Control knows the reason. */
  stop(): void {
    if (this.#hasEnded) return;
    this.#engine.stop();
    this.#closed('lost', 'told to stop');
  }

  tick(nowMs: number): void {
    this.#socket.tick();
    if (!this.#hasEnded) this.#engine.tick();
    const isReportDue = this.#isReportDue || (nowMs - this.#reportedAtMs >= REPORT_MS && !this.#engine.isResting);
    if (!this.#hasEnded && isReportDue) this.#report(nowMs);
    if (!this.#hasEnded) this.#tellScrub(nowMs);
  }

  #serve(open: boolean): void {
    if (this.#hasEnded) return;
    this.#wantsSocket = open;
    this.#isReportDue = true;
    if (!open) this.#socket.close();
    else if (this.#engine !== undefined) this.#socket.open(this.#engine.device);
  }

  #socketChanged(): void {
    this.#isReportDue = true;
    if (this.#socket.path !== null) this.#sinceMs = this.#environment.clock.wallMs();
  }

  #closed(why: PrimaryEnd, reason: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#wantsSocket = false;
    if (why === 'released') this.#socket.close();
    else this.#socket.drop();
    this.#voice.ended(why, reason);
  }

  #tellScrub(nowMs: number): void {
    const { scrub } = this.#engine;
    if (scrub === null || scrub === this.#toldScrub) return;
    const hasJustEnded = scrub.endedAtMs !== null && scrub.endedAtMs !== this.#toldScrub?.endedAtMs;
    if (!hasJustEnded && nowMs - this.#toldScrubAtMs < SCRUB_MS) return;
    this.#toldScrub = scrub;
    this.#toldScrubAtMs = nowMs;
    this.#voice.scrub(scrub);
  }

  #withPatience(report: PrimaryReport, nowMs: number): PrimaryReport {
    if (report.state !== 'stalled') {
      this.#stalledSinceMs = null;
      return report;
    }
    this.#stalledSinceMs ??= nowMs;
    if (nowMs - this.#stalledSinceMs >= STALL_MS) return report;
    const { reason: _, ...rest } = report;
    return { ...rest, state: 'serving' };
  }

  #report(nowMs: number): void {
    this.#isReportDue = false;
    this.#reportedAtMs = nowMs;
    const { state, reason, ...rest } = this.#withPatience(this.#engine.report(), nowMs);
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
      ...rest,
    };
    const text = JSON.stringify(report);
    if (text === this.#told) return;
    this.#told = text;
    this.#voice.report(report);
  }
}
