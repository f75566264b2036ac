/**
 * A replica's state files as the format's description says they are, made without any of the store's own code: what the store writes is
 * compared with this, and what this makes is given to the store.
 */

const SECTOR = 512;
const PAGE = 4096;

/** CRC-32 as in IEEE 802.3, bit by bit. */
export function plainCrc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export type SectorFields = {
  magic: string;
  format: number;
  slot: number;
  sector: number;
  page: number;
  generation: bigint;
  replica: string;
  body: Uint8Array;
};

export function plainSector(fields: SectorFields): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  bytes.set(Buffer.from(fields.magic), 4);
  bytes[8] = fields.format & 0xff;
  bytes[9] = fields.format >> 8;
  bytes[10] = fields.slot;
  bytes[11] = fields.sector;
  for (let index = 0; index < 4; index++) bytes[12 + index] = (fields.page >>> (8 * index)) & 0xff;
  for (let index = 0; index < 8; index++) bytes[16 + index] = Number((fields.generation >> BigInt(8 * index)) & 0xffn);
  for (let index = 0; index < 8; index++) bytes[24 + index] = Number.parseInt(fields.replica.slice(2 * index, 2 * index + 2), 16);
  bytes.set(fields.body, 32);
  const crc = plainCrc32(bytes.subarray(4));
  for (let index = 0; index < 4; index++) bytes[index] = (crc >>> (8 * index)) & 0xff;
  return bytes;
}

/** One slot of a page; `body` is cut into pieces of 480 bytes. */
export function plainSlot(magic: string, replica: string, page: number, slot: number, generation: number, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(PAGE);
  for (let sector = 0; sector < PAGE / SECTOR; sector++) {
    const piece = body.subarray(sector * 480, (sector + 1) * 480);
    bytes.set(plainSector({ magic, format: 1, slot, sector, page, generation: BigInt(generation), replica, body: piece }), sector * SECTOR);
  }
  return bytes;
}

/** A record file: the JSON, and its checksum as JSON. */
export function plainRecord(json: string): Buffer {
  const crc = plainCrc32(Buffer.from(json)).toString(16).padStart(8, '0');
  return Buffer.from(`${json}\n{"crc32":"${crc}"}\n`);
}
