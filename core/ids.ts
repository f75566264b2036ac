/** Identities. Names may come again; an id never does. */
import { assert } from './assert.ts';
import type { Random } from './random.ts';

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/** The Kubernetes object's uid. */
export type VolumeUid = Branded<string, 'VolumeUid'>;
/** The Snapshot object's uid. */
export type SnapshotUid = Branded<string, 'SnapshotUid'>;
/** Made when a replica is created and never used again: 16 hex digits. */
export type ReplicaId = Branded<string, 'ReplicaId'>;
/** Made at each start of an agent: 16 hex digits, a u64 on the wire. */
export type InstanceId = Branded<string, 'InstanceId'>;
/** The node's name in Kubernetes. */
export type NodeName = string;

export const ID_BYTES = 8;
const HEX_ID = /^[0-9a-f]{16}$/;
/** Also keeps a uid from being anything else than one path segment, in etcd and on disk. */
const UID = /^[0-9a-zA-Z][0-9a-zA-Z-]{0,62}$/;

export const isHexId = (text: string): boolean => HEX_ID.test(text);
export const isVolumeUid = (text: string): boolean => UID.test(text);
export const isSnapshotUid = isVolumeUid;

export function volumeUid(text: string): VolumeUid {
  assert(isVolumeUid(text), `not a volume uid: ${text}`);
  return text as VolumeUid;
}

export function snapshotUid(text: string): SnapshotUid {
  assert(isSnapshotUid(text), `not a snapshot uid: ${text}`);
  return text as SnapshotUid;
}

export function replicaId(text: string): ReplicaId {
  assert(isHexId(text), `not a replica id: ${text}`);
  return text as ReplicaId;
}

export function instanceId(text: string): InstanceId {
  assert(isHexId(text), `not an instance id: ${text}`);
  return text as InstanceId;
}

export const newReplicaId = (random: Random): ReplicaId => replicaId(random.hex(ID_BYTES));
export const newInstanceId = (random: Random): InstanceId => instanceId(random.hex(ID_BYTES));
