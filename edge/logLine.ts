/**
 * What a line of the log holds, as plain data: what was thrown becomes fields, and nothing from outside makes a line long. Apart from the log itself, so that
 * a worker thread, which posts its lines to the main thread, need not load that. Must never throw.
 */
import type { LogFields } from '../core/log.ts';

/** Something from outside may be in a field; a line stays readable, and a flood small. */
const TEXT_LENGTH_MAX = 8_192;
const CAUSES_MAX = 5;
const DEPTH_MAX = 6;

type Line = { time: string; level: string; message: string; [field: string]: unknown };

/** One line as an object, in the order in which it is written. */
export function lineOf(level: string, message: string, fields: LogFields): Line {
  // Named first, so that they come first; set last, so that no field may stand in their place.
  const line: Line = { time: '', level: '', message: '' };
  for (const [name, value] of Object.entries(fields)) line[name] = serialize(value, 0);
  return Object.assign(line, { time: new Date().toISOString(), level, message });
}

/** A field's value as JSON can hold it. */
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

/** Fields that survive a structured clone. */
export const plainFields = (fields: LogFields): LogFields => serialize(fields, 0) as LogFields;
