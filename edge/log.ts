/** The real log: JSON lines on standard output, by winston. Must never throw, and never write a line that is not whole JSON. */
import { writeSync } from 'node:fs';
import { createLogger, format, type Logger, transports } from 'winston';
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from '../core/log.ts';
import { lineOf } from './logLine.ts';

export { lineOf } from './logLine.ts';

export type ProgramLog = Log & {
  setLevel(level: LogLevel): void;
  /** One last line, written before this returns: the process may end right after it. */
  writeLast(message: string, fields?: LogFields): void;
};

const LEVELS = Object.fromEntries(LOG_LEVELS.map((level, index) => [level, index]));
const STANDARD_OUTPUT = 1;

/** `program`: holdfast-agent; `name`: node-a. */
export function createLog(program: string, name: string, level: LogLevel): ProgramLog {
  const logger = createLogger({
    levels: LEVELS,
    level,
    format: format.printf((info) => JSON.stringify(info)),
    transports: [new transports.Console({ stderrLevels: [], forceConsole: false })],
  });
  const fields = { program, name };
  return {
    ...logOf(logger, fields),
    setLevel: (changed) => {
      logger.level = changed;
    },
    writeLast: (message, more = {}) => {
      try {
        writeSync(STANDARD_OUTPUT, `${JSON.stringify(lineOf('error', message, { ...fields, ...more }))}\n`);
      } catch {
        return; // nobody reads any more, and the exit code still tells
      }
    },
  };
}

function logOf(logger: Logger, bound: LogFields): Log {
  const write = (level: LogLevel) => (message: string, fields?: LogFields) => {
    // Asked before, not after: a debug line that nobody wants costs nothing.
    if (logger.isLevelEnabled(level)) logger.log(lineOf(level, message, { ...bound, ...fields }));
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => logOf(logger, { ...bound, ...fields }),
  };
}
