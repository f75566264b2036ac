/** Who the driver is: the same in every program that answers for it. */
import type { IdentityService, PluginCapability } from './generated/csi.ts';
import type { CsiCall } from './server.ts';

export const DRIVER_NAME = 'csi.holdfast.dev';
/** A node's own, in what CSI calls topology. */
export const TOPOLOGY_NODE = 'topology.csi.holdfast.dev/node';
export const TOPOLOGY_ZONE = 'topology.csi.holdfast.dev/zone';

type Capability = { service?: { type: ServiceType } | null; volumeExpansion?: { type: 'ONLINE' | 'OFFLINE' } | null };
type ServiceType = NonNullable<PluginCapability['service']>['type'];

/** `ready`: null, or why not yet. */
export function identity(version: string, services: readonly ServiceType[], ready: () => string | null): Partial<IdentityService<CsiCall>> {
  return {
    getPluginInfo: async () => ({ name: DRIVER_NAME, vendorVersion: version, manifest: {} }),
    getPluginCapabilities: async () => ({
      capabilities: [...services.map((type): Capability => ({ service: { type } })), { volumeExpansion: { type: 'ONLINE' } } as Capability],
    }),
    probe: async () => ({ ready: { value: ready() === null } }),
  };
}
