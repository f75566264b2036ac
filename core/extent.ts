/** The grid that a volume lies on. */

/** Unit of resync and of the intent log. */
export const EXTENT_BYTES = 1024 * 1024;
/** Smallest unit that levelling compares and copies. */
export const BLOCK_BYTES = 4096;
export const BLOCKS_PER_EXTENT = EXTENT_BYTES / BLOCK_BYTES;

export const extentCount = (sizeBytes: number): number => Math.ceil(sizeBytes / EXTENT_BYTES);
export const firstExtent = (offsetBytes: number): number => Math.floor(offsetBytes / EXTENT_BYTES);
/** The last extent that a range touches; the range must not be empty. */
export const lastExtent = (offsetBytes: number, lengthBytes: number): number => Math.floor((offsetBytes + lengthBytes - 1) / EXTENT_BYTES);

/** How long an extent is: all are whole but perhaps the last. */
export const extentLength = (extent: number, sizeBytes: number): number =>
  Math.max(0, Math.min(EXTENT_BYTES, sizeBytes - extent * EXTENT_BYTES));

// Striping. Extent e of a volume of S shards lies in shard e % S, as that shard's extent floor(e / S); so what a range of the volume has in one shard is
// one range there. Replicas, stores and the wire know only their shard's own offsets; the frontend of the primary is the only place that maps.

export const shardOf = (extent: number, shards: number): number => extent % shards;

/** Where a byte of the volume lies in its shard. */
export const offsetInShard = (offsetBytes: number, shards: number): number =>
  Math.floor(firstExtent(offsetBytes) / shards) * EXTENT_BYTES + (offsetBytes % EXTENT_BYTES);

/** Where a byte of a shard lies in the volume. */
export const offsetInVolume = (offsetBytes: number, shards: number, shard: number): number =>
  (firstExtent(offsetBytes) * shards + shard) * EXTENT_BYTES + (offsetBytes % EXTENT_BYTES);

/** How large a shard's replicas are in a volume of that size. */
export function shardBytes(volumeBytes: number, shards: number, shard: number): number {
  const whole = Math.floor(volumeBytes / EXTENT_BYTES);
  const extents = Math.max(0, Math.ceil((whole - shard) / shards));
  return extents * EXTENT_BYTES + (shardOf(whole, shards) === shard ? volumeBytes % EXTENT_BYTES : 0);
}

/** The largest volume for which shards of these sizes are enough: it ends before the first byte that one of them has no room for. */
export const volumeBytesOf = (shardSizes: readonly number[]): number =>
  Math.min(...shardSizes.map((sizeBytes, shard) => offsetInVolume(sizeBytes, shardSizes.length, shard)));

/** What a range of the volume has in one shard, in the shard's offsets. */
export type ShardRange = { shard: number; offsetBytes: number; lengthBytes: number };

/** The parts of a range, one for each shard that it touches, in the order in which it first touches them. */
export function shardRanges(offsetBytes: number, lengthBytes: number, shards: number): ShardRange[] {
  const end = offsetBytes + lengthBytes;
  const first = firstExtent(offsetBytes);
  const touched = lengthBytes === 0 ? 1 : Math.min(shards, lastExtent(offsetBytes, lengthBytes) - first + 1);
  return Array.from({ length: touched }, (_, index) => {
    const shard = shardOf(first + index, shards);
    const start = index === 0 ? offsetInShard(offsetBytes, shards) : Math.floor((first + index) / shards) * EXTENT_BYTES;
    return { shard, offsetBytes: start, lengthBytes: shardBytes(end, shards, shard) - start };
  });
}

/** A set of extents as bits, least significant first; the form that logs and messages share. */
export class ExtentSet {
  /** Of how many extents it may hold any. Changed by `grow` only. */
  extents: number;
  /** The bits themselves; another array after `grow`. */
  bytes: Uint8Array;
  #size = 0;

  constructor(extents: number, bytes?: Uint8Array) {
    this.extents = extents;
    this.bytes = bytes ?? new Uint8Array(Math.ceil(extents / 8));
    if (bytes) for (let extent = 0; extent < extents; extent++) if (this.has(extent)) this.#size++;
  }

  /** How many it holds. */
  get size(): number {
    return this.#size;
  }

  /** Room for more extents, none of them a member; never less room than before. */
  grow(extents: number): void {
    if (extents <= this.extents) return;
    const bytes = new Uint8Array(Math.ceil(extents / 8));
    bytes.set(this.bytes);
    this.bytes = bytes;
    this.extents = extents;
  }

  has(extent: number): boolean {
    return ((this.bytes[extent >> 3] ?? 0) & (1 << (extent & 7))) !== 0;
  }

  add(extent: number): void {
    if (this.has(extent)) return;
    this.bytes[extent >> 3] = (this.bytes[extent >> 3] ?? 0) | (1 << (extent & 7));
    this.#size++;
  }

  delete(extent: number): void {
    if (!this.has(extent)) return;
    this.bytes[extent >> 3] = (this.bytes[extent >> 3] ?? 0) & ~(1 << (extent & 7));
    this.#size--;
  }

  /** What the other holds beyond the room of this one is left out: whoever asks for a smaller part of a volume does not care about the rest. */
  addAll(other: ExtentSet): void {
    for (let extent = other.next(0); extent >= 0 && extent < this.extents; extent = other.next(extent + 1)) this.add(extent);
  }

  clear(): void {
    this.bytes.fill(0);
    this.#size = 0;
  }

  copy(): ExtentSet {
    return new ExtentSet(this.extents, this.bytes.slice());
  }

  /** The first member at or after `from`, or -1. */
  next(from: number): number {
    for (let extent = from; extent < this.extents; ) {
      if ((extent & 7) === 0 && this.bytes[extent >> 3] === 0) {
        extent += 8;
        continue;
      }
      if (this.has(extent)) return extent;
      extent++;
    }
    return -1;
  }

  *[Symbol.iterator](): Iterator<number> {
    for (let extent = this.next(0); extent >= 0; extent = this.next(extent + 1)) yield extent;
  }
}
