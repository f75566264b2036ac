/** Reading and writing whole ranges through a port that may do less at a time. Must never return a range that was done in part. */
import { DiskError, type DiskFile } from './disk.ts';

/** A short write is gone on with; more pieces than this for one range is a disk that does not advance. */
const PIECES_MAX = 65_536;

/** Fills `target`, or throws: a file that ends before the range does is an error here. */
export function readFully(file: DiskFile, target: Uint8Array, offsetBytes: number): void {
  let doneBytes = 0;
  for (let piece = 0; doneBytes < target.length; piece++) {
    const bytes = file.readAt(doneBytes === 0 ? target : target.subarray(doneBytes), offsetBytes + doneBytes);
    if (bytes <= 0 || piece >= PIECES_MAX)
      throw new DiskError('EIO', `read of ${target.length} bytes at ${offsetBytes} stopped early in`, file.path);
    doneBytes += bytes;
  }
}

/** Writes all chunks, or throws with some of them written. */
export function writeFully(file: DiskFile, chunks: readonly Uint8Array[], lengthBytes: number, offsetBytes: number): void {
  let doneBytes = file.writeAt(chunks, offsetBytes);
  for (let piece = 1; doneBytes < lengthBytes; piece++) {
    const bytes = file.writeAt(chunksFrom(chunks, doneBytes), offsetBytes + doneBytes);
    if (bytes <= 0 || piece >= PIECES_MAX)
      throw new DiskError('EIO', `write of ${lengthBytes} bytes at ${offsetBytes} stopped early in`, file.path);
    doneBytes += bytes;
  }
}

/** What is left of the chunks after their first `skipBytes`. */
function chunksFrom(chunks: readonly Uint8Array[], skipBytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = skipBytes;
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(skip === 0 ? chunk : chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}
