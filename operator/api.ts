/** The Kubernetes objects that the operator works with. Types only; spec and status are generated from crds/. */
import type { Snapshot } from './generated/snapshot.ts';
import type { StorageNode } from './generated/storagenode.ts';
import type { Volume, VolumeStatusCondition } from './generated/volume.ts';

export const GROUP = 'holdfast.dev';
export const API_VERSION = `${GROUP}/v1alpha1`;
/** While it stands on a Volume, Kubernetes does not forget the object: first its replicas and keys must be gone. */
export const FINALIZER = `${GROUP}/replicas`;
/** The same for a Snapshot and what the pools hold of it. */
export const SNAPSHOT_FINALIZER = `${GROUP}/snapshot`;
/** The same for a StorageNode and the replicas that lie there. */
export const NODE_FINALIZER = `${GROUP}/node`;
/** On a Volume: `<from>=<to>`, a replica that shall be elsewhere. The operator takes it away when that is done, or refused. */
export const MOVE_ANNOTATION = `${GROUP}/move`;
/** Set by who asks for a change, so that logs and tasks carry the same trace. */
export const TRACEPARENT_ANNOTATION = `${GROUP}/traceparent`;

export type ObjectMeta = {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
};

export type KubeObject = { apiVersion?: string; kind?: string; metadata: ObjectMeta };

export type VolumeObject = KubeObject & Volume;
export type StorageNodeObject = KubeObject & StorageNode;
export type SnapshotObject = KubeObject & Snapshot;
/** The same in every kind. */
export type Condition = VolumeStatusCondition;

export type Resource = 'volumes' | 'storagenodes' | 'snapshots';
export const KIND_OF = { volumes: 'Volume', storagenodes: 'StorageNode', snapshots: 'Snapshot' } as const satisfies Record<
  Resource,
  string
>;
export const collectionPath = (resource: Resource): string => `/apis/${API_VERSION}/${resource}`;
export const objectPath = (resource: Resource, name: string): string => `${collectionPath(resource)}/${encodeURIComponent(name)}`;
