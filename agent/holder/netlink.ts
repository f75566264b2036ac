/**
 * Generic netlink's messages as bytes, as <linux/netlink.h> and <linux/genetlink.h> lay them out, in this machine's byte order: little-endian, as on all that
 * Node runs on here. Pure. Must never trust a length that the bytes give.
 */

export const MESSAGE = { length: 0, type: 4, flags: 6, sequence: 8, port: 12, bytes: 16 } as const;
const GENERIC = { command: 0, version: 1, bytes: 4 } as const;
const ATTRIBUTE = { length: 0, type: 2, bytes: 4 } as const;
const ALIGNED_BYTES = 4;
/** Of an attribute's type: the upper two bits say how it is made. */
const NESTED = 1 << 15;
const TYPE_MASK = 0x3fff;

export const MESSAGE_TYPE = { error: 2, control: 16 } as const;
export const MESSAGE_FLAG = { request: 1, acknowledge: 4 } as const;

/** Of the family that tells of all others. */
const CONTROL = { getFamily: 3, familyId: 1, familyName: 2, groups: 7, groupName: 1, groupId: 2, version: 1 } as const;

export type Attributes = ReadonlyMap<number, Buffer>;
export type Message = { type: number; sequence: number; payload: Buffer };
/** A family of generic netlink: its messages' type, and who is told of what by itself. */
export type Family = { id: number; groups: ReadonlyMap<string, number> };

/** The bytes are none of these messages. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNED_BYTES) * ALIGNED_BYTES;

export function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(aligned(ATTRIBUTE.bytes + value.length));
  bytes.writeUInt16LE(ATTRIBUTE.bytes + value.length, ATTRIBUTE.length);
  bytes.writeUInt16LE(type, ATTRIBUTE.type);
  value.copy(bytes, ATTRIBUTE.bytes);
  return bytes;
}

export function u32(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return attribute(type, bytes);
}

export function u64(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return attribute(type, bytes);
}

/** With the zero that ends it. */
export const text = (type: number, value: string): Buffer => attribute(type, Buffer.from(`${value}\0`));
export const nested = (type: number, ...inner: Buffer[]): Buffer => attribute(type | NESTED, Buffer.concat(inner));

/** A request that the kernel acknowledges, or answers with an error. */
export function encodeRequest(type: number, sequence: number, command: number, version: number, attributes: readonly Buffer[]): Buffer {
  const body = Buffer.concat(attributes);
  const head = Buffer.alloc(MESSAGE.bytes + GENERIC.bytes);
  head.writeUInt32LE(head.length + body.length, MESSAGE.length);
  head.writeUInt16LE(type, MESSAGE.type);
  head.writeUInt16LE(MESSAGE_FLAG.request | MESSAGE_FLAG.acknowledge, MESSAGE.flags);
  head.writeUInt32LE(sequence, MESSAGE.sequence);
  head.writeUInt8(command, MESSAGE.bytes + GENERIC.command);
  head.writeUInt8(version, MESSAGE.bytes + GENERIC.version);
  return Buffer.concat([head, body]);
}

export const encodeGetFamily = (sequence: number, name: string): Buffer =>
  encodeRequest(MESSAGE_TYPE.control, sequence, CONTROL.getFamily, CONTROL.version, [text(CONTROL.familyName, name)]);

/** All messages of one read. */
export function decodeMessages(bytes: Buffer): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < MESSAGE.bytes) throw new NetlinkError('a message is cut off in its head');
    const length = bytes.readUInt32LE(at + MESSAGE.length);
    if (length < MESSAGE.bytes || length > bytes.length - at) throw new NetlinkError(`a message says that it has ${length} bytes`);
    const payload = bytes.subarray(at + MESSAGE.bytes, at + length);
    messages.push({ type: bytes.readUInt16LE(at + MESSAGE.type), sequence: bytes.readUInt32LE(at + MESSAGE.sequence), payload });
    at += aligned(length);
  }
  return messages;
}

/** Of an `error` message; 0: all went well. */
export function decodeErrorNumber({ payload }: Message): number {
  if (payload.length < 4) throw new NetlinkError('an error without a number');
  return 0 - payload.readInt32LE(0);
}

/** Of a family's message. */
export function decodeCommand({ payload }: Message): { command: number; attributes: Attributes } {
  if (payload.length < GENERIC.bytes) throw new NetlinkError('a message without a command');
  return { command: payload.readUInt8(GENERIC.command), attributes: decodeAttributes(payload.subarray(GENERIC.bytes)) };
}

export function decodeAttributes(bytes: Buffer): Attributes {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < ATTRIBUTE.bytes) throw new NetlinkError('an attribute is cut off in its head');
    const length = bytes.readUInt16LE(at + ATTRIBUTE.length);
    if (length < ATTRIBUTE.bytes || length > bytes.length - at) throw new NetlinkError(`an attribute says that it has ${length} bytes`);
    found.set(bytes.readUInt16LE(at + ATTRIBUTE.type) & TYPE_MASK, bytes.subarray(at + ATTRIBUTE.bytes, at + length));
    at += aligned(length);
  }
  return found;
}

export function numberIn(attributes: Attributes, type: number): number {
  const value = attributes.get(type);
  if (value?.length === 2) return value.readUInt16LE();
  if (value?.length === 4) return value.readUInt32LE();
  throw new NetlinkError(`attribute ${type} is no number`);
}

export function decodeFamily(message: Message): Family {
  const { attributes } = decodeCommand(message);
  const groups = new Map<string, number>();
  for (const group of decodeAttributes(attributes.get(CONTROL.groups) ?? Buffer.alloc(0)).values()) {
    const of = decodeAttributes(group);
    groups.set((of.get(CONTROL.groupName) ?? Buffer.alloc(0)).toString('latin1').replace(/\0.*$/s, ''), numberIn(of, CONTROL.groupId));
  }
  return { id: numberIn(attributes, CONTROL.familyId), groups };
}
