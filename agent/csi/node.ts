/** The node service, put together: one operation at a time a volume. */
import { CsiError } from '../../edge/csi/codes.ts';
import type { NodeService, NodeServiceCapabilityRPCType } from '../../edge/csi/generated/csi.ts';
import { TOPOLOGY_ZONE } from '../../edge/csi/identity.ts';
import type { Call, NodePorts } from './ports.ts';
import { CsiNodePublishing } from './publishing.ts';
import { CsiStaging } from './staging.ts';
import { CsiStatistics } from './statistics.ts';

const ABILITIES: readonly NodeServiceCapabilityRPCType[] = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'VOLUME_CONDITION',
  'EXPAND_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
];

type Changing = 'nodeStageVolume' | 'nodeUnstageVolume' | 'nodePublishVolume' | 'nodeUnpublishVolume' | 'nodeExpandVolume';

/** `changed`: what is attached here may be another now. */
export function nodeService(ports: NodePorts, changed: () => void): Partial<NodeService<Call>> {
  const busy = new Set<string>();
  /** A second one would find a half-made state: it is told to come again, as CSI has it. */
  const alone =
    <Request extends { volumeId: string }, Response>(handler: (request: Request, call: Call) => Promise<Response>) =>
    async (request: Request, call: Call): Promise<Response> => {
      const { volumeId } = request;
      if (busy.has(volumeId))
        throw new CsiError('Aborted', `something else is being done with the volume ${volumeId} on ${ports.node}; ask again`);
      busy.add(volumeId);
      try {
        return await handler(request, call);
      } finally {
        busy.delete(volumeId);
        changed();
      }
    };
  const staging = new CsiStaging(ports);
  const publishing = new CsiNodePublishing(ports);
  const statistics = new CsiStatistics(ports);
  const changing: Pick<NodeService<Call>, Changing> = {
    nodeStageVolume: alone(staging.nodeStageVolume),
    nodeUnstageVolume: alone(staging.nodeUnstageVolume),
    nodePublishVolume: alone(publishing.nodePublishVolume),
    nodeUnpublishVolume: alone(publishing.nodeUnpublishVolume),
    nodeExpandVolume: alone(statistics.nodeExpandVolume),
  };
  // Told for people and schedulers: a volume may be used from every node.
  const topology = ports.zone === '' ? {} : { accessibleTopology: { segments: { [TOPOLOGY_ZONE]: ports.zone } } };
  return {
    ...changing,
    nodeGetVolumeStats: statistics.nodeGetVolumeStats,
    nodeGetInfo: async () => ({ nodeId: ports.node, ...topology }),
    nodeGetCapabilities: async () => ({ capabilities: ABILITIES.map((type) => ({ rpc: { type } })) }),
  };
}
