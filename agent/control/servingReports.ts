/**
 * `serving/<uid>` of every volume that is served here: told on change, at most once a second each, but for a socket that opens or closes, for which a pod or a
 * move waits; and taken back when it is served no longer. Must never touch the report of a later epoch.
 */
import type { Clock } from '../../core/clock.ts';
import type { InstanceId, VolumeUid } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { ServingReport } from '../../core/machine.ts';
import type { Store, StoreLease } from '../../core/store.ts';
import type { CallSlots } from './calls.ts';
import { LeasedKey } from './leasedKey.ts';
import { parseReport } from './parse.ts';

const REPORT_INTERVAL_MS = 1_000;

type Served = { key: LeasedKey; report: ServingReport; isServed: boolean };

export type ServingReportsOptions = { store: Store; lease: StoreLease; clock: Clock; slots: CallSlots; keys: Keys; instance: InstanceId };

export class ServingReports {
  readonly #options: ServingReportsOptions;
  readonly #served = new Map<VolumeUid, Served>();

  constructor(options: ServingReportsOptions) {
    this.#options = options;
    options.lease.onGranted(() => {
      for (const { key } of this.#served.values()) key.granted();
    });
  }

  tell(report: ServingReport): void {
    const served = this.#served.get(report.uid) ?? this.#add(report);
    const isPressing = report.socket !== served.report.socket;
    served.isServed = true;
    served.report = report;
    served.key.want(JSON.stringify(report), isPressing);
  }

  withdraw(uid: VolumeUid): void {
    const served = this.#served.get(uid);
    if (!served) return;
    served.isServed = false;
    served.key.want(null);
  }

  /** What is served at a socket now; null: nothing. */
  at(socket: string): ServingReport | null {
    for (const { report, isServed } of this.#served.values()) if (isServed && report.socket === socket) return report;
    return null;
  }

  /** Nothing is left to write or to take back. */
  get isSettled(): boolean {
    return [...this.#served.values()].every(({ key }) => key.isSettled);
  }

  /** Ticks find nothing to do until something is heard. */
  get isResting(): boolean {
    for (const { key, isServed } of this.#served.values()) if (!isServed || !key.isSettled) return false;
    return true;
  }

  tick(): void {
    for (const [uid, { key, isServed }] of this.#served) {
      key.tick();
      if (!isServed && key.isSettled) this.#served.delete(uid);
    }
  }

  #add(report: ServingReport): Served {
    const { uid } = report;
    const { keys, instance } = this.#options;
    const served: Served = {
      report,
      isServed: true,
      key: new LeasedKey({
        ...this.#options,
        key: keys.servingOf(uid),
        intervalMs: REPORT_INTERVAL_MS,
        verifyMs: null,
        isOurs: (value) => parseReport(value)?.instance === instance,
        // Of an earlier epoch: its primary is fenced, whether it knows or not.
        mayReplace: (value) => (parseReport(value)?.epoch ?? 0) < served.report.epoch,
      }),
    };
    this.#served.set(uid, served);
    return served;
  }
}
