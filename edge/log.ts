/** The real log: JSON lines on standard output, by winston. Must never throw, and never write a line that is not whole JSON. */
import { writeSync } from 'node:fs';
import { createLogger, format, type Logger, transports } from 'winston';
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from '../core/log.ts';

export type ProgramLog = Log & {
  setLevel(level: LogLevel): void;
  /** One last line, written before this returns: the process may end right after it. */
  writeLast(message: string, fields?: LogFields): void;
};

const LEVELS = Object.fromEntries(LOG_LEVELS.map((level, index) => [level, index]));
/** Something from outside may be in a field; a line stays readable, and a flood small. */
const TEXT_LENGTH_MAX = 8_192;
const CAUSES_MAX = 5;
const DEPTH_MAX = 6;
const STANDARD_OUTPUT = 1;

type Line = { time: string; level: string; message: string; [field: string]: unknown };

/** One line as an object, in the order in which it is written. */
export function lineOf(level: string, message: string, fields: LogFields): Line {
  // Named first, so that they come first; set last, so that no field may stand in their place.
  const line: Line = { time: '', level: '', message: '' };
  for (const [name, value] of Object.entries(fields)) line[name] = serialize(value, 0);
  return Object.assign(line, { time: new Date().toISOString(), level, message });
}

function serialize(value: unknown, depth: number): unknown {
  if (value instanceof Error) return serializeError(value, 0);
  if (value instanceof Date) return String(value);
  if (typeof value === 'string')
    return value.length <= TEXT_LENGTH_MAX ? value : `${value.slice(0, TEXT_LENGTH_MAX)}... (${value.length} characters)`;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? String(value.name) : value;
  if (depth >= DEPTH_MAX) return '...';
  if (Array.isArray(value)) return value.map((one) => serialize(one, depth + 1));
  if (value instanceof Map || value instanceof Set) return serialize([...value], depth + 1);
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, serialize(one, depth + 1)]));
}

function serializeError(error: Error, causes: number): object {
  const { name, message, stack, cause } = error;
  const code = 'code' in error ? { code: serialize(error.code, DEPTH_MAX - 1) } : {};
  const because =
    cause === undefined ? {} : { cause: cause instanceof Error && causes < CAUSES_MAX ? serializeError(cause, causes + 1) : String(cause) };
  return { name, message: serialize(message, 0), ...code, ...because, stack };
}

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
