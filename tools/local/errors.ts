/**
 * The error that the local cluster shows to people: one sentence on what was found and what to do, perhaps with the lines that matter of a log.
 * Any other error is a mistake of ours and is shown with its stack.
 */
export class LocalClusterError extends Error {
  override readonly name = 'LocalClusterError';
  /** The end of the log that tells more, ready to print. */
  readonly details: string;

  constructor(message: string, options: ErrorOptions & { details?: string } = {}) {
    super(message, options);
    this.details = options.details ?? '';
  }
}

/** What a system call said went wrong (`ENOENT`, …), or nothing for other errors. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
