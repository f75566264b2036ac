/**
 * The format of the pages in which `intents` and `stamps` lie, and which of a page's two slots counts. Pure.
 *
 * A page is 8 sectors, each with a header of its own: a disk writes sectors whole, so a torn write of a page leaves sectors of different
 * generations, while rot leaves a sector whose checksum is wrong. One checksum for the page could not tell the two apart, and taking the
 * other slot after rot would bring back a state older than the one that was acknowledged.
 *
 *   at  bytes            little-endian
 *   0   4   crc32        of bytes 4 to 511
 *   4   4   magic        'HFin' in intents, 'HFst' in stamps
 *   8   2   format       1
 *   10  1   slot         0 or 1
 *   11  1   sector       0 to 7
 *   12  4   page         index in the file
 *   16  8   generation   one more with every write of the page; the same in all sectors of a whole slot
 *   24  8   replica      its id
 *   32  480 body
 *
 * A file is its pages in order, slot 0 and then slot 1 of each. Must never call a slot whole that was not written as one.
 */
import { crc32 } from 'node:zlib';
import type { ReplicaId } from '../../../core/ids.ts';
import { SECTOR_BYTES } from './disk.ts';

export const PAGE_FORMAT = 1;
export const SECTOR_HEADER_BYTES = 32;
export const SECTOR_BODY_BYTES = SECTOR_BYTES - SECTOR_HEADER_BYTES;
export const SECTORS_PER_PAGE = 8;
export const PAGE_BYTES = SECTORS_PER_PAGE * SECTOR_BYTES;
export const PAGE_BODY_BYTES = SECTORS_PER_PAGE * SECTOR_BODY_BYTES;
/** Both slots. */
export const PAGE_PAIR_BYTES = 2 * PAGE_BYTES;

export type PagedFileName = 'intents' | 'stamps';
export type Slot = 0 | 1;

const MAGIC: Record<PagedFileName, string> = { intents: 'HFin', stamps: 'HFst' };

/** What every sector of one file says of itself. */
export type PagedFileIdentity = { name: PagedFileName; replica: ReplicaId };

export const pageCount = (bodyBytes: number): number => Math.max(1, Math.ceil(bodyBytes / PAGE_BODY_BYTES));

/** Writes one page into `target`, PAGE_BYTES long; `body` may be shorter than a page's, the rest is zero. */
export function encodePage(
  target: Buffer,
  identity: PagedFileIdentity,
  place: { page: number; slot: Slot; generation: number },
  body: Uint8Array,
): void {
  target.fill(0);
  for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
    const bytes = target.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
    bytes.write(MAGIC[identity.name], 4, 'latin1');
    bytes.writeUInt16LE(PAGE_FORMAT, 8);
    bytes.writeUInt8(place.slot, 10);
    bytes.writeUInt8(sector, 11);
    bytes.writeUInt32LE(place.page, 12);
    bytes.writeBigUInt64LE(BigInt(place.generation), 16);
    bytes.write(identity.replica, 24, 'hex');
    bytes.set(body.subarray(sector * SECTOR_BODY_BYTES, (sector + 1) * SECTOR_BODY_BYTES), SECTOR_HEADER_BYTES);
    bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0);
  }
}

type Sector = { generation: number; problem: null } | { problem: string };

function readSector(bytes: Buffer, identity: PagedFileIdentity, page: number, slot: Slot, sector: number): Sector {
  if (bytes.readUInt32LE(0) !== crc32(bytes.subarray(4))) return { problem: 'the checksum is wrong' };
  const magic = bytes.toString('latin1', 4, 8);
  if (magic !== MAGIC[identity.name]) return { problem: `the magic is ${JSON.stringify(magic)}, not ${MAGIC[identity.name]}` };
  const format = bytes.readUInt16LE(8);
  if (format !== PAGE_FORMAT) return { problem: `format ${format} is not known, only ${PAGE_FORMAT}` };
  const replica = bytes.toString('hex', 24, 32);
  if (replica !== identity.replica) return { problem: `it belongs to replica ${replica}` };
  const found = { page: bytes.readUInt32LE(12), slot: bytes.readUInt8(10), sector: bytes.readUInt8(11) };
  if (found.page !== page || found.slot !== slot || found.sector !== sector) {
    return { problem: `it is sector ${found.sector} of slot ${found.slot} of page ${found.page}` };
  }
  const generation = bytes.readBigUInt64LE(16);
  if (generation === 0n || generation > BigInt(Number.MAX_SAFE_INTEGER)) return { problem: `generation ${generation} is out of range` };
  return { generation: Number(generation), problem: null };
}

type SlotState = {
  /** Of the good sectors. */
  oldest: number;
  newest: number;
  good: number;
  problem: string | null;
};

function readSlot(pair: Buffer, identity: PagedFileIdentity, page: number, slot: Slot): SlotState {
  const state: SlotState = { oldest: Number.POSITIVE_INFINITY, newest: 0, good: 0, problem: null };
  for (let index = 0; index < SECTORS_PER_PAGE; index++) {
    const start = slot * PAGE_BYTES + index * SECTOR_BYTES;
    const sector = readSector(pair.subarray(start, start + SECTOR_BYTES), identity, page, slot, index);
    if (sector.problem !== null) {
      state.problem ??= `page ${page}, slot ${slot}, sector ${index}: ${sector.problem}`;
      continue;
    }
    state.good++;
    state.oldest = Math.min(state.oldest, sector.generation);
    state.newest = Math.max(state.newest, sector.generation);
  }
  return state;
}

const isWhole = (slot: SlotState): boolean => slot.good === SECTORS_PER_PAGE && slot.oldest === slot.newest;

/**
 * Whether a slot that is not whole was certainly not what the page's last acknowledged write left, given the other, whole one. It was not
 * when its sectors are of several writes (torn: a write that was never acknowledged), or of one older than the other slot's.
 */
const isOutdated = (broken: SlotState, whole: SlotState): boolean =>
  broken.good > 0 && (broken.oldest !== broken.newest || broken.newest < whole.newest);

export type PageState =
  | {
      slot: Slot;
      /** The highest ever seen in the page: the next write must be above it, or it could be taken for what a torn one left. */
      generation: number;
      problem: null;
    }
  | { problem: string };

/** Which slot of a page counts, or why neither may. `pair` is both slots, PAGE_PAIR_BYTES long. */
export function choosePage(pair: Buffer, identity: PagedFileIdentity, page: number): PageState {
  const slots = [readSlot(pair, identity, page, 0), readSlot(pair, identity, page, 1)] as const;
  const generation = Math.max(slots[0].newest, slots[1].newest);
  const wholeFirst = isWhole(slots[0]);
  if (wholeFirst && isWhole(slots[1])) {
    if (slots[0].newest === slots[1].newest) return { problem: `page ${page}: both slots are of generation ${generation}` };
    return { slot: slots[0].newest > slots[1].newest ? 0 : 1, generation, problem: null };
  }
  const [whole, broken] = wholeFirst ? slots : [slots[1], slots[0]];
  if (!isWhole(whole)) return { problem: slots[0].problem ?? slots[1].problem ?? `page ${page}: both slots are torn` };
  if (isOutdated(broken, whole)) return { slot: wholeFirst ? 0 : 1, generation, problem: null };
  return { problem: broken.problem ?? `page ${page}: a slot is neither whole nor torn` };
}

/** Copies the body of a slot out of a pair into `body`, which may be shorter than a page's. False: what lies beyond it is not zero. */
export function copyBody(pair: Buffer, slot: Slot, body: Uint8Array): boolean {
  for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
    const start = slot * PAGE_BYTES + sector * SECTOR_BYTES + SECTOR_HEADER_BYTES;
    const bytes = pair.subarray(start, start + SECTOR_BODY_BYTES);
    const at = sector * SECTOR_BODY_BYTES;
    const used = Math.max(0, Math.min(SECTOR_BODY_BYTES, body.length - at));
    if (used > 0) body.set(bytes.subarray(0, used), at);
    if (bytes.subarray(used).some((byte) => byte !== 0)) return false;
  }
  return true;
}
