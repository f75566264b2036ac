/** What to send to make one extent equal to another, from the digests of both. Pure. */
import { BLOCK_BYTES } from '../../core/extent.ts';
import { DIGEST_BYTES, type LevelRun } from '../../core/wire/messages.ts';

export const ZERO_DIGEST = Buffer.alloc(DIGEST_BYTES);

export type BlockRange = { first: number; last: number };

export const digestOf = (digests: Buffer | null, block: number): Buffer =>
  digests === null ? ZERO_DIGEST : digests.subarray(block * DIGEST_BYTES, (block + 1) * DIGEST_BYTES);

/** Stands for "anything but zeroes" where all that is asked is which blocks are: nothing is compared with it. */
const OTHER_DIGEST = Buffer.alloc(DIGEST_BYTES, 0xff);
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

export const allBlocks = (lengthBytes: number): number => Math.ceil(lengthBytes / BLOCK_BYTES);

/** Of data that is there: which blocks are zeroes and which are not, in the form of digests; null where all are. */
export function zeroDigests(data: Buffer): Buffer | null {
  const blocks = allBlocks(data.length);
  const digests = Buffer.alloc(blocks * DIGEST_BYTES);
  let isAllZero = true;
  for (let block = 0; block < blocks; block++) {
    const piece = data.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    if (piece.equals(piece.length === BLOCK_BYTES ? ZERO_BLOCK : ZERO_BLOCK.subarray(0, piece.length))) continue;
    OTHER_DIGEST.copy(digests, block * DIGEST_BYTES);
    isAllZero = false;
  }
  return isAllZero ? null : digests;
}

/** The blocks of `blocks` in which the two differ. */
export function differingBlocks(source: Buffer | null, target: Buffer | null, blocks: number): number[] {
  if (source === null && target === null) return [];
  const differing: number[] = [];
  for (let block = 0; block < blocks; block++) if (!digestOf(source, block).equals(digestOf(target, block))) differing.push(block);
  return differing;
}

/** The smallest range that holds every differing block which is not zeroes on the source; null if no data is needed. */
export function rangeToRead(source: Buffer | null, differing: readonly number[]): BlockRange | null {
  const withData = differing.filter((block) => !digestOf(source, block).equals(ZERO_DIGEST));
  const first = withData[0];
  const last = withData.at(-1);
  return first === undefined || last === undefined ? null : { first, last };
}

/** A piece of a list of chunks, without copying. */
export function sliceChunks(chunks: readonly Buffer[], offsetBytes: number, lengthBytes: number): Buffer[] {
  const pieces: Buffer[] = [];
  let position = 0;
  for (const chunk of chunks) {
    const from = Math.max(0, offsetBytes - position);
    const to = Math.min(chunk.length, offsetBytes + lengthBytes - position);
    if (from < to) pieces.push(chunk.subarray(from, to));
    position += chunk.length;
  }
  return pieces;
}

/** The differing blocks as runs, with data read from `range` on; `extentBytes` cuts the last block where the volume ends in it. */
export function levelRuns(
  source: Buffer | null,
  differing: readonly number[],
  range: BlockRange | null,
  data: readonly Buffer[],
  extentBytes: number,
): LevelRun[] {
  const runs: { block: number; blocks: number; isZero: boolean }[] = [];
  for (const block of differing) {
    const isZero = digestOf(source, block).equals(ZERO_DIGEST);
    const previous = runs.at(-1);
    if (previous && previous.isZero === isZero && previous.block + previous.blocks === block) previous.blocks++;
    else runs.push({ block, blocks: 1, isZero });
  }
  return runs.map(({ block, blocks, isZero }): LevelRun => {
    if (isZero || range === null) return { block, blocks, data: null };
    const lengthBytes = Math.min(blocks * BLOCK_BYTES, extentBytes - block * BLOCK_BYTES);
    return { block, blocks, data: sliceChunks(data, (block - range.first) * BLOCK_BYTES, lengthBytes) };
  });
}
