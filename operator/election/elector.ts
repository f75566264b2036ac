/**
 * The shell around the election's steps: reads, writes and waits as they say, and tells when this process begins and ceases to lead. Must never decide
 * anything itself (step.ts), and never believes in the Lease for more than one turn of the event loop beyond `heldUntilMs`: waits and deadlines end there.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Random } from '../../core/random.ts';
import type { Timers } from '../ports.ts';
import {
  type ElectionAction,
  type ElectionEvent,
  type ElectionState,
  type ElectionTimes,
  holdsLease,
  initialElection,
  type LeaseRecord,
  mayLead,
  releaseOf,
  step,
} from './step.ts';

/** The Lease object. Rejects with OperatingError: Conflict when it changed since `basedOn`, else Unavailable. */
export interface LeasePort {
  read(deadlineMs: number): Promise<LeaseRecord | null>;
  write(write: Extract<ElectionAction, { kind: 'write' }>, deadlineMs: number): Promise<LeaseRecord>;
}

export type ElectorOptions = {
  lease: LeasePort;
  clock: Clock;
  timers: Timers;
  random: Random;
  /** Unique to this process. */
  identity: string;
  times: ElectionTimes;
  log: Log;
  /** Why this process could not do a leader's work now; null: it could. */
  unfit(): string | null;
  /** Called once for each term, with the Lease's transitions. */
  onElected(transitions: number): void;
  /** Called once for each term: nothing may be written any more. */
  onLost(reason: string): void;
};

const CALL_DEADLINE_MS = 2_000;
const CALL_DEADLINE_MIN_MS = 50;
/** A caretaker has no time to lose: an API server that answers slowly is better than none. Less than a Lease, for after an outage the others wait no longer than that. */
const CARETAKER_DEADLINE_MS = 3_500;
/** Several operators that started together shall not stay in step. */
const JITTER_SHARE = 0.2;

export class Elector {
  readonly #options: ElectorOptions;
  #state: ElectionState;
  #isLeading = false;
  #unfit: string | null = null;

  constructor(options: ElectorOptions) {
    this.#options = options;
    this.#state = initialElection(options.identity);
  }

  get isLeading(): boolean {
    return this.#isLeading && mayLead(this.#state, this.#options.clock.monotonicMs());
  }

  /** The API server said so, and that is not over: then what people see may be written, and begun what they ask for. */
  get holdsLease(): boolean {
    return this.#isLeading && holdsLease(this.#state, this.#options.clock.monotonicMs());
  }

  /** The generation settled with etcd: the Lease's count follows it, so that it never lags behind. */
  settled(generation: number): void {
    this.#state = { ...this.#state, transitionsMin: Math.max(this.#state.transitionsMin, generation) };
  }

  /** Another leads under a higher generation: stop at once, and look at the Lease before trying again. */
  stepDown(reason: string): void {
    this.#state = { ...this.#state, role: 'follower', heldUntilMs: 0 };
    this.#announce(reason);
  }

  /** Takes part until `signal` is aborted, then gives the Lease up, so that another leads at once. */
  async run(signal: AbortSignal): Promise<void> {
    let event: ElectionEvent = this.#woke();
    while (!signal.aborted) {
      const { state, action } = step(this.#state, event, this.#options.clock.monotonicMs(), this.#options.times);
      this.#sayRole(state);
      this.#state = state;
      this.#announce(this.#unfit ?? 'the Lease was not renewed in time, or another holds it');
      event = await this.#perform(action, signal);
    }
    await this.#release();
  }

  #woke(): ElectionEvent {
    const unfit = this.#options.unfit();
    if (unfit !== null && this.#unfit === null) this.#options.log.warn('this operator does not stand for election', { reason: unfit });
    this.#unfit = unfit;
    return { kind: 'woke', isUnfit: unfit !== null };
  }

  #sayRole({ role }: ElectionState): void {
    const { log } = this.#options;
    const before = this.#state.role;
    if (before === 'leader' && role === 'caretaker') log.warn('the API server does not answer: leads on as a caretaker');
    if (before === 'caretaker' && role === 'leader') log.info('the Lease is renewed again: no caretaker any more');
  }

  #announce(reason: string): void {
    const leads = mayLead(this.#state, this.#options.clock.monotonicMs());
    if (leads === this.#isLeading) return;
    this.#isLeading = leads;
    if (leads) this.#options.onElected(this.#state.seen?.record.transitions ?? 0);
    else this.#options.onLost(reason);
  }

  /** The waits and calls of one that holds the Lease end when its time does: that it is over must not be noticed late. */
  #atMost(ms: number): number {
    if (this.#state.role !== 'leader') return ms;
    return Math.max(CALL_DEADLINE_MIN_MS, Math.min(ms, this.#state.heldUntilMs - this.#options.clock.monotonicMs()));
  }

  async #perform(action: ElectionAction, signal: AbortSignal): Promise<ElectionEvent> {
    if (action.kind === 'wait') {
      await this.#options.timers.sleep(this.#atMost(action.forMs * (1 - JITTER_SHARE * this.#options.random.unit())), signal);
      return this.#woke();
    }
    const askedMs = this.#options.clock.monotonicMs();
    try {
      const deadlineMs = this.#atMost(this.#state.role === 'caretaker' ? CARETAKER_DEADLINE_MS : CALL_DEADLINE_MS);
      if (action.kind === 'read') return { kind: 'read', record: await this.#options.lease.read(deadlineMs) };
      return { kind: 'written', record: await this.#options.lease.write(action, deadlineMs), askedMs };
    } catch (error) {
      if (isOperatingError(error, 'Conflict')) return { kind: 'conflict' };
      const fields = { operation: action.kind, error: messageOf(error) };
      if (this.#state.isUnanswered) this.#options.log.debug('the Lease could not be reached', fields);
      else this.#options.log.warn('the Lease could not be reached', fields);
      return { kind: 'unanswered' };
    }
  }

  async #release(): Promise<void> {
    const action = releaseOf(this.#state);
    this.stepDown('this operator stops');
    if (action?.kind !== 'write') return;
    try {
      await this.#options.lease.write(action, CALL_DEADLINE_MS);
      this.#options.log.info('the Lease was released');
    } catch (error) {
      this.#options.log.warn('the Lease could not be released and has to run out', { error: messageOf(error) });
    }
  }
}
