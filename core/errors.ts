/** Operating errors: what may happen to a correct program. Bad input is a decoder's result; programmer errors are `assert`. */

export type OperatingErrorCode =
  /** etcd, the API server or a peer gives no answer; nothing is known about the outcome of what was asked. */
  | 'Unavailable'
  /** What the change was based on is no longer so; nothing was changed. */
  | 'Conflict'
  /** Somebody with a higher epoch or generation has taken over; nothing was changed and nothing may be tried again. */
  | 'Fenced'
  | 'NotFound'
  | 'Timeout';

const RETRYABLE: Record<OperatingErrorCode, boolean> = { Unavailable: true, Conflict: true, Fenced: false, NotFound: false, Timeout: true };

export class OperatingError extends Error {
  override readonly name = 'OperatingError';
  readonly code: OperatingErrorCode;
  readonly retryable: boolean;
  /** What was attempted, in words: `file task create-0123`. */
  readonly attempted: string;

  constructor(code: OperatingErrorCode, attempted: string, message: string, options?: ErrorOptions) {
    super(`${attempted}: ${message}`, options);
    this.code = code;
    this.retryable = RETRYABLE[code];
    this.attempted = attempted;
  }
}

export const isOperatingError = (error: unknown, code?: OperatingErrorCode): error is OperatingError =>
  error instanceof OperatingError && (code === undefined || error.code === code);

/** The message of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
