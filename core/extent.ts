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

/** A set of extents as bits, least significant first; the form that logs and messages share. */
export class ExtentSet {
  readonly extents: number;
  readonly bytes: Uint8Array;
  #size = 0;

  constructor(extents: number, bytes?: Uint8Array) {
    this.extents = extents;
    this.bytes = bytes ?? new Uint8Array(Math.ceil(extents / 8));
    if (bytes) for (let extent = 0; extent < extents; extent++) if (this.has(extent)) this.#size++;
  }

  get size(): number {
    return this.#size;
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

  addAll(other: ExtentSet): void {
    for (const extent of other) this.add(extent);
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
