/** One id through an operation's whole way, as W3C Trace Context writes it (`traceparent`). Pure. */
import type { Random } from './random.ts';

export type Trace = {
  /** 32 hex digits, the operation's: the same everywhere. */
  readonly traceId: string;
  /** 16 hex digits, the caller's step. */
  readonly parentId: string;
  readonly sampled: boolean;
};

const TRACE_ID_BYTES = 16;
const PARENT_ID_BYTES = 8;
const TRACEPARENT_LENGTH_MAX = 256;
/** version, trace id, parent id, flags; a later version may append fields after another dash. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED_FLAG = 0x01;
const VERSION_FORBIDDEN = 'ff';
const isZero = (hex: string): boolean => /^0*$/.test(hex);

/** Null when it is not one: the standard's answer to a malformed header is a new trace, never an error. */
export function parseTraceparent(text: string): Trace | null {
  if (text.length > TRACEPARENT_LENGTH_MAX) return null;
  const [, version, traceId, parentId, flags, rest] = TRACEPARENT.exec(text.trim()) ?? [];
  if (version === undefined || traceId === undefined || parentId === undefined || flags === undefined) return null;
  if (version === VERSION_FORBIDDEN || (version === '00' && rest !== undefined)) return null;
  if (isZero(traceId) || isZero(parentId)) return null;
  return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & SAMPLED_FLAG) !== 0 };
}

export const formatTraceparent = (trace: Trace): string => `00-${trace.traceId}-${trace.parentId}-${trace.sampled ? '01' : '00'}`;

/** Zero is no id; drawn again so often that it cannot happen with any real source. */
const DRAWS_MAX = 4;
function draw(random: Random, bytes: number): string {
  for (let attempt = 0; attempt < DRAWS_MAX; attempt++) {
    const id = random.hex(bytes);
    if (!isZero(id)) return id;
  }
  return '1'.padStart(2 * bytes, '0');
}

export const newTrace = (random: Random): Trace => ({
  traceId: draw(random, TRACE_ID_BYTES),
  parentId: draw(random, PARENT_ID_BYTES),
  sampled: true,
});

/** The same operation, one step further: what to send on. */
export const nextStep = (trace: Trace, random: Random): Trace => ({ ...trace, parentId: draw(random, PARENT_ID_BYTES) });

/** Of the caller's trace, or of a new one: where no step follows that would have to have an id of its own. */
export const traceIdFrom = (traceparent: string | undefined, random: Random): string =>
  (traceparent === undefined ? null : parseTraceparent(traceparent))?.traceId ?? draw(random, TRACE_ID_BYTES);

/** Goes on with the caller's trace, or starts one. */
export function traceFrom(traceparent: string | undefined, random: Random): Trace {
  const given = traceparent === undefined ? null : parseTraceparent(traceparent);
  return given === null ? newTrace(random) : nextStep(given, random);
}
