/**
 * The control loop: everything that lives on this node, ticked in one place, and the order in which it ends. Each part says when it is next due, and the loop
 * sleeps until then or until something is heard (`doorbell.ts`).
 *
 *   running --stop--> telling --etcd has it, or the bound--> letting go --no primary left, or the bound--> closing --replicas closed, or the bound--> stopped
 *
 * It must never wait for data, nor for etcd: each part does what is due and returns.
 */
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { MachineState } from '../../core/machine.ts';
import type { StoreLease } from '../../core/store.ts';
import type { AddressBook } from './addressBook.ts';
import type { Doorbell } from './doorbell.ts';
import type { AgentLevels, AgentMetrics } from './metrics.ts';
import type { Pools } from './pools.ts';
import type { Primaries } from './primaries.ts';
import type { Registration } from './registration.ts';
import type { ServingReports } from './servingReports.ts';
import type { SettingsWatch } from './settingsWatch.ts';
import type { SnapshotTasks } from './tasks/snapshotTasks.ts';
import type { TaskRunner } from './tasks/taskRunner.ts';
import type { Volumes } from './volumes.ts';

/** For etcd to take that this agent is stopping. Without that it is promoted once more, in vain. */
const TELL_MS = 1_000;
/** For clients to get their last answers, for etcd to take `primary: null`. Those that need longer are left as by a crash. */
const LET_GO_MS = 5_000;
/** For the last flushes. */
const CLOSE_MS = 5_000;
const MEASURE_MS = 1_000;

export type AgentParts = {
  clock: Clock;
  log: Log;
  metrics: AgentMetrics;
  lease: StoreLease;
  doorbell: Doorbell;
  pools: Pools;
  primaries: Primaries;
  addresses: AddressBook;
  settings: SettingsWatch;
  volumes: Volumes;
  reports: ServingReports;
  registration: Registration;
  tasks: TaskRunner;
  snapshots: SnapshotTasks;
};

type Waiting = { holds: () => boolean; untilMs: number; resolve: (held: boolean) => void };

export class Agent {
  readonly #parts: AgentParts;
  #waiting: Waiting[] = [];
  #measuredAtMs = Number.NEGATIVE_INFINITY;
  /** The latest tick since it was measured. */
  #latestMs = 0;
  #leaseSeenMs: number;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#leaseSeenMs = parts.clock.monotonicMs();
  }

  /** `lateMs`: how long after its time it is called. Returns how long the next may be away, unless something is heard before. */
  tick(lateMs: number): number {
    const { clock, volumes, pools, primaries, addresses, reports, registration, tasks, snapshots } = this.#parts;
    const nowMs = clock.monotonicMs();
    this.#latestMs = Math.max(this.#latestMs, lateMs);
    pools.tick();
    primaries.tick(nowMs);
    addresses.tick();
    volumes.tick(nowMs);
    reports.tick();
    registration.tick();
    tasks.tick(nowMs);
    snapshots.tick();
    this.#measure(nowMs);
    this.#wake(nowMs);
    return this.#dueAtMs - nowMs;
  }

  /** False: some replicas could not be closed in time; their worker may hang. */
  async stop(): Promise<boolean> {
    const { log, volumes, pools, addresses, reports, tasks, settings, registration } = this.#parts;
    log.info('stopping: volumes are let go', { primaries: volumes.primaries });
    tasks.stop();
    registration.stopping();
    if (registration.wasRegistered) await this.#until(() => registration.isToldStopping, TELL_MS);
    volumes.letGo();
    const hasLetGo = await this.#until(() => volumes.primaries === 0 && reports.isSettled, LET_GO_MS);
    if (!hasLetGo) log.warn('some volumes could not be let go in time', { primaries: volumes.primaries });
    volumes.stop('the agent is stopping');
    pools.close();
    const isClosed = await this.#until(() => pools.areClosed && volumes.endings === 0, CLOSE_MS);
    if (!isClosed) log.warn('some replicas or connections could not be closed in time', { endings: volumes.endings });
    volumes.close();
    addresses.close();
    settings.close();
    return pools.areClosed;
  }

  get #dueAtMs(): number {
    const { volumes, pools, primaries, addresses, reports, registration, tasks, snapshots } = this.#parts;
    if (this.#waiting.length > 0 || !reports.isResting || !snapshots.isResting) return 0;
    const parts = [volumes, pools, primaries, addresses, registration, tasks];
    return Math.min(this.#measuredAtMs + MEASURE_MS, ...parts.map(({ dueAtMs }) => dueAtMs));
  }

  #measure(nowMs: number): void {
    if (this.#parts.lease.isAlive) this.#leaseSeenMs = nowMs;
    if (nowMs - this.#measuredAtMs < MEASURE_MS) return;
    this.#measuredAtMs = nowMs;
    this.#parts.metrics.ticked(this.#latestMs);
    this.#latestMs = 0;
    this.#parts.metrics.levels(this.#levels(nowMs));
  }

  #levels(nowMs: number): AgentLevels {
    const { volumes, tasks, settings, pools } = this.#parts;
    return {
      primaries: volumes.primaries,
      replicas: pools.count(),
      pools: pools.reports(),
      silences: pools.silences(),
      resyncLeftBytes: volumes.resyncLeftBytes,
      tasks: tasks.runsInWork,
      settingsVersion: settings.version,
      leaseLostMs: nowMs - this.#leaseSeenMs,
    };
  }

  /** True when it holds within the bound; looked at with every tick. */
  #until(holds: () => boolean, boundMs: number): Promise<boolean> {
    const untilMs = this.#parts.clock.monotonicMs() + boundMs;
    return new Promise((resolve) => {
      this.#waiting.push({ holds, untilMs, resolve });
      this.#parts.doorbell.ring();
    });
  }

  #wake(nowMs: number): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const one of waiting) {
      const held = one.holds();
      if (held || nowMs >= one.untilMs) one.resolve(held);
      else this.#waiting.push(one);
    }
  }
}

/** Who this process is, for as long as it runs. */
export type AgentIdentity = Pick<MachineState, 'node' | 'instance' | 'addresses' | 'bootId' | 'zone' | 'labels' | 'version' | 'speaks'>;

export const machineState = (identity: AgentIdentity, now: { pools: Pools; settings: SettingsWatch }): MachineState => ({
  ...identity,
  pools: now.pools.reports(),
  failedReplicas: now.pools.failed(),
  settingsVersion: now.settings.version,
});
