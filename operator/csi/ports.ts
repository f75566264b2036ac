/** What the CSI controller needs of the world outside. */
import type { Clock } from '../../core/clock.ts';
import type { CsiCall } from '../../edge/csi/server.ts';
import type { SnapshotObject, StorageNodeObject, VolumeObject } from '../api.ts';
import type { PlacementLimits } from '../placement/checks.ts';
import type { KubeApi, KubeView } from '../ports.ts';
import type { Waiting } from './waiting.ts';

export type CsiKube = Pick<KubeApi, 'get' | 'create' | 'replace' | 'remove' | 'page'>;

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
