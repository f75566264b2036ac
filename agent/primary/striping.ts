/**
 * What clients give and get, dealt out to the shards and put together again: data without copying, and what is allocated. Pure.
 *
 * A range of the volume is one range in each shard that it touches (core/extent.ts), so each part is worked off from its front, extent by extent.
 */
import { EXTENT_BYTES, firstExtent, shardOf } from '../../core/extent.ts';
import type { AllocationRun } from '../ports.ts';

/** Takes bytes off the front of a list of chunks. */
class ChunkReader {
  readonly #chunks: readonly Buffer[];
  #index = 0;
  #offset = 0;

  constructor(chunks: readonly Buffer[]) {
    this.#chunks = chunks;
  }

  /** Appends the next bytes to `into`, or what there is of them. */
  take(lengthBytes: number, into: Buffer[]): void {
    for (let left = lengthBytes; left > 0; ) {
      const chunk = this.#chunks[this.#index];
      if (!chunk) return;
      const piece = chunk.subarray(this.#offset, this.#offset + left);
      if (piece.length > 0) into.push(piece);
      left -= piece.length;
      this.#offset += piece.length;
      if (this.#offset < chunk.length) continue;
      this.#index++;
      this.#offset = 0;
    }
  }
}

/** Calls back for each extent that the range touches, in order, with its shard and how much of it the range has. */
function eachExtent(offsetBytes: number, lengthBytes: number, shards: number, visit: (shard: number, lengthBytes: number) => void): void {
  const end = offsetBytes + lengthBytes;
  for (let start = offsetBytes; start < end; ) {
    const extent = firstExtent(start);
    const next = Math.min(end, (extent + 1) * EXTENT_BYTES);
    visit(shardOf(extent, shards), next - start);
    start = next;
  }
}

/** The data of a write, for each shard. */
export function splitChunks(offsetBytes: number, lengthBytes: number, chunks: readonly Buffer[], shards: number): Buffer[][] {
  const reader = new ChunkReader(chunks);
  const parts = Array.from({ length: shards }, (): Buffer[] => []);
  eachExtent(offsetBytes, lengthBytes, shards, (shard, length) => {
    const part = parts[shard];
    if (part) reader.take(length, part);
  });
  return parts;
}

/** The data of a read, from what each shard gave. */
export function joinChunks(offsetBytes: number, lengthBytes: number, parts: readonly (readonly Buffer[])[]): Buffer[] {
  const readers = parts.map((chunks) => new ChunkReader(chunks));
  const joined: Buffer[] = [];
  eachExtent(offsetBytes, lengthBytes, parts.length, (shard, length) => readers[shard]?.take(length, joined));
  return joined;
}

/** Runs of the volume, from what each shard told of its part: as far as all that come before are known. */
export function joinRuns(offsetBytes: number, lengthBytes: number, parts: readonly (readonly AllocationRun[])[]): AllocationRun[] {
  const left = parts.map((runs) => runs.map((run) => ({ ...run })).reverse());
  const joined: AllocationRun[] = [];
  let isKnown = true;
  eachExtent(offsetBytes, lengthBytes, parts.length, (shard, length) => {
    const runs = left[shard] ?? [];
    for (let missing = length; missing > 0 && isKnown; ) {
      const run = runs.at(-1);
      if (!run) {
        isKnown = false;
        return;
      }
      const taken = Math.min(run.lengthBytes, missing);
      append(joined, { lengthBytes: taken, hole: run.hole });
      missing -= taken;
      run.lengthBytes -= taken;
      if (run.lengthBytes === 0) runs.pop();
    }
  });
  return joined;
}

function append(runs: AllocationRun[], run: AllocationRun): void {
  const last = runs.at(-1);
  if (last && last.hole === run.hole) last.lengthBytes += run.lengthBytes;
  else if (run.lengthBytes > 0) runs.push(run);
}
