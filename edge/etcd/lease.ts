/**
 * This process's lease in etcd, kept by a loop of our own: the library's reports a loss only after two times its life, by the wall clock.
 * A lease is no fence (etcd and we may disagree for a while): what must be safe compares in its commit.
 *
 * States: none -> (granted) -> alive -> (no answer for the lease's life) -> unsure -> (answer) -> alive, or (etcd says it is gone) -> none; revoked, for ever.
 * etcd keeps leases over its own restart, so an unsure lease is asked for again and not given up by the clock.
 */
import { systemClock } from '../../core/clock.ts';
import { isOperatingError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { StoreLease } from '../../core/store.ts';
import type { Metrics } from '../metrics.ts';
import type { Calls } from './calls.ts';
import type { Endpoints } from './endpoints.ts';
import { KeepAliveStream } from './keepAlive.ts';

/** Four in a lease's life: one may fail, by its time-out, and there is still time for another member to answer. */
const KEEP_ALIVES_PER_TTL = 4;
/** Between two attempts to be granted a lease. */
const GRANT_PAUSE_MS = 500;

export interface LeaseHolder {
  /** The lease to put under; null while none is known to live. */
  readonly aliveId: string | null;
  /** Somebody was told that it is gone: ask now. */
  doubt(): void;
}

type Held = { readonly id: string; aliveUntilMs: number };

export class EtcdLease implements StoreLease, LeaseHolder {
  readonly #calls: Calls;
  readonly #endpoints: Endpoints;
  readonly #log: Log;
  readonly #ttlMs: number;
  readonly #listeners: (() => void)[] = [];
  readonly #countGrant: () => void;
  readonly #keepAlives = new KeepAliveStream();
  #held: Held | null = null;
  #isStopped = false;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #isAskedAgain = false;

  constructor(calls: Calls, endpoints: Endpoints, ttlSeconds: number, log: Log, metrics: Metrics | null) {
    this.#calls = calls;
    this.#endpoints = endpoints;
    this.#ttlMs = ttlSeconds * 1000;
    this.#log = log;
    const grants = metrics?.counter('etcd_lease_grants_total', 'Leases granted to this process; more than one: an earlier was lost');
    this.#countGrant = () => grants?.inc();
    this.#wake();
  }

  get isAlive(): boolean {
    return this.#held !== null && !this.#isStopped && systemClock.monotonicMs() < this.#held.aliveUntilMs;
  }

  get aliveId(): string | null {
    return this.isAlive && this.#held !== null ? this.#held.id : null;
  }

  onGranted(listener: () => void): void {
    this.#listeners.push(listener);
    if (this.isAlive) setImmediate(listener);
  }

  doubt(): void {
    this.#isAskedAgain = this.#running !== null;
    this.#wake();
  }

  async revoke(): Promise<void> {
    const held = this.#held;
    await this.stop();
    this.#held = null;
    if (held === null) return;
    try {
      await this.#calls.write('revoke the lease', (client, options) => client.leaseClient.leaseRevoke({ ID: held.id }, options));
    } catch (error) {
      // It then runs out by itself, a little later.
      if (!isOperatingError(error, 'Unavailable')) throw error;
      this.#log.warn('lease could not be revoked, it runs out', { error });
    }
  }

  /** Keeps it alive no longer. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#running;
    this.#keepAlives.close();
  }

  #wake(): void {
    if (this.#isStopped || this.#running !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#running = this.#round().then((pauseMs) => {
      this.#running = null;
      if (this.#isStopped) return;
      this.#timer = setTimeout(() => this.#wake(), this.#isAskedAgain ? 0 : pauseMs);
      this.#isAskedAgain = false;
    });
  }

  /** One step, and the pause till the next. */
  async #round(): Promise<number> {
    const startMs = systemClock.monotonicMs();
    const periodMs = this.#ttlMs / KEEP_ALIVES_PER_TTL;
    if (this.#held === null) return (await this.#grant()) ? periodMs : GRANT_PAUSE_MS;
    await this.#keep(this.#held, periodMs);
    if (this.#held === null) return 0;
    return Math.max(0, startMs + periodMs - systemClock.monotonicMs());
  }

  async #grant(): Promise<boolean> {
    const askedMs = systemClock.monotonicMs();
    try {
      const request = { TTL: Math.ceil(this.#ttlMs / 1000) };
      const grant = await this.#calls.write('ask for a lease', (client, options) => client.leaseClient.leaseGrant(request, options));
      if (this.#isStopped) return false;
      // Counted from when it was asked: etcd's own count began later.
      this.#held = { id: grant.ID, aliveUntilMs: askedMs + Number(grant.TTL) * 1000 };
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      this.#log.debug('no lease was granted', { error });
      return false;
    }
    this.#countGrant();
    this.#log.info('lease granted', { lease: this.#held.id, ttlMs: this.#ttlMs });
    for (const listener of this.#listeners) setImmediate(listener);
    return true;
  }

  async #keep(held: Held, timeoutMs: number): Promise<void> {
    const connection = this.#endpoints.current();
    const askedMs = systemClock.monotonicMs();
    const wasAlive = this.isAlive;
    try {
      const ttlSeconds = await this.#keepAlives.ask(connection, held.id, timeoutMs);
      this.#endpoints.answered(connection);
      if (ttlSeconds > 0) held.aliveUntilMs = askedMs + ttlSeconds * 1000;
      else {
        this.#held = null;
        this.#log.warn('lease is gone, another is asked for', { lease: held.id });
      }
    } catch (error) {
      this.#endpoints.failed(connection);
      this.#log.debug('lease was not kept alive', { lease: held.id, error });
    }
    if (wasAlive && !this.isAlive && this.#held !== null)
      this.#log.warn('lease may have run out, etcd gives no answer', { lease: held.id });
  }
}
