/** Ranges and extents of messages against a replica's size. Pure. */
import { EXTENT_BYTES, extentCount, firstExtent, lastExtent } from '../../core/extent.ts';
import { ALLOCATION_RUNS_MAX, type Operation, type Request } from '../../core/wire/messages.ts';
import type { AllocationRun, ReplicaStore } from '../ports.ts';

/** The rule that the message breaks by reaching beyond the replica's end, or null. */
export function rangeBrokenBy(message: Operation | Request, sizeBytes: number): string | null {
  if ('offsetBytes' in message && (message.lengthBytes <= 0 || message.offsetBytes + message.lengthBytes > sizeBytes)) {
    return `${message.type} of ${message.lengthBytes} bytes at ${message.offsetBytes} in a replica of ${sizeBytes} bytes`;
  }
  const extents = extentCount(sizeBytes);
  if ('extent' in message) {
    const last = message.extent + (message.type === 'summary' ? message.extents : 1) - 1;
    if (last >= extents) return `${message.type} of extent ${last} of ${extents}`;
  }
  if (message.type === 'restamp' && message.extents.some((extent) => extent >= extents)) return `restamp beyond extent ${extents - 1}`;
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
