/**
 * Which pods of a node that is out of service nobody will ever end: told to go, and no kubelet is there to say that they went. As long as one stands, its volumes
 * are not detached and its successor of the same name is not made. Kubernetes' own pod garbage collector takes the very same ones away, but looks every 20 s only.
 * Only pods that use a volume of ours are named: all others are none of our business. Pure.
 */

import type { NodeName } from '../../core/ids.ts';
import { DRIVER_NAME } from '../../edge/csi/identity.ts';
import type { KubeObject } from '../api.ts';

type PodVolume = { name: string; persistentVolumeClaim?: { claimName: string }; ephemeral?: object };
/** As much of them as is looked at. */
export type KubePod = KubeObject & { spec?: { nodeName?: string; volumes?: PodVolume[] } };
export type KubeClaim = KubeObject & { spec?: { volumeName?: string } };
export type KubePersistentVolume = KubeObject & { spec?: { csi?: { driver: string } } };

export const PODS_PATH = '/api/v1/pods';
export const onNode = (node: NodeName): string => `fieldSelector=${encodeURIComponent(`spec.nodeName=${node}`)}`;

const inNamespace = (pod: KubePod, kind: string, name: string): string =>
  `/api/v1/namespaces/${encodeURIComponent(pod.metadata.namespace ?? '')}/${kind}/${encodeURIComponent(name)}`;
export const podPath = (pod: KubePod): string => inNamespace(pod, 'pods', pod.metadata.name);
export const claimPath = (pod: KubePod, claim: string): string => inNamespace(pod, 'persistentvolumeclaims', claim);
export const persistentVolumePath = (name: string): string => `/api/v1/persistentvolumes/${encodeURIComponent(name)}`;

/**
 * Told to go, by the taint or by people: what tolerates the taint stays. Whose end somebody else must see first (a Job counts its pods by a finalizer, and wants them
 * marked as failed) is left to the garbage collector, which does that.
 */
export const isLeftBehind = ({ metadata, spec }: KubePod, node: NodeName): boolean =>
  spec?.nodeName === node && metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length === 0;

/** The names of its claims; one that was made for the pod alone is named after both. */
export const claimsOf = ({ metadata, spec }: KubePod): string[] =>
  (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [`${metadata.name}-${name}`];
  });

export const isOurs = ({ spec }: KubePersistentVolume): boolean => spec?.csi?.driver === DRIVER_NAME;
