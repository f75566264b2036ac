/** What a command ends with when it cannot do what it was asked: a sentence for people, and an exit code. */

export const EXIT = { done: 0, failed: 1, usage: 2, timedOut: 3 } as const;

export class CommandError extends Error {
  override readonly name = 'CommandError';
  /** The API server's, where it answered. */
  readonly status: number | null;
  readonly exitCode: number;
  constructor(message: string, status: number | null = null, exitCode: number = EXIT.failed) {
    super(message);
    this.status = status;
    this.exitCode = exitCode;
  }
}
