/**
 * A request's way, the same for every route: a place among those under way, who asks, what is asked, then the operation. Each refusal is the same error in the
 * same form wherever it comes from. Must never start an operation for somebody who is not known.
 */
import { isOperatingError, OperatingError } from '../../core/errors.ts';
import type { Trace } from '../../core/trace.ts';
import { HttpError } from '../../edge/http/errors.ts';
import type { Access } from './access.ts';
import { Gate } from './gate.ts';
import type { ApiAnswer, ApiRequest, Caller, Operation } from './ports.ts';
import type { OperationName, Route } from './routes.ts';
import { parseParameters, type Texts } from './schema.ts';

const REQUESTS_MAX = 64;
const LONG_POLLS_MAX = 128;
const LONG_POLLS_OF_ONE_USER_MAX = 32;
const VERSION_LENGTH_MAX = 64;
const NOBODY: Caller = { token: '', user: '', uid: '', groups: [], extra: {} };

/** A request as it came. */
export type Arrived = {
  authorization: string | undefined;
  ifMatch: string | undefined;
  path: Texts;
  query: Texts;
  body: unknown;
  trace: Trace;
  signal: AbortSignal;
};

export type Served = {
  access: Access;
  operations: Record<OperationName, Operation>;
  /** How many members of etcd answer now; asked only when something got no answer. */
  etcdMembers: () => Promise<{ answering: number; of: number }>;
  /** Why this operator may not act on what stands in etcd; null: it may. */
  unfit: () => string | null;
};

export class Server {
  readonly #served: Served;
  readonly #requests = new Gate('requests', REQUESTS_MAX);
  readonly #longPolls = new Gate('long polls', LONG_POLLS_MAX, LONG_POLLS_OF_ONE_USER_MAX);

  constructor(served: Served) {
    this.#served = served;
  }

  get underWay(): { requests: number; longPolls: number } {
    return { requests: this.#requests.count, longPolls: this.#longPolls.count };
  }

  /** `onCaller`: who it is, as soon as that is known. Rejects with what `answerOf` makes an answer of. */
  async serve(name: OperationName, route: Route, arrived: Arrived, onCaller: (user: string) => void): Promise<ApiAnswer> {
    const leave = this.#requests.enter();
    let leaveLong: (() => void) | null = null;
    let hasLeft = false;
    const leaveOnce = (): void => {
      if (!hasLeft) leave();
      hasLeft = true;
    };
    try {
      const caller = route.isOpen ? NOBODY : await this.#served.access.authenticate(arrived.authorization);
      onCaller(caller.user);
      const request = requestOf(route, arrived, caller);
      if (isLongPoll(route, request)) {
        leaveLong = this.#longPolls.enter(caller.user);
        // It waits from here on, and takes nobody's place.
        leaveOnce();
      }
      this.#demandFit();
      return await this.#served.operations[name](request);
    } catch (error) {
      throw await this.#explained(error);
    } finally {
      leaveOnce();
      leaveLong?.();
    }
  }

  #demandFit(): void {
    const reason = this.#served.unfit();
    if (reason !== null)
      throw new OperatingError('Unavailable', 'serve the request', `${reason}; nothing was changed; ask another operator`);
  }

  /** What etcd did not answer is told in people's words: they want to know how bad it is. */
  async #explained(error: unknown): Promise<unknown> {
    if (error instanceof DOMException)
      return new OperatingError(
        'Unavailable',
        'serve the request',
        'its time was over before it was begun; nothing was changed; try again after 5 s',
      );
    if (!isOperatingError(error, 'Unavailable') || !error.message.includes('etcd gave no answer')) return error;
    const { answering, of } = await this.#served.etcdMembers();
    const isQuorate = answering > of / 2;
    const found = isQuorate
      ? `etcd gave no answer in time (${answering} of ${of} members answer now)`
      : `etcd has no quorum (${answering} of ${of} members answer)`;
    const isUnknown = error.message.includes('the outcome is unknown');
    const outcome = isUnknown ? 'whether it was done is not known: look before you try again' : 'nothing was changed; try again after 5 s';
    return new OperatingError('Unavailable', error.attempted, `${found}; ${outcome}`, { cause: error });
  }
}

const isLongPoll = (route: Route, { parameters }: ApiRequest): boolean =>
  route.isLong === 'always' || (route.isLong === 'watch' && parameters.watch === true);

function requestOf(route: Route, arrived: Arrived, caller: Caller): ApiRequest {
  const { values, problems } = parseParameters(route.parameters, arrived.path, arrived.query);
  if (problems.length > 0) {
    const words = problems.map(({ field, message }) => `${field} ${message}`).join('; ');
    throw new HttpError(400, 'BadRequest', words, { problems });
  }
  const { trace, signal, body } = arrived;
  return { parameters: values, body, caller, trace, signal, ifMatch: route.isConditional ? versionOf(arrived.ifMatch) : null };
}

/** `"123"`, as ETag told it; `*` is no condition, since what is not there is a 404 anyway. */
function versionOf(header: string | undefined): string | null {
  if (header === undefined || header.trim() === '*') return null;
  const [, version] = /^(?:W\/)?"?([^",\s]+)"?$/.exec(header.trim()) ?? [];
  if (version !== undefined && version.length <= VERSION_LENGTH_MAX) return version;
  throw new HttpError(400, 'BadRequest', 'If-Match must be one version, as ETag told it', {
    problems: [{ field: 'If-Match', message: 'must be one version' }],
  });
}
