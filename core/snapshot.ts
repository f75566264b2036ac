/**
 * A snapshot as it is recorded in etcd (`snapshots/<volume>/<snapshot>`): it exists from that write on, on these replicas, as made by this attempt. What
 * another attempt left in a pool is garbage. Pure.
 */
import type { NodeName, ReplicaId } from './ids.ts';
import { demand, Fields, type Parsed, parsedJson } from './parse.ts';
import { MEMBERS_IN_ALL_MAX, NAME_CHARACTERS_MAX, readReplicaId, SHARDS_MAX } from './parseConfig.ts';

export type SnapshotReplica = { shard: number; replica: ReplicaId; node: NodeName; pool: string };

export type RecordedSnapshot = {
  attempt: number;
  epoch: number;
  /** Of the volume. */
  sizeBytes: number;
  createdAtMs: number;
  /** At least one of every shard. */
  replicas: SnapshotReplica[];
};

/** Shards are numbered without a gap. */
export const shardsOf = ({ replicas }: RecordedSnapshot): number => Math.max(...replicas.map(({ shard }) => shard)) + 1;

export const parseRecordedSnapshot = (text: string): Parsed<RecordedSnapshot> => parsedJson(text, 'a snapshot', readRecordedSnapshot);

function readRecordedSnapshot(input: unknown): RecordedSnapshot {
  const fields = new Fields(input, 'snapshot', ['attempt', 'epoch', 'sizeBytes', 'createdAtMs', 'replicas']);
  const replicas = fields.list('replicas', 1, MEMBERS_IN_ALL_MAX, readReplica);
  const present = new Set(replicas.map(({ shard }) => shard));
  demand(present.size === Math.max(...present) + 1, fields.place('replicas'), 'must name a replica of every shard');
  return {
    attempt: fields.whole('attempt', 1),
    epoch: fields.whole('epoch', 1),
    sizeBytes: fields.whole('sizeBytes', 1),
    createdAtMs: fields.whole('createdAtMs', 0),
    replicas,
  };
}

function readReplica(input: unknown, where: string): SnapshotReplica {
  const fields = new Fields(input, where, ['shard', 'replica', 'node', 'pool']);
  return {
    shard: fields.whole('shard', 0, SHARDS_MAX - 1),
    replica: readReplicaId(fields, 'replica'),
    node: fields.text('node', NAME_CHARACTERS_MAX),
    pool: fields.text('pool', NAME_CHARACTERS_MAX),
  };
}
