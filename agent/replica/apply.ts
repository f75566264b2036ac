/** What each mutation does to a replica's files. The intent log holds every extent that is touched here before it is. */
import { BLOCK_BYTES, EXTENT_BYTES, extentLength, firstExtent, lastExtent } from '../../core/extent.ts';
import type { Operation, Request } from '../../core/wire/messages.ts';
import type { ReplicaMeta, ReplicaStore } from '../ports.ts';

/** See `levelledNext`. */
const LEVELLED_NEXT = 16;

type Level = Extract<Request, { type: 'level' }>;

/** Changes the replica, or keeps it as it is between two changes. */
export const isMutation = (type: (Operation | Request)['type']): boolean =>
  type === 'write' || type === 'zero' || type === 'restamp' || type === 'level' || type === 'snapshot';

/** The extents that a message touches; none for one that changes nothing. */
export function touchedExtents(message: Operation | Request): readonly number[] {
  switch (message.type) {
    case 'write':
    case 'zero': {
      const first = firstExtent(message.offsetBytes);
      const last = lastExtent(message.offsetBytes, message.lengthBytes);
      if (first === last) return [first];
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    }
    case 'restamp':
      return message.extents;
    case 'level':
      return [message.extent];
    default:
      return [];
  }
}

/**
 * A new learner is levelled extent by extent, in their order: those behind one that is to be noted in the log are noted along, or each would wait for a sync of its
 * own. One of which nothing comes after all leaves the log as any other does; a crash before costs comparing it, which a new learner is over all of it anyway.
 *
 * Any other replica has extents that are compared only if they are in a log: one that was noted and not changed would be made like the authority by the next session or the
 * next promotion, and what had rotted there in silence would be on all of them.
 */
export function* levelledNext(message: Operation | Request, { intents, meta }: ReplicaStore): Iterable<number> {
  if (message.type !== 'level' || !isNewLearner(meta)) return;
  const end = Math.min(intents.extents, message.extent + LEVELLED_NEXT);
  for (let extent = message.extent; extent < end; extent++) if (!intents.has(extent)) yield extent;
}

/** By the config that it has seen: it is a member, and never was in sync. */
function isNewLearner({ config, replica }: ReplicaMeta): boolean {
  const shard = config?.shards.find(({ members }) => members.some((member) => member.replica === replica));
  const member = shard?.members.find((each) => each.replica === replica);
  return member !== undefined && member.leftAt === undefined && !shard?.inSync.includes(replica);
}

/** A crash after the data and before the stamp is in memory only: both live in the page cache until `clean`, and till then the log names the extent. */
export function applyOperation(store: ReplicaStore, operation: Operation): void {
  if (operation.type === 'write') store.write(operation.offsetBytes, operation.chunks, operation.lengthBytes);
  else if (operation.type === 'zero') store.zero(operation.offsetBytes, operation.lengthBytes, operation.free);
  for (const extent of touchedExtents(operation)) {
    if (store.stamp(extent) < operation.version) store.setStamp(extent, operation.version);
  }
}

/** Equal or not, the later stamp is taken: whoever is absent misses what the authority says was changed. */
export function applyLevel(store: ReplicaStore, level: Level): void {
  const start = level.extent * EXTENT_BYTES;
  const end = start + extentLength(level.extent, store.meta.sizeBytes);
  for (const run of level.runs) {
    const offset = start + run.block * BLOCK_BYTES;
    const lengthBytes = Math.min(run.blocks * BLOCK_BYTES, end - offset);
    if (run.data) store.write(offset, run.data, lengthBytes);
    else store.zero(offset, lengthBytes, true);
  }
  if (store.stamp(level.extent) < level.stamp) store.setStamp(level.extent, level.stamp);
}
