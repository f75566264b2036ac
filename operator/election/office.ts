/**
 * From a won election to leading: raises the generation in etcd first, and only then lets the controller work; one term after the other, never two at once.
 */
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import type { Store } from '../../core/store.ts';
import type { OperatorMetrics } from '../metrics.ts';
import type { Timers } from '../ports.ts';
import { claimGeneration, type Leadership } from './generation.ts';

const CLAIM_RETRY_MS = 250;

export type OfficePorts = {
  store: Store;
  keys: Keys;
  timers: Timers;
  metrics: OperatorMetrics;
  log: Log;
  /** Unique to this process: its record in etcd is told from any other's by it. */
  identity: string;
  /** Leads until `signal` is aborted or the leadership is deposed. */
  lead(leadership: Leadership, signal: AbortSignal): Promise<void>;
  /** A generation was settled with etcd. */
  settled(generation: number): void;
  /** A higher generation was seen. */
  deposed(): void;
  /** What no retry mends. */
  fail(error: unknown): void;
};

export class Office {
  readonly #ports: OfficePorts;
  #ending: AbortController | null = null;
  #terms: Promise<void> = Promise.resolve();

  constructor(ports: OfficePorts) {
    this.#ports = ports;
  }

  begin(transitions: number): void {
    const ending = new AbortController();
    this.#ending = ending;
    this.#terms = this.#terms.then(() => this.#hold(transitions, ending.signal)).catch((error: unknown) => this.#ports.fail(error));
  }

  end(reason: string): void {
    this.#ports.log.info('does not lead any more', { reason });
    this.#ending?.abort();
    this.#ending = null;
  }

  /** Resolves when nothing of a term runs any more. */
  idle(): Promise<void> {
    return this.#terms;
  }

  async #hold(transitions: number, signal: AbortSignal): Promise<void> {
    const { log, metrics } = this.#ports;
    const leadership = await this.#claim(transitions, signal);
    if (leadership === null) return;
    leadership.onDeposed(() => this.#ports.deposed());
    this.#ports.settled(leadership.generation);
    log.info('leads', { generation: leadership.generation });
    metrics.leads(leadership.generation);
    try {
      await this.#ports.lead(leadership, signal);
    } finally {
      metrics.follows();
    }
  }

  /** Null: the term ended first. */
  async #claim(transitions: number, signal: AbortSignal): Promise<Leadership | null> {
    const { store, keys, identity, timers, log } = this.#ports;
    while (!signal.aborted) {
      try {
        return await claimGeneration(store, keys, identity, transitions);
      } catch (error) {
        if (!isOperatingError(error)) throw error;
        log.warn('won the Lease, but the generation could not be raised yet', { error: messageOf(error) });
        await timers.sleep(CLAIM_RETRY_MS, signal);
      }
    }
    return null;
  }
}
