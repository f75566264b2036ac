/**
 * What a failed CSI call is answered with: the one place where errors become gRPC codes. The codes' meaning is the specification's: sidecars and the kubelet try
 * again, wait or give up by them. Pure; must never pass on the text of an unexpected error.
 */
import { isOperatingError, messageOf, type OperatingErrorCode } from '../../core/errors.ts';

/** Numbers of gRPC. */
export const CODES = {
  Cancelled: 1,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
} as const;
export type CsiCode = keyof typeof CODES;

/** A handler's own answer: `message` is for the one who asked. */
export class CsiError extends Error {
  override readonly name = 'CsiError';
  readonly code: CsiCode;
  constructor(code: CsiCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** All that is wrong with what was sent, not only the first. */
export const invalid = (problems: readonly string[]): CsiError => new CsiError('InvalidArgument', problems.join('; '));

/** Whoever asks again later gets another answer, so nothing that may have been done is called failed. */
const CODE_OF: Record<OperatingErrorCode, CsiCode> = {
  Unavailable: 'Unavailable',
  Conflict: 'Aborted',
  Fenced: 'Aborted',
  NotFound: 'NotFound',
  Timeout: 'DeadlineExceeded',
};

export function answerOf(error: unknown): { code: CsiCode; message: string } {
  if (error instanceof CsiError) return { code: error.code, message: error.message };
  if (isOperatingError(error)) return { code: CODE_OF[error.code], message: messageOf(error) };
  return { code: 'Internal', message: 'something went wrong here; the log has it under this trace' };
}
