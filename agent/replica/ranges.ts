/** Messages against a replica's size, and against what its files can hold. Pure. */
import { BLOCK_BYTES, EXTENT_BYTES, extentCount, extentLength, firstExtent, lastExtent } from '../../core/extent.ts';
import { bytesOf } from '../../core/wire/chunks.ts';
import { ALLOCATION_RUNS_MAX, type Operation, type Request } from '../../core/wire/messages.ts';
import type { AllocationRun, ReplicaStore } from '../ports.ts';
import { isReplicaSize } from './store/meta.ts';
import { VERSION_MAX } from './store/stampFile.ts';

type Level = Extract<Request, { type: 'level' }>;

/** The rule that the message breaks by reaching beyond the replica's end, or by what no file could hold, or null. */
export function rangeBrokenBy(message: Operation | Request, sizeBytes: number): string | null {
  if ('offsetBytes' in message && (message.lengthBytes <= 0 || message.offsetBytes + message.lengthBytes > sizeBytes)) {
    return `${message.type} of ${message.lengthBytes} bytes at ${message.offsetBytes} in a replica of ${sizeBytes} bytes`;
  }
  return extentBrokenBy(message, extentCount(sizeBytes)) ?? valueBrokenBy(message, sizeBytes);
}

function extentBrokenBy(message: Operation | Request, extents: number): string | null {
  if ('extent' in message) {
    const last = message.extent + (message.type === 'summary' ? message.extents : 1) - 1;
    if (last >= extents) return `${message.type} of extent ${last} of ${extents}`;
  }
  if (message.type === 'restamp' && message.extents.some((extent) => extent >= extents)) return `restamp beyond extent ${extents - 1}`;
  return null;
}

/** `sizeBytes`: so large is the replica; a size that is not above it changes nothing and may be any. */
function valueBrokenBy(message: Operation | Request, sizeBytes: number): string | null {
  if ('sequence' in message) return versionBrokenBy(message.type, message.version);
  if (message.type === 'level')
    return versionBrokenBy('level', message.stamp) ?? runBrokenBy(message, extentLength(message.extent, sizeBytes));
  if (message.type === 'resize' && message.sizeBytes > sizeBytes && !isReplicaSize(message.sizeBytes)) {
    return `resize to ${message.sizeBytes} bytes, which no replica can have`;
  }
  return null;
}

const versionBrokenBy = (type: string, version: number): string | null =>
  version > VERSION_MAX ? `${type} of version ${version}, above ${VERSION_MAX}` : null;

/** Each run lies within the extent, and has data for all of it or for none. */
function runBrokenBy({ runs }: Level, extentBytes: number): string | null {
  for (const { block, blocks, data } of runs) {
    const from = block * BLOCK_BYTES;
    if ((block + blocks - 1) * BLOCK_BYTES >= extentBytes)
      return `level of blocks ${block} to ${block + blocks - 1} of ${extentBytes} bytes`;
    const lengthBytes = Math.min(blocks * BLOCK_BYTES, extentBytes - from);
    if (data && bytesOf(data) !== lengthBytes) return `level of ${lengthBytes} bytes with ${bytesOf(data)} bytes of data`;
  }
  return null;
}

/** By whole extents: finer than that nothing is kept. */
export function allocationOf(
  store: ReplicaStore,
  { offsetBytes, lengthBytes }: { offsetBytes: number; lengthBytes: number },
): AllocationRun[] {
  const runs: AllocationRun[] = [];
  const last = lastExtent(offsetBytes, lengthBytes);
  for (let extent = firstExtent(offsetBytes); extent <= last; extent++) {
    const from = Math.max(offsetBytes, extent * EXTENT_BYTES);
    const to = Math.min(offsetBytes + lengthBytes, (extent + 1) * EXTENT_BYTES);
    const hole = !store.mayHaveData(extent);
    const previous = runs.at(-1);
    if (previous && previous.hole === hole) previous.lengthBytes += to - from;
    else if (runs.length >= ALLOCATION_RUNS_MAX) break;
    else runs.push({ lengthBytes: to - from, hole });
  }
  return runs;
}
