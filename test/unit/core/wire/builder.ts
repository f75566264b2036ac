/**
 * Frames built a second time, from PROTOCOL.md alone: byte positions as numbers, bigints, a checksum bit by bit. Must never import the code that it is to
 * check.
 */

export type FrameParts = {
  magic?: string;
  protocolVersion?: number;
  type: number;
  flags?: number;
  headerChecksum?: number;
  bodyChecksum?: number;
  bodyBytes?: number;
  reserved?: number;
  epoch?: bigint;
  instance?: bigint;
  number?: bigint;
  offset?: bigint;
  length?: bigint;
  argument?: bigint;
  settled?: bigint;
  reservedToo?: bigint;
  reservedLast?: bigint;
  body?: Buffer;
};

export const EPOCH = 5n;
export const INSTANCE = 0xfedcba9876543210n;

export function slowCrc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** Whatever is not given is what a good frame of the session has. */
export function buildFrame(parts: FrameParts): Buffer {
  const body = parts.body ?? Buffer.alloc(0);
  const header = Buffer.alloc(96);
  const u64s = [parts.epoch ?? EPOCH, parts.instance ?? INSTANCE, parts.number, parts.offset, parts.length, parts.argument, parts.settled];
  for (const [index, value] of u64s.entries()) header.writeBigUInt64LE(value ?? 0n, 24 + 8 * index);
  header.write(parts.magic ?? 'HFRW', 0, 'latin1');
  header.writeUInt16LE(parts.protocolVersion ?? 1, 4);
  header.writeUInt8(parts.type, 6);
  header.writeUInt8(parts.flags ?? 0, 7);
  header.writeUInt32LE(parts.bodyChecksum ?? slowCrc32(body), 12);
  header.writeUInt32LE(parts.bodyBytes ?? body.length, 16);
  header.writeUInt32LE(parts.reserved ?? 0, 20);
  header.writeBigUInt64LE(parts.reservedToo ?? 0n, 80);
  header.writeBigUInt64LE(parts.reservedLast ?? 0n, 88);
  header.writeUInt32LE(parts.headerChecksum ?? slowCrc32(header), 8);
  return Buffer.concat([header, body]);
}

/** The frame with these header bytes changed and a checksum that holds again. */
export function tampered(frame: Buffer, change: (header: Buffer) => void): Buffer {
  const copy = Buffer.from(frame);
  change(copy);
  copy.writeUInt32LE(0, 8);
  copy.writeUInt32LE(slowCrc32(copy.subarray(0, 96)), 8);
  return copy;
}

export const u32s = (...values: number[]): Buffer =>
  Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(value);
      return bytes;
    }),
  );

export function levelEntry(block: number, blocks: number, dataBytes: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(block, 0);
  bytes.writeUInt16LE(blocks, 2);
  bytes.writeUInt32LE(dataBytes, 4);
  return bytes;
}

export function allocationEntry(lengthBytes: bigint, hole: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(lengthBytes, 0);
  bytes.writeUInt32LE(hole, 8);
  return bytes;
}
