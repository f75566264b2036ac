/** What the API server answers, as a result or as the error that the caller reads. Pure. */
import { OperatingError } from '../../core/errors.ts';
import { HttpError, type RequestProblem } from '../../edge/http/errors.ts';
import type { KubeAnswer, KubeRequest } from './ports.ts';

type Status = {
  message?: string;
  reason?: string;
  details?: { causes?: { field?: string; message?: string }[] };
};

const CODES: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Gone',
  413: 'TooLarge',
  422: 'Invalid',
  429: 'Busy',
};

const PROBLEMS_MAX = 64;

const problemsOf = ({ details }: Status): RequestProblem[] =>
  (details?.causes ?? []).slice(0, PROBLEMS_MAX).map(({ field, message }) => ({ field: field ?? '', message: message ?? '' }));

/** Of a write nothing is known then: the API server may have handed it on before it gave up. */
const outcomeOf = (method: KubeRequest['method']): string =>
  method === 'GET' ? 'nothing was changed' : 'whether it was done is not known: look before you try again';

export const unavailable = (request: KubeRequest, found: string, isSent = true, cause?: unknown): OperatingError =>
  new OperatingError(
    'Unavailable',
    `${request.method} ${request.path.replace(/\?.*/, '')}`,
    `${found}; ${isSent ? outcomeOf(request.method) : 'nothing was changed'}; try again after 5 s`,
    { cause },
  );

export function refusalOf({ status, body }: KubeAnswer, request: KubeRequest): Error {
  const said = (typeof body === 'object' && body !== null ? body : {}) as Status;
  const message = said.message ?? 'the API server gave no reason';
  const code = said.reason === 'AlreadyExists' ? 'AlreadyExists' : CODES[status];
  if (status >= 500 || code === undefined) return unavailable(request, `the API server answered ${status}: ${message}`);
  const problems = problemsOf(said);
  return new HttpError(status, code, message, problems.length > 0 ? { problems } : {});
}

/** The body of what went well; throws what did not. */
export function resultOf<Result>(answer: KubeAnswer, request: KubeRequest): Result {
  if (answer.status < 200 || answer.status > 299) throw refusalOf(answer, request);
  return answer.body as Result;
}
