/** The controller service, put together: which calls there are, and which abilities are told. */
import type { ControllerService, ControllerServiceCapabilityRPCType } from '../../edge/csi/generated/csi.ts';
import { CsiCapacity } from './capacity.ts';
import { CsiListing } from './listing.ts';
import type { Call, CsiPorts } from './ports.ts';
import { CsiPublishing } from './publishing.ts';
import { CsiSnapshots } from './snapshots.ts';
import { CsiVolumes } from './volumes.ts';

const ABILITIES: readonly ControllerServiceCapabilityRPCType[] = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'PUBLISH_READONLY',
  'LIST_VOLUMES',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'GET_VOLUME',
  'VOLUME_CONDITION',
  'GET_CAPACITY',
  'CREATE_DELETE_SNAPSHOT',
  'LIST_SNAPSHOTS',
  'GET_SNAPSHOT',
  'CLONE_VOLUME',
  'EXPAND_VOLUME',
  'MODIFY_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
];

export function controllerService(ports: CsiPorts): Partial<ControllerService<Call>> {
  return {
    ...new CsiVolumes(ports),
    ...new CsiPublishing(ports),
    ...new CsiSnapshots(ports),
    ...new CsiListing(ports),
    ...new CsiCapacity(ports),
    controllerGetCapabilities: async () => ({ capabilities: ABILITIES.map((type) => ({ rpc: { type } })) }),
  };
}
