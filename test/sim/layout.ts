/**
 * Where clients' blocks lie. A block is two pieces, for a power loss may leave half of one; each piece is a register of its own to the checkers. Where
 * nothing tears, both halves are always the same, and one is looked at.
 */
import { BLOCK_BYTES, BLOCKS_PER_EXTENT, EXTENT_BYTES, extentCount, offsetInShard, shardBytes, shardOf } from '../../core/extent.ts';

export const PIECE_BYTES = BLOCK_BYTES / 2;
export const PIECES_PER_EXTENT = EXTENT_BYTES / PIECE_BYTES;

/** A run of blocks that clients use, within one extent or over a border. */
export type Cluster = readonly [first: number, count: number];

export class Layout {
  readonly shards: number;
  readonly tears: boolean;
  readonly #coldExtent: number | null;
  readonly clusters: readonly Cluster[];
  readonly blocks: readonly number[];

  /** The borders of the extents of a volume of that size and of what it may grow to, its beginning and its end. */
  constructor(options: { sizeBytes: number; maxSizeBytes: number; shards: number; tears: boolean; coldExtent: number | null }) {
    this.shards = options.shards;
    this.tears = options.tears;
    this.#coldExtent = options.coldExtent;
    const extents = extentCount(options.coldExtent === null ? options.maxSizeBytes : options.sizeBytes);
    const borders = Array.from({ length: extents - 1 }, (_, index): Cluster => {
      const border = (index + 1) * BLOCKS_PER_EXTENT;
      return index === 0 ? [border - 2, 4] : [border - 1, 3];
    });
    this.clusters = [[0, 3], ...borders, [options.sizeBytes / BLOCK_BYTES - 1, 1]];
    this.blocks = this.clusters.flatMap(([first, count]) => Array.from({ length: count }, (_, index) => first + index));
  }

  /** The registers of some blocks. */
  piecesOf(blocks: readonly number[]): number[] {
    return blocks.flatMap((block) => (this.tears ? [block * 2, block * 2 + 1] : [block * 2]));
  }

  get pieces(): number[] {
    return this.piecesOf(this.blocks);
  }

  /** In the shard's own count; -1: not there. */
  coldExtentIn(shard: number): number {
    const extent = this.#coldExtent;
    return extent !== null && shardOf(extent, this.shards) === shard ? Math.floor(extent / this.shards) : -1;
  }

  shardOfPiece(piece: number): number {
    return shardOf(Math.floor(piece / PIECES_PER_EXTENT), this.shards);
  }

  /** Its number within its shard. */
  pieceInShard(piece: number): number {
    return offsetInShard(piece * PIECE_BYTES, this.shards) / PIECE_BYTES;
  }
}

export const shardSizes = (sizeBytes: number, shards: number): number[] =>
  Array.from({ length: shards }, (_, shard) => shardBytes(sizeBytes, shards, shard));

/** A block with that value in both halves. */
export function encodeBlock(value: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let start = 0; start < BLOCK_BYTES; start += PIECE_BYTES) encodePiece(value, block, start);
  return block;
}

/** Every sector of it says so: a write that is cut anywhere shows. */
const SECTOR_BYTES = 512;

export function encodePiece(value: number, into: Buffer, start: number): void {
  for (let at = start; at < start + PIECE_BYTES; at += SECTOR_BYTES) into.writeUInt32LE(value, at);
}

/** What a piece holds; null: it is of several writes. */
export function decodePiece(data: Buffer, start: number): number | null {
  const value = data.readUInt32LE(start);
  for (let at = start; at < start + PIECE_BYTES; at += SECTOR_BYTES) if (data.readUInt32LE(at) !== value) return null;
  return value;
}
