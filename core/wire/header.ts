/**
 * A frame's header: one record a decoder, filled anew for each frame, and the rules that a header breaks by itself. Must never allocate for a good one,
 * and must never believe a field before the checksum holds.
 */
// A pure function of its arguments, though it comes from a module that elsewhere does I/O.
import { crc32 } from 'node:zlib';
import { formatRange, isWithin, type VersionRange } from '../versions.ts';
import {
  ALLOCATION_RUN,
  type Direction,
  EXTENTS_MAX,
  FIELD,
  FIELDS_OF,
  type FieldName,
  type FrameKind,
  HEADER,
  HEADER_BYTES,
  KIND_OF,
  LEVEL_RUN,
  MAGIC,
  RESTAMP_EXTENT_BYTES,
} from './layout.ts';
import { DIGEST_BYTES, FRAME_BODY_BYTES_MAX } from './messages.ts';
import { Violation } from './rules.ts';

/** Stands for a u64 that is no safe integer, until the checks have named it. */
const UNSAFE = -1;
const HIGH_HALF_MAX = 2 ** 21 - 1;
const HALF = 2 ** 32;

/** As two halves: a bigint for each field of each frame would cost more than all the rest of decoding. */
function readU64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  return high > HIGH_HALF_MAX ? UNSAFE : high * HALF + view.getUint32(at, true);
}

export class FrameHeader {
  /** Where the caller gathers the header's bytes. */
  readonly bytes: Buffer = Buffer.alloc(HEADER_BYTES);
  readonly #view = new DataView(this.bytes.buffer, this.bytes.byteOffset, HEADER_BYTES);
  protocolVersion = 0;
  kind: FrameKind | undefined = undefined;
  flags = 0;
  bodyChecksum = 0;
  bodyBytes = 0;
  epoch = 0;
  readonly instance: { high: number; low: number } = { high: 0, low: 0 };
  number = 0;
  offset = 0;
  length = 0;
  argument = 0;
  settled = 0;

  /** Null: a frame that this direction may carry, of a version that is spoken here, with a body of the right length. */
  read(direction: Direction, spoken: VersionRange): Violation | null {
    const view = this.#view;
    const broken = this.#readEnvelope(view, direction, spoken);
    if (broken) return broken;
    this.number = readU64(view, HEADER.number);
    this.offset = readU64(view, HEADER.offset);
    this.length = readU64(view, HEADER.length);
    this.argument = readU64(view, HEADER.argument);
    this.settled = readU64(view, HEADER.settled);
    const kind = this.kind as FrameKind;
    return this.#checkZeroes(view, kind) ?? checkRange(this, kind) ?? checkBodyLength(this, kind);
  }

  #readEnvelope(view: DataView, direction: Direction, spoken: VersionRange): Violation | null {
    if (view.getUint32(HEADER.magic, true) !== MAGIC) return new Violation('magic', 'a frame does not begin with the magic HFRW');
    const checksum = view.getUint32(HEADER.headerChecksum, true);
    view.setUint32(HEADER.headerChecksum, 0, true);
    if (crc32(this.bytes) !== checksum) return new Violation('headerChecksum', 'header checksum does not match');
    this.epoch = readU64(view, HEADER.epoch);
    this.instance.low = view.getUint32(HEADER.instance, true);
    this.instance.high = view.getUint32(HEADER.instance + 4, true);
    const type = view.getUint8(HEADER.type);
    const kind = KIND_OF[type];
    this.kind = kind;
    const version = view.getUint16(HEADER.protocolVersion, true);
    // A refusal is understood from any version: it is how the other side says that it does not speak ours.
    this.protocolVersion = version;
    if (!isWithin(version, spoken) && kind?.name !== 'refused') {
      return new Violation('protocolVersion', `protocol version ${version}, this side speaks ${formatRange(spoken)}`);
    }
    if (!kind) return new Violation('frameType', `frame type ${type} is unknown`);
    if (kind.direction !== direction) return new Violation('frameType', `a frame of type ${kind.name} does not go this way`);
    this.flags = view.getUint8(HEADER.flags);
    this.bodyChecksum = view.getUint32(HEADER.bodyChecksum, true);
    this.bodyBytes = view.getUint32(HEADER.bodyBytes, true);
    return null;
  }

  #checkZeroes(view: DataView, kind: FrameKind): Violation | null {
    if ((this.flags & (kind.flag ? ~1 : ~0)) !== 0) return new Violation('notZero', `flags ${this.flags} in a frame of type ${kind.name}`);
    const reserved =
      view.getUint32(HEADER.reserved, true) |
      view.getUint32(HEADER.reservedToo, true) |
      view.getUint32(HEADER.reservedToo + 4, true) |
      view.getUint32(HEADER.reservedToo + 8, true) |
      view.getUint32(HEADER.reservedToo + 12, true);
    if (reserved !== 0) return new Violation('notZero', 'a reserved field is not zero');
    const given =
      (this.number !== 0 ? FIELD.number : 0) |
      (this.offset !== 0 ? FIELD.offset : 0) |
      (this.length !== 0 ? FIELD.length : 0) |
      (this.argument !== 0 ? FIELD.argument : 0) |
      (this.settled !== 0 ? FIELD.settled : 0);
    return (given & ~(FIELDS_OF[kind.code] ?? 0)) === 0 ? null : unusedField(this, kind);
  }
}

const FIELD_NAMES = Object.keys(FIELD) as FieldName[];

function unusedField(header: FrameHeader, kind: FrameKind): Violation {
  const name = FIELD_NAMES.find((each) => header[each] !== 0 && !(each in kind.fields));
  return new Violation('notZero', `the field ${name} in a frame of type ${kind.name} is not zero`);
}

function checkRange(header: FrameHeader, kind: FrameKind): Violation | null {
  const { number, offset, length, argument, settled, epoch } = header;
  if (number < 0 || offset < 0 || length < 0 || argument < 0 || settled < 0 || epoch < 0) return unsafeField(header, kind);
  if (length > kind.lengthMax) return tooLong(header, kind);
  if (kind.fields.length === 'lengthBytes') {
    if (length === 0) return new Violation('range', `a ${kind.name} of 0 bytes`);
    if (offset + length > Number.MAX_SAFE_INTEGER) return new Violation('range', `a ${kind.name} that ends beyond 2^53`);
  }
  return kind.fields.offset === 'extent' && offset >= EXTENTS_MAX
    ? new Violation('range', `extent ${offset} is beyond ${EXTENTS_MAX}`)
    : null;
}

const tooLong = (header: FrameHeader, kind: FrameKind): Violation =>
  new Violation('range', `${kind.fields.length} ${header.length} of a ${kind.name} is more than ${kind.lengthMax}`);

function unsafeField(header: FrameHeader, kind: FrameKind): Violation {
  if (header.epoch < 0) return new Violation('range', 'the epoch is beyond 2^53');
  const name = FIELD_NAMES.find((each) => header[each] < 0);
  return new Violation('range', `${name ? kind.fields[name] : 'a field'} of a ${kind.name} is beyond 2^53`);
}

/** Before a byte of the body is kept. */
function checkBodyLength(header: FrameHeader, kind: FrameKind): Violation | null {
  const { bodyBytes } = header;
  if (bodyBytes > FRAME_BODY_BYTES_MAX) return longBody(bodyBytes, FRAME_BODY_BYTES_MAX);
  if (bodyBytes > kind.bodyBytesMax) return longBody(bodyBytes, kind.bodyBytesMax, kind);
  if (isBodyLength(header, kind)) return null;
  return new Violation('bodyLength', `body of ${bodyBytes} bytes does not go with a ${kind.name}${lengthOf(header, kind)}`);
}

const longBody = (bodyBytes: number, max: number, kind?: FrameKind): Violation =>
  new Violation('bodyLength', `body of ${bodyBytes} bytes is longer than ${max}${kind ? `, the most for a ${kind.name}` : ''}`);

const lengthOf = (header: FrameHeader, kind: FrameKind): string => (kind.fields.length ? ` of ${kind.fields.length} ${header.length}` : '');

function isBodyLength(header: FrameHeader, kind: FrameKind): boolean {
  const { bodyBytes, length } = header;
  switch (kind.body) {
    case 'none':
      return bodyBytes === 0;
    case 'bytes':
      return bodyBytes === length;
    case 'json':
      return bodyBytes > 0;
    case 'extents':
      return bodyBytes === length * RESTAMP_EXTENT_BYTES;
    case 'allocation':
      return bodyBytes === length * ALLOCATION_RUN.bytes;
    case 'bits':
      return bodyBytes === Math.ceil(length / 8);
    case 'runs':
      return bodyBytes >= length * LEVEL_RUN.bytes;
    case 'digests':
      // All zero and no digests, or some digests.
      return bodyBytes % DIGEST_BYTES === 0 && (header.flags !== 0) === (bodyBytes === 0);
  }
}
