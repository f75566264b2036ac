/** Who the driver is: the same in every program that answers for it. */
import type { IdentityService } from './generated/csi.ts';
import type { CsiCall } from './server.ts';

export const DRIVER_NAME = 'csi.holdfast.dev';
/** A node's failure zone, in what CSI calls topology. */
export const TOPOLOGY_ZONE = 'topology.csi.holdfast.dev/zone';

/** `ready`: null, or why not yet. The same whoever answers: it is of the driver as a whole. */
export const identity = (version: string, ready: () => string | null): Partial<IdentityService<CsiCall>> => ({
  getPluginInfo: async () => ({ name: DRIVER_NAME, vendorVersion: version, manifest: {} }),
  getPluginCapabilities: async () => ({
    capabilities: [{ service: { type: 'CONTROLLER_SERVICE' } }, { volumeExpansion: { type: 'ONLINE' } }],
  }),
  probe: async () => ({ ready: { value: ready() === null } }),
});
