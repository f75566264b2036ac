/** What the commands need of the API server, and the facts that they look at, gathered once. */
import { collectionPath, type KubeObject, type SnapshotObject, type StorageNodeObject, type VolumeObject } from '../operator/api.ts';
import { CommandError } from './errors.ts';

export interface Kube {
  /** Null: it is not there. Everything else that is no success is a CommandError with the API server's sentence. */
  get<Body>(path: string): Promise<Body | null>;
  list<Item>(path: string): Promise<Item[]>;
  patch<Body>(path: string, body: object): Promise<Body | null>;
}

export type Lease = KubeObject & {
  spec?: { holderIdentity?: string | null; renewTime?: string | null; leaseDurationSeconds?: number | null };
};
export type EventObject = KubeObject & {
  reason?: string;
  note?: string;
  type?: string;
  eventTime?: string | null;
  series?: { lastObservedTime?: string; count?: number };
  regarding?: { kind?: string; name?: string; uid?: string };
};

export type Facts = {
  volumes: readonly VolumeObject[];
  nodes: readonly StorageNodeObject[];
  snapshots: readonly SnapshotObject[];
  /** Null: there is none, or it may not be read. */
  lease: Lease | null;
  nowMs: number;
};

export type LeasePlace = { namespace: string; lease: string };

const forbiddenAs =
  <Value>(value: Value) =>
  (error: unknown): Value => {
    if (error instanceof CommandError && error.status === 403) return value;
    throw error;
  };

/** Null: there is none, or it may not be read. */
export function leaseOf(kube: Kube, { namespace, lease }: LeasePlace): Promise<Lease | null> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases/${encodeURIComponent(lease)}`;
  return kube.get<Lease>(path).catch(forbiddenAs(null));
}

export async function gather(kube: Kube, place: LeasePlace, nowMs: number): Promise<Facts> {
  const [volumes, nodes, snapshots, found] = await Promise.all([
    kube.list<VolumeObject>(collectionPath('volumes')),
    kube.list<StorageNodeObject>(collectionPath('storagenodes')),
    kube.list<SnapshotObject>(collectionPath('snapshots')),
    leaseOf(kube, place),
  ]);
  return { volumes, nodes, snapshots, lease: found, nowMs };
}

/** The newest first; none where they may not be read. */
export async function eventsOf(kube: Kube, { metadata }: KubeObject): Promise<EventObject[]> {
  const path = '/apis/events.k8s.io/v1/namespaces/default/events';
  const events = await kube.list<EventObject>(path).catch(forbiddenAs<EventObject[]>([]));
  const own = events.filter(({ regarding }) => regarding?.uid === metadata.uid);
  return own.sort((a, b) => (timeOf(a) < timeOf(b) ? 1 : -1));
}

export const timeOf = (event: EventObject): string =>
  event.series?.lastObservedTime ?? event.eventTime ?? event.metadata.creationTimestamp ?? '';
