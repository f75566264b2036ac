/**
 * Where each field of a frame lies and what each type of frame carries: the tables of PROTOCOL.md, in code. A frame is a header of fixed length and a
 * body. Integers are little-endian. Must never hold logic that reads or writes a frame (encode.ts, decode.ts).
 */
import { BLOCKS_PER_EXTENT, EXTENT_BYTES } from '../extent.ts';
import {
  ALLOCATION_RUNS_MAX,
  DIGEST_BYTES,
  FRAME_BODY_BYTES_MAX,
  type FromReplica,
  READ_BYTES_MAX,
  RESTAMP_EXTENTS_MAX,
  SUMMARY_EXTENTS_MAX,
  type ToReplica,
  WRITE_BYTES_MAX,
  ZERO_BYTES_MAX,
} from './messages.ts';

/** `HFRW`, as bytes in this order. */
export const MAGIC = 0x57524648;

/** Byte offsets of the header's fields; the width of each is the distance to the next. The two `reserved` are zero. */
export const HEADER = {
  magic: 0,
  protocolVersion: 4,
  type: 6,
  flags: 7,
  /** CRC-32 of the header, taken while this field is zero. */
  headerChecksum: 8,
  /** CRC-32 of the body; 0 without one. */
  bodyChecksum: 12,
  bodyBytes: 16,
  reserved: 20,
  epoch: 24,
  instance: 32,
  number: 40,
  offset: 48,
  length: 56,
  argument: 64,
  settled: 72,
  reservedToo: 80,
} as const;
export const HEADER_BYTES = 96;

/** One bit for each field that has a meaning of its own in each type; where it has none it must be zero. */
export const FIELD = { number: 1, offset: 2, length: 4, argument: 8, settled: 16 } as const;
export type FieldName = keyof typeof FIELD;

export const FLAG = { free: 1, mayClean: 1, allZero: 1, stampOnly: 1 } as const;

/** The body of Seal, Sealed, Refused, failed, snapshot and unable: JSON in UTF-8. A config of the longest names, all escaped, fits. */
export const JSON_BODY_BYTES_MAX = 1024 * 1024;
/** A sentence in Refused or failed is cut to this. */
export const MESSAGE_CHARACTERS_MAX = 4096;
/** Extents travel as u32. */
export const EXTENTS_MAX = 2 ** 32;

/** An entry of the table at the start of a level's body. `dataBytes` 0: the blocks become zeroes. */
export const LEVEL_RUN = { block: 0, blocks: 2, dataBytes: 4, bytes: 8 } as const;
export const LEVEL_RUNS_MAX = BLOCKS_PER_EXTENT;
export const RESTAMP_EXTENT_BYTES = 4;
/** `hole` is 0 or 1. */
export const ALLOCATION_RUN = { lengthBytes: 0, hole: 8, bytes: 12 } as const;

/** What a body is; PROTOCOL.md says what each looks like. */
export type BodyKind = 'none' | 'json' | 'bytes' | 'extents' | 'runs' | 'digests' | 'bits' | 'allocation';
export type Message = ToReplica | FromReplica;
export type Direction = 'toReplica' | 'fromReplica';

export type FrameKind = {
  readonly name: Message['type'];
  readonly code: number;
  readonly direction: Direction;
  /** What the shared fields are called in this type's message. */
  readonly fields: Readonly<Partial<Record<FieldName, string>>>;
  readonly flag: keyof typeof FLAG | null;
  readonly body: BodyKind;
  readonly bodyBytesMax: number;
  /** Of the field `length`, whatever it counts. */
  readonly lengthMax: number;
};

type Row = Pick<FrameKind, 'name' | 'fields'> & Partial<Pick<FrameKind, 'flag' | 'body' | 'bodyBytesMax' | 'lengthMax'>>;

/** Codes count from here in the order of the rows; a type that is no longer used leaves its row behind. */
export const FIRST_CODE: Readonly<Record<Direction, number>> = { toReplica: 1, fromReplica: 65 };

const TO_REPLICA: readonly Row[] = [
  { name: 'seal', fields: {}, body: 'json', bodyBytesMax: JSON_BODY_BYTES_MAX },
  {
    name: 'write',
    fields: { number: 'sequence', offset: 'offsetBytes', length: 'lengthBytes', argument: 'version', settled: 'settled' },
    body: 'bytes',
    bodyBytesMax: WRITE_BYTES_MAX,
    lengthMax: WRITE_BYTES_MAX,
  },
  {
    name: 'zero',
    fields: { number: 'sequence', offset: 'offsetBytes', length: 'lengthBytes', argument: 'version', settled: 'settled' },
    flag: 'free',
    lengthMax: ZERO_BYTES_MAX,
  },
  {
    name: 'restamp',
    fields: { number: 'sequence', length: 'extents', argument: 'version', settled: 'settled' },
    body: 'extents',
    bodyBytesMax: RESTAMP_EXTENTS_MAX * RESTAMP_EXTENT_BYTES,
    lengthMax: RESTAMP_EXTENTS_MAX,
  },
  { name: 'read', fields: { number: 'id', offset: 'offsetBytes', length: 'lengthBytes' }, lengthMax: READ_BYTES_MAX },
  { name: 'flush', fields: { number: 'id' } },
  { name: 'digest', fields: { number: 'id', offset: 'extent' }, flag: 'stampOnly' },
  {
    name: 'level',
    fields: { number: 'id', offset: 'extent', length: 'runs', argument: 'stamp' },
    body: 'runs',
    bodyBytesMax: LEVEL_RUNS_MAX * LEVEL_RUN.bytes + EXTENT_BYTES,
    lengthMax: LEVEL_RUNS_MAX,
  },
  { name: 'changed', fields: { number: 'id', argument: 'since' } },
  { name: 'allocation', fields: { number: 'id', offset: 'offsetBytes', length: 'lengthBytes' } },
  { name: 'ping', fields: { number: 'id', argument: 'leaseMs', settled: 'settled' }, flag: 'mayClean' },
  { name: 'release', fields: {} },
  { name: 'resize', fields: { number: 'id', length: 'sizeBytes' } },
  { name: 'progress', fields: { number: 'id', offset: 'below', length: 'since', argument: 'version' } },
  { name: 'summary', fields: { number: 'id', offset: 'extent', length: 'extents' }, lengthMax: SUMMARY_EXTENTS_MAX },
  { name: 'snapshot', fields: { number: 'id', argument: 'attempt' }, body: 'json', bodyBytesMax: JSON_BODY_BYTES_MAX },
];

const FROM_REPLICA: readonly Row[] = [
  { name: 'sealed', fields: {}, body: 'json', bodyBytesMax: JSON_BODY_BYTES_MAX },
  { name: 'refused', fields: {}, body: 'json', bodyBytesMax: JSON_BODY_BYTES_MAX },
  { name: 'applied', fields: { number: 'sequence' } },
  { name: 'data', fields: { number: 'id', length: 'lengthBytes' }, body: 'bytes', bodyBytesMax: READ_BYTES_MAX, lengthMax: READ_BYTES_MAX },
  { name: 'done', fields: { number: 'id' } },
  {
    name: 'digests',
    fields: { number: 'id', argument: 'stamp' },
    flag: 'allZero',
    body: 'digests',
    bodyBytesMax: BLOCKS_PER_EXTENT * DIGEST_BYTES,
  },
  {
    name: 'changedSet',
    fields: { number: 'id', length: 'extents' },
    body: 'bits',
    bodyBytesMax: FRAME_BODY_BYTES_MAX,
    lengthMax: FRAME_BODY_BYTES_MAX * 8,
  },
  {
    name: 'allocationMap',
    fields: { number: 'id', length: 'runs' },
    body: 'allocation',
    bodyBytesMax: ALLOCATION_RUNS_MAX * ALLOCATION_RUN.bytes,
    lengthMax: ALLOCATION_RUNS_MAX,
  },
  { name: 'pong', fields: { number: 'id' } },
  { name: 'failed', fields: {}, body: 'json', bodyBytesMax: JSON_BODY_BYTES_MAX },
  { name: 'summaryDigest', fields: { number: 'id' }, body: 'digests', bodyBytesMax: DIGEST_BYTES },
  { name: 'unable', fields: { number: 'id' }, body: 'json', bodyBytesMax: JSON_BODY_BYTES_MAX },
];

const ROW_DEFAULTS = { flag: null, body: 'none', bodyBytesMax: 0, lengthMax: Number.MAX_SAFE_INTEGER } as const;
const kinds = (direction: Direction, rows: readonly Row[]): FrameKind[] =>
  rows.map((row, index) => ({ ...ROW_DEFAULTS, ...row, direction, code: FIRST_CODE[direction] + index }));

export const FRAME_KINDS: readonly FrameKind[] = [...kinds('toReplica', TO_REPLICA), ...kinds('fromReplica', FROM_REPLICA)];

export const CODE_OF = Object.fromEntries(FRAME_KINDS.map((kind) => [kind.name, kind.code])) as Readonly<Record<Message['type'], number>>;
/** By code. */
export const KIND_OF: readonly (FrameKind | undefined)[] = Array.from({ length: 256 }, (_, code) =>
  FRAME_KINDS.find((kind) => kind.code === code),
);
/** By code: the fields that the type uses, as bits of FIELD. */
export const FIELDS_OF: readonly number[] = KIND_OF.map((kind) =>
  kind ? Object.keys(kind.fields).reduce((bits, name) => bits | FIELD[name as FieldName], 0) : 0,
);
