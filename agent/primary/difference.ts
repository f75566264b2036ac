/** What to send to make one extent equal to another, from the digests of both. Pure. */
import { BLOCK_BYTES } from '../../core/extent.ts';
import { DIGEST_BYTES, type LevelRun } from '../../core/wire/messages.ts';

export const ZERO_DIGEST = Buffer.alloc(DIGEST_BYTES);

export type BlockRange = { first: number; last: number };

export const digestOf = (digests: Buffer | null, block: number): Buffer =>
  digests === null ? ZERO_DIGEST : digests.subarray(block * DIGEST_BYTES, (block + 1) * DIGEST_BYTES);

const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

export const allBlocks = (lengthBytes: number): number => Math.ceil(lengthBytes / BLOCK_BYTES);

/** What to send of an extent that is there as a whole, to whoever has nothing of it: all its blocks that are not zeroes. */
export function writtenRuns(data: Buffer): LevelRun[] {
  const runs: LevelRun[] = [];
  let first = -1;
  for (let block = 0; block * BLOCK_BYTES < data.length; block++) {
    if (!isZeroBlock(data, block * BLOCK_BYTES)) first = first < 0 ? block : first;
    else if (first >= 0) {
      runs.push(runOf(data, first, block));
      first = -1;
    }
  }
  if (first >= 0) runs.push(runOf(data, first, allBlocks(data.length)));
  return runs;
}

function isZeroBlock(data: Buffer, from: number): boolean {
  const to = Math.min(from + BLOCK_BYTES, data.length);
  return data.compare(ZERO_BLOCK, 0, to - from, from, to) === 0;
}

const runOf = (data: Buffer, first: number, end: number): LevelRun => ({
  block: first,
  blocks: end - first,
  data: [data.subarray(first * BLOCK_BYTES, end * BLOCK_BYTES)],
});

/** The blocks of `blocks` in which the two differ. */
export function differingBlocks(source: Buffer | null, target: Buffer | null, blocks: number): number[] {
  if (source === target || (source && target && source.equals(target))) return [];
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
