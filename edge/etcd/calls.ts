/** Every call to etcd: its deadline, where it is tried, what its failure is called. Must never repeat a change whose outcome is unknown. */
import type { Etcd3 } from 'etcd3';
import { systemClock } from '../../core/clock.ts';
import { OperatingError } from '../../core/errors.ts';
import type { Metrics } from '../metrics.ts';
import type { Connection, Endpoints } from './endpoints.ts';
import { type Failure, failureOf, isDenied, isRightsChanged } from './failure.ts';

/** Longer than an election among etcd's members (1 s, seldom 2), shorter than anybody's patience with a write. */
export const CALL_MS_MAX = 3_000;
/** A read gets half of it on its first member, so that a second may still answer in time. */
const FIRST_READ_MS_MAX = 1_500;
/** A read whose answer did not come is asked once more, no oftener. */
const READ_ANSWERS_MISSED_MAX = 1;
/** No more members than this are tried for one call. */
const ATTEMPTS_MAX = 8;

export type CallOptions = { readonly deadline: number };
type Members = Pick<Endpoints, 'current' | 'answered' | 'failed'>;
type Run<Answer> = (client: Etcd3, options: CallOptions) => Promise<Answer>;

/** In the cause of what `Calls` throws: what is proven about the outcome. */
export const causeOf = (error: unknown): Failure | null =>
  error instanceof OperatingError && error.cause !== undefined ? failureOf(error.cause) : null;

export class Calls {
  readonly #endpoints: Members;
  readonly #observe: (kind: 'read' | 'write', outcome: string, seconds: number) => void;
  readonly #denied: (attempted: string) => void;

  /** `denied` hears of what etcd knows this program has no right to. */
  constructor(endpoints: Members, metrics: Metrics | null, denied: (attempted: string) => void = () => undefined) {
    this.#endpoints = endpoints;
    this.#denied = denied;
    const buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];
    const histogram = metrics?.histogram('etcd_call_seconds', 'Calls to etcd, with all attempts', buckets, ['kind', 'outcome']);
    this.#observe = (kind, outcome, seconds) => histogram?.observe({ kind, outcome }, seconds);
  }

  /** May be asked again elsewhere. */
  read<Answer>(attempted: string, run: Run<Answer>): Promise<Answer> {
    return this.#call('read', attempted, run);
  }

  /** Asked again only while it has never left this process, or etcd did nothing because somebody's rights changed meanwhile. */
  write<Answer>(attempted: string, run: Run<Answer>): Promise<Answer> {
    return this.#call('write', attempted, run);
  }

  async #call<Answer>(kind: 'read' | 'write', attempted: string, run: Run<Answer>): Promise<Answer> {
    const startMs = systemClock.monotonicMs();
    const seconds = () => (systemClock.monotonicMs() - startMs) / 1000;
    const tried = new Set<string>();
    let answersMissed = 0;
    for (let attempt = 1; ; attempt++) {
      const connection = this.#endpoints.current();
      const leftMs = startMs + CALL_MS_MAX - systemClock.monotonicMs();
      const patienceMs = kind === 'read' && answersMissed === 0 ? Math.min(FIRST_READ_MS_MAX, leftMs) : leftMs;
      try {
        const answer = await run(connection.client, { deadline: systemClock.wallMs() + Math.max(1, patienceMs) });
        this.#endpoints.answered(connection);
        this.#observe(kind, 'answered', seconds());
        return answer;
      } catch (error) {
        const failure = failureOf(error);
        tried.add(connection.url);
        this.#note(connection, failure, attempted);
        if (failure.kind === 'noAnswer') answersMissed++;
        const isLate = systemClock.monotonicMs() - startMs >= CALL_MS_MAX || attempt >= ATTEMPTS_MAX;
        if (isLate || !this.#mayTryAgain(kind, failure, tried, answersMissed)) {
          this.#observe(kind, failure.kind, seconds());
          throw this.#unavailable(kind, attempted, failure, connection, error);
        }
      }
    }
  }

  #note(connection: Connection, failure: Failure, attempted: string): void {
    if (isDenied(failure)) this.#denied(attempted);
    if (failure.kind === 'refused') this.#endpoints.answered(connection);
    else this.#endpoints.failed(connection);
  }

  #mayTryAgain(kind: 'read' | 'write', failure: Failure, tried: ReadonlySet<string>, answersMissed: number): boolean {
    if (failure.kind === 'refused') return isRightsChanged(failure);
    if (failure.kind === 'notSent') return !tried.has(this.#endpoints.current().url);
    return kind === 'read' && answersMissed <= READ_ANSWERS_MISSED_MAX;
  }

  #unavailable(kind: 'read' | 'write', attempted: string, failure: Failure, connection: Connection, cause: unknown): OperatingError {
    const unknown = kind === 'write' && failure.kind === 'noAnswer';
    const outcome = unknown ? 'the outcome is unknown, it may have been done or may still be done' : 'nothing was changed';
    const who = failure.kind === 'refused' ? 'etcd refused' : `etcd gave no answer (${connection.url})`;
    return new OperatingError('Unavailable', attempted, `${who}: ${failure.details}; ${outcome}`, { cause });
  }
}
