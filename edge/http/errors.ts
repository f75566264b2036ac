/** What a failed request is answered with: the one place where errors become HTTP. Pure; must never pass on the text of an unexpected error. */
import { isOperatingError, type OperatingErrorCode } from '../../core/errors.ts';

/** One of several things that are wrong with what was sent. */
export type RequestProblem = { field: string; message: string };

/** What a refusal may say beyond its sentence. */
export type ErrorDetails = {
  /** All that is wrong, not only the first. */
  problems?: readonly RequestProblem[];
  /** Of a change that was based on something else than what is there. */
  versions?: { given: string; current: string };
};

/** A handler's own answer: `message` is for the one who asked. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly code: string;
  readonly details: ErrorDetails;
  constructor(status: number, code: string, message: string, details: ErrorDetails = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export type Answer = { status: number; code: string; message: string; details: ErrorDetails; retryAfterSeconds: number | null };

const STATUS_BY_CODE: Record<OperatingErrorCode, number> = { Unavailable: 503, Conflict: 409, Fenced: 503, NotFound: 404, Timeout: 504 };
export const RETRY_AFTER_SECONDS = 5;
/** Too many at once: over sooner than what is broken. */
const BUSY_RETRY_AFTER_SECONDS = 1;

export function answerOf(error: unknown): Answer {
  if (error instanceof HttpError) return answer(error.status, error.code, error.message, error.details);
  if (isOperatingError(error)) return answer(STATUS_BY_CODE[error.code], error.code, error.message);
  const status = statusOfBadBody(error);
  if (status === 413) return answer(status, 'TooLarge', 'the body is larger than this server takes');
  if (status !== null) return answer(status, 'BadRequest', 'the body is not what its headers say');
  return answer(500, 'Internal', 'something went wrong here; the log has it under this trace');
}

/** The one form of every error. */
export const bodyOf = ({ code, message, details }: Answer, traceId: string) => ({ error: { code, message, ...details, traceId } });

function answer(status: number, code: string, message: string, details: ErrorDetails = {}): Answer {
  const retryAfterSeconds = status === 503 ? RETRY_AFTER_SECONDS : status === 429 ? BUSY_RETRY_AFTER_SECONDS : null;
  return { status, code, message, details, retryAfterSeconds };
}

/** Express and its body parser mark what is the client's fault with a status below 500 and `expose`. */
function statusOfBadBody(error: unknown): number | null {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return null;
  return error.status >= 400 && error.status < 500 ? error.status : null;
}
