/**
 * Records of snapshots made anew from what pools have kept. Pure. An attempt that was never recorded leaves parts as well, so a record is made only for a Snapshot
 * that people saw as ready, of the latest attempt, with a part of every replica that was in sync then, on the very nodes that its status names.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { InventorySnapshot } from '../../core/inventory.ts';
import type { RecordedSnapshot, SnapshotReplica } from '../../core/snapshot.ts';
import type { SnapshotObject } from '../api.ts';
import { parseQuantity } from '../quantity.ts';

export type KeptPart = InventorySnapshot & { node: NodeName };
export type SnapshotVerdict = { kind: 'rebuilt'; volume: VolumeUid; record: RecordedSnapshot } | { kind: 'refused'; reason: string };

const refused = (reason: string): SnapshotVerdict => ({ kind: 'refused', reason });

/** Null: it was never ready, so there is no record to be made. */
export function rebuildSnapshot(object: SnapshotObject, parts: readonly KeptPart[]): SnapshotVerdict | null {
  const { createdAt, size, nodes = [] } = object.status ?? {};
  if (createdAt === undefined || object.metadata.deletionTimestamp !== undefined) return null;
  const attempt = Math.max(...parts.map((part) => part.attempt));
  const kept = parts.filter((part) => part.attempt === attempt && part.problem === null);
  const config = kept.reduce<VolumeConfig | null>(
    (best, part) => (part.config && part.config.version > (best?.version ?? -1) ? part.config : best),
    null,
  );
  if (config === null) return refused('no pool that can be read has a part of it that tells what it is of');
  const replicas = config.shards.flatMap(({ inSync }, shard) =>
    inSync.flatMap((replica): SnapshotReplica[] => {
      const part = kept.find((each) => each.replica === replica);
      return part ? [{ shard, replica, node: part.node, pool: part.pool }] : [];
    }),
  );
  const wanted = config.shards.reduce((sum, { inSync }) => sum + inSync.length, 0);
  const held = [...new Set(replicas.map(({ node }) => node))].sort().join(', ');
  if (replicas.length < wanted || held !== [...nodes].sort().join(', '))
    return refused(`it was held by ${nodes.join(', ')}, and parts of its latest attempt are on ${held || 'no node'}`);
  const sizeBytes = (size === undefined ? null : parseQuantity(size)) ?? config.sizeBytes;
  return {
    kind: 'rebuilt',
    volume: config.uid,
    record: { attempt, epoch: config.epoch, sizeBytes, createdAtMs: Date.parse(createdAt), replicas },
  };
}
