/**
 * The structured bodies: extents, level runs, bits of a set, allocation runs. Writing asserts what our own programs must keep; reading answers with the rule
 * that a peer broke. Must never copy a level's data.
 */
import { assert } from '../assert.ts';
import { BLOCK_BYTES, BLOCKS_PER_EXTENT, ExtentSet } from '../extent.ts';
import { bytesOf, ChunkReader, joined } from './chunks.ts';
import { ALLOCATION_RUN, EXTENTS_MAX, LEVEL_RUN, LEVEL_RUNS_MAX, RESTAMP_EXTENT_BYTES } from './layout.ts';
import { ALLOCATION_RUNS_MAX, type LevelRun, RESTAMP_EXTENTS_MAX } from './messages.ts';
import { Violation } from './rules.ts';

export type AllocationRun = { lengthBytes: number; hole: boolean };

const HALF = 2 ** 32;
const broken = (message: string): Violation => new Violation('body', message);

export function writeExtents(extents: readonly number[]): Buffer {
  assert(extents.length <= RESTAMP_EXTENTS_MAX, 'a restamp names no more extents than RESTAMP_EXTENTS_MAX');
  const body = Buffer.allocUnsafe(extents.length * RESTAMP_EXTENT_BYTES);
  let at = 0;
  for (const extent of extents) {
    assert(Number.isInteger(extent) && extent >= 0 && extent < EXTENTS_MAX, 'an extent travels as u32');
    at = body.writeUInt32LE(extent, at);
  }
  return body;
}

export function readExtents(chunks: readonly Buffer[]): number[] {
  const body = joined(chunks);
  return Array.from({ length: body.length / RESTAMP_EXTENT_BYTES }, (_, index) => body.readUInt32LE(index * RESTAMP_EXTENT_BYTES));
}

/** Which rule a run breaks, by its numbers: `firstFree` is where the run before it ended, `isLast` lets it end with the volume, in the middle of a block. */
function runRule(block: number, blocks: number, dataBytes: number, firstFree: number, isLast: boolean): string | null {
  if (blocks === 0) return 'a level run of 0 blocks';
  if (block < firstFree) return `level run at block ${block} begins before block ${firstFree}, where the one before it ends`;
  if (block + blocks > BLOCKS_PER_EXTENT) return `level run ends at block ${block + blocks}, beyond the extent`;
  if (dataBytes === 0 || dataBytes === blocks * BLOCK_BYTES) return null;
  const endsShort = isLast && dataBytes > (blocks - 1) * BLOCK_BYTES && dataBytes < blocks * BLOCK_BYTES;
  return endsShort ? null : `level run of ${blocks} blocks with ${dataBytes} bytes`;
}

export function writeLevelRuns(runs: readonly LevelRun[]): Buffer[] {
  assert(runs.length <= LEVEL_RUNS_MAX, 'a level has no more runs than blocks');
  const table = Buffer.allocUnsafe(runs.length * LEVEL_RUN.bytes);
  const body: Buffer[] = runs.length === 0 ? [] : [table];
  let firstFree = 0;
  runs.forEach((run, index) => {
    const dataBytes = run.data ? bytesOf(run.data) : 0;
    assert((run.data === null) === (dataBytes === 0), 'a level run has data or none, not none of it');
    const rule = runRule(run.block, run.blocks, dataBytes, firstFree, index === runs.length - 1);
    assert(rule === null, rule ?? '');
    firstFree = run.block + run.blocks;
    const at = index * LEVEL_RUN.bytes;
    table.writeUInt16LE(run.block, at + LEVEL_RUN.block);
    table.writeUInt16LE(run.blocks, at + LEVEL_RUN.blocks);
    table.writeUInt32LE(dataBytes, at + LEVEL_RUN.dataBytes);
    if (run.data) body.push(...run.data);
  });
  return body;
}

export function readLevelRuns(chunks: readonly Buffer[], count: number, bodyBytes: number): LevelRun[] | Violation {
  const reader = new ChunkReader(chunks);
  const table = count === 0 ? Buffer.alloc(0) : joined(reader.slices(count * LEVEL_RUN.bytes));
  const runs: LevelRun[] = [];
  let unreadBytes = bodyBytes - table.length;
  let firstFree = 0;
  for (let at = 0; at < table.length; at += LEVEL_RUN.bytes) {
    const block = table.readUInt16LE(at + LEVEL_RUN.block);
    const blocks = table.readUInt16LE(at + LEVEL_RUN.blocks);
    const dataBytes = table.readUInt32LE(at + LEVEL_RUN.dataBytes);
    const rule = runRule(block, blocks, dataBytes, firstFree, at + LEVEL_RUN.bytes === table.length);
    if (rule) return broken(rule);
    if (dataBytes > unreadBytes) return broken(`level run of ${dataBytes} bytes, of which the body holds ${unreadBytes}`);
    runs.push({ block, blocks, data: dataBytes === 0 ? null : reader.slices(dataBytes) });
    unreadBytes -= dataBytes;
    firstFree = block + blocks;
  }
  return unreadBytes === 0 ? runs : broken(`${unreadBytes} bytes behind the last level run`);
}

export const writeExtentSet = (set: ExtentSet): Buffer => Buffer.from(set.bytes.buffer, set.bytes.byteOffset, set.bytes.length);

/** A copy: a set is changed by whoever has it, and the chunks hold other frames too. */
export function readExtentSet(chunks: readonly Buffer[], extents: number): ExtentSet | Violation {
  const bytes = new Uint8Array(bytesOf(chunks));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  const used = extents % 8;
  const last = bytes.at(-1) ?? 0;
  if (used !== 0 && last >> used !== 0) return broken(`a set of ${extents} extents holds one beyond them`);
  return new ExtentSet(extents, bytes);
}

export function writeAllocationRuns(runs: readonly AllocationRun[]): Buffer {
  assert(runs.length <= ALLOCATION_RUNS_MAX, 'an allocation map has no more runs than ALLOCATION_RUNS_MAX');
  const body = Buffer.allocUnsafe(runs.length * ALLOCATION_RUN.bytes);
  runs.forEach((run, index) => {
    assert(Number.isSafeInteger(run.lengthBytes) && run.lengthBytes > 0, 'an allocation run is not empty');
    const at = index * ALLOCATION_RUN.bytes;
    body.writeUInt32LE(run.lengthBytes >>> 0, at + ALLOCATION_RUN.lengthBytes);
    body.writeUInt32LE(Math.floor(run.lengthBytes / HALF), at + ALLOCATION_RUN.lengthBytes + 4);
    body.writeUInt32LE(run.hole ? 1 : 0, at + ALLOCATION_RUN.hole);
  });
  return body;
}

export function readAllocationRuns(chunks: readonly Buffer[]): AllocationRun[] | Violation {
  const body = joined(chunks);
  const runs: AllocationRun[] = [];
  let totalBytes = 0;
  for (let at = 0; at < body.length; at += ALLOCATION_RUN.bytes) {
    const high = body.readUInt32LE(at + ALLOCATION_RUN.lengthBytes + 4);
    const lengthBytes = high * HALF + body.readUInt32LE(at + ALLOCATION_RUN.lengthBytes);
    const hole = body.readUInt32LE(at + ALLOCATION_RUN.hole);
    totalBytes += lengthBytes;
    if (lengthBytes === 0) return broken('an allocation run of 0 bytes');
    if (totalBytes > Number.MAX_SAFE_INTEGER) return broken('allocation runs that end beyond 2^53');
    if (hole > 1) return broken(`an allocation run that is ${hole}, neither 0 (data) nor 1 (hole)`);
    runs.push({ lengthBytes, hole: hole === 1 });
  }
  return runs;
}
