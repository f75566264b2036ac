/**
 * What a leader may do now, by what it sees. Said in the log and as a metric whenever it changes. Must never let a term begin anything on what was seen before it began.
 *
 *   none       etcd is behind, or the API server's objects have not been seen in this term yet: nothing
 *   caretaker  the Lease is not held, or the API server's objects are behind: what keeps the volumes that are placed up and whole, and nothing is written to the API server
 *   full       everything
 */
import type { Log } from '../../core/log.ts';
import type { OperatorMetrics } from '../metrics.ts';
import { kubeStaleReason, type Sources, storeStaleReason } from '../observe/observe.ts';

export type MandateKind = 'none' | 'caretaker' | 'full';

export type MandatePorts = {
  sources: Pick<Sources, 'store' | 'kube'>;
  /** Whether the API server said that this process leads, and that is not over. */
  holdsLease(): boolean;
  metrics: Pick<OperatorMetrics, 'isCaretaker'>;
  log: Log;
};

const SENTENCES: Readonly<Record<MandateKind, string>> = {
  none: 'nothing is decided for now',
  caretaker: 'decides as a caretaker: placed volumes are kept up, nothing is begun or deleted',
  full: 'all views are current, reconciling',
};
const UNHELD = 'the Lease is not held';

/** One term of leadership. */
export class Mandate {
  readonly #ports: MandatePorts;
  #hasSeenObjects = false;
  #kind: MandateKind = 'none';
  #said = '';

  constructor(ports: MandatePorts) {
    this.#ports = ports;
  }

  /** Whether anything may be written to the API server: by a caretaker nothing, for another may have taken its place there. */
  get mayWrite(): boolean {
    return this.#kind === 'full' && this.#ports.holdsLease();
  }

  /** As it is now, until it is asked again. */
  update(): MandateKind {
    const { sources, holdsLease, metrics } = this.#ports;
    const storeReason = storeStaleReason(sources.store);
    const kubeReason = kubeStaleReason(sources.kube);
    if (kubeReason === null) this.#hasSeenObjects = true;
    const reason = storeReason ?? kubeReason ?? (holdsLease() ? null : UNHELD);
    if (reason === null) this.#kind = 'full';
    else this.#kind = storeReason === null && this.#hasSeenObjects ? 'caretaker' : 'none';
    metrics.isCaretaker.set(this.#kind === 'caretaker' ? 1 : 0);
    this.#say(reason);
    return this.#kind;
  }

  #say(reason: string | null): void {
    const said = `${this.#kind} ${reason}`;
    if (said === this.#said) return;
    this.#said = said;
    if (reason === null) this.#ports.log.info(SENTENCES[this.#kind]);
    else this.#ports.log.warn(SENTENCES[this.#kind], { reason });
  }
}
