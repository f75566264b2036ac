/** What the CSI controller needs of the world outside. */
import type { Clock } from '../../core/clock.ts';
import type { CsiCall } from '../../edge/csi/server.ts';
import type { KubeObject, SnapshotObject, StorageNodeObject, VolumeObject } from '../api.ts';
import type { PlacementLimits } from '../placement/checks.ts';
import type { KubeApi, KubeView } from '../ports.ts';
import type { Waiting } from './waiting.ts';

export type Page<Object extends KubeObject> = { items: Object[]; next: string };

/** As KubeApi, and what only CSI does. */
export interface CsiKube extends Pick<KubeApi, 'get' | 'create' | 'replace'> {
  /** Asks for the deletion of the object of this very uid; absence is no error. */
  remove(path: string, uid: string): Promise<void>;
  /** At most `limit` of them (0: as many as the API server likes); `next` empty at the end. A token it does not know (any more) rejects with KubeRefusal 400 or Gone. */
  page<Object extends KubeObject>(path: string, limit: number, token: string, selector?: string): Promise<Page<Object>>;
}

export type CsiPorts = {
  kube: CsiKube;
  clock: Clock;
  waiting: Waiting;
  views: {
    volumes: KubeView<VolumeObject>;
    snapshots: KubeView<SnapshotObject>;
    storagenodes: KubeView<StorageNodeObject>;
  };
  limits: PlacementLimits;
};

export type Call = CsiCall;
