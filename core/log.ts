/** What code writes to a log with. An interface and a silent one only; `edge/log.ts` makes the real one. Must never write anywhere. */

/**
 * The message is constant, what varies goes into fields: so one kind of event is found by one text. Names used everywhere:
 * volume, replica, epoch, node, operation, traceId, durationMs, error.
 */
export type LogFields = {
  readonly volume?: string;
  readonly replica?: string;
  readonly epoch?: number;
  readonly node?: string;
  readonly operation?: string;
  readonly traceId?: string;
  readonly durationMs?: number;
  /** Anything that was thrown; written with name, code, message, stack and cause. */
  readonly error?: unknown;
  readonly [field: string]: unknown;
};

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  /** Something is wrong and the program goes on by itself. */
  warn(message: string, fields?: LogFields): void;
  /** Something is wrong and somebody has to look. */
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  child(fields: LogFields): Log;
}

/** For tests, and for where nobody listens. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
