/**
 * What a node's disks hold, as its agent tells whoever rebuilds a lost store (`GET /inventory`). Pure. Must never hold a guess of the agent's: what cannot be read
 * is said to be so.
 */
import type { VolumeConfig } from './config.ts';
import {
  type InstanceId,
  isHexId,
  isSnapshotUid,
  isVolumeUid,
  type NodeName,
  type ReplicaId,
  type SnapshotUid,
  snapshotUid,
  type VolumeUid,
  volumeUid,
} from './ids.ts';
import { Fields, type Parsed, parsedJson } from './parse.ts';
import { NAME_CHARACTERS_MAX, readReplicaId, readVolumeConfig } from './parseConfig.ts';

export type InventoryReplica = {
  pool: string;
  replica: ReplicaId;
  /** Null where the files do not tell. */
  volume: VolumeUid | null;
  /** Why it cannot be served; null: it is sound. */
  problem: string | null;
  promisedEpoch: number;
  /** The latest config version of which it knows; the config itself may be an earlier one. */
  knownVersion: number;
  config: VolumeConfig | null;
};

/** What an attempt at a snapshot has kept of a replica; nobody here knows whether it was recorded. */
export type InventorySnapshot = {
  pool: string;
  snapshot: SnapshotUid;
  attempt: number;
  replica: ReplicaId;
  volume: VolumeUid | null;
  problem: string | null;
  /** The last that the replica had seen when it was kept. */
  config: VolumeConfig | null;
};

export type PoolInventory = { replicas: InventoryReplica[]; snapshots: InventorySnapshot[] };
/** `problems`: pools of which nobody can say what they hold. */
export type Inventory = PoolInventory & { node: NodeName; instance: InstanceId; problems: string[] };

const REASON_CHARACTERS_MAX = 4_096;
const POOLS_MAX = 256;
/** Of a node. */
const ITEMS_MAX = POOLS_MAX * 10_000;

export const parseInventory = (text: string): Parsed<Inventory> => parsedJson(text, 'an inventory', readInventory);

function readInventory(input: unknown): Inventory {
  const fields = new Fields(input, 'inventory', ['node', 'instance', 'problems', 'replicas', 'snapshots']);
  return {
    node: fields.text('node', NAME_CHARACTERS_MAX),
    instance: fields.formed('instance', isHexId, 'an instance id') as InstanceId,
    problems: fields.list('problems', 0, POOLS_MAX, (problem) => String(problem).slice(0, REASON_CHARACTERS_MAX)),
    replicas: fields.list('replicas', 0, ITEMS_MAX, readReplica),
    snapshots: fields.list('snapshots', 0, ITEMS_MAX, readSnapshot),
  };
}

const orNull = <Value>(fields: Fields, key: string, read: () => Value): Value | null => (fields.get(key) === null ? null : read());

const common = (fields: Fields) => ({
  pool: fields.text('pool', NAME_CHARACTERS_MAX),
  replica: readReplicaId(fields, 'replica'),
  volume: orNull(fields, 'volume', () => volumeUid(fields.formed('volume', isVolumeUid, 'a volume uid'))),
  problem: orNull(fields, 'problem', () => fields.text('problem', REASON_CHARACTERS_MAX)),
  config: orNull(fields, 'config', () => readVolumeConfig(fields.get('config'), fields.place('config'))),
});

function readReplica(input: unknown, where: string): InventoryReplica {
  const fields = new Fields(input, where, ['pool', 'replica', 'volume', 'problem', 'promisedEpoch', 'knownVersion', 'config']);
  return { ...common(fields), promisedEpoch: fields.whole('promisedEpoch', 0), knownVersion: fields.whole('knownVersion', 0) };
}

function readSnapshot(input: unknown, where: string): InventorySnapshot {
  const fields = new Fields(input, where, ['pool', 'snapshot', 'attempt', 'replica', 'volume', 'problem', 'config']);
  return {
    ...common(fields),
    snapshot: snapshotUid(fields.formed('snapshot', isSnapshotUid, 'a snapshot uid')),
    attempt: fields.whole('attempt', 0),
  };
}
