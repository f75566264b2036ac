/**
 * How large a volume could be made now: each of its N replicas needs a node of its own, so it is what the N-th roomiest node still takes. From what StorageNodes
 * say, which is some seconds old: a hint for schedulers, never a promise.
 */
import { invalid } from '../../edge/csi/codes.ts';
import type { ControllerService } from '../../edge/csi/generated/csi.ts';
import type { StorageNodeObject } from '../api.ts';
import type { StorageNodeStatusPool } from '../generated/storagenode.ts';
import type { VolumeSpecPlacement } from '../generated/volume.ts';
import type { PlacementLimits } from '../placement/checks.ts';
import { parseQuantity } from '../quantity.ts';
import { capabilityProblems } from './capabilities.ts';
import { parseClass } from './parameters.ts';
import type { Call, CsiPorts } from './ports.ts';
import { STEP_BYTES, VOLUME_BYTES_MAX } from './volumes.ts';

type Capacity = Pick<ControllerService<Call>, 'getCapacity'>;

/** What a pool still takes of one replica. The same sums as placement's, from what people see of it. */
function freeOf(pool: StorageNodeStatusPool, { reserveRatio, overProvisioningRatio, pressureRatio }: PlacementLimits): number {
  const [capacity, used, allocated] = [pool.capacity, pool.used, pool.allocated].map((text) => parseQuantity(text) ?? 0) as [
    number,
    number,
    number,
  ];
  const usable = Math.floor(capacity * (1 - reserveRatio));
  if (pool.state !== 'Ready' || used > Math.min(usable, capacity * pressureRatio)) return 0;
  return Math.max(0, Math.min(usable, Math.floor(usable * overProvisioningRatio) - allocated));
}

function roomOf({ metadata, spec, status }: StorageNodeObject, { poolTags }: VolumeSpecPlacement, limits: PlacementLimits): number {
  const isReady = status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') ?? false;
  if (!isReady || metadata.deletionTimestamp || !spec.schedulable || spec.maintenance || spec.evict) return 0;
  const fitting = (status?.pools ?? []).filter(({ tags = [] }) => poolTags.every((tag) => tags.includes(tag)));
  return Math.max(0, ...fitting.map((pool) => freeOf(pool, limits)));
}

export function largestVolumeBytes(
  nodes: Iterable<StorageNodeObject>,
  asked: { replicas: number; placement: VolumeSpecPlacement },
  limits: PlacementLimits,
): number {
  const rooms = [...nodes].map((node) => ({ zone: node.status?.zone ?? '', bytes: roomOf(node, asked.placement, limits) }));
  const places =
    asked.placement.zones === 'Require'
      ? [
          ...Map.groupBy(
            rooms.filter(({ zone }) => zone !== ''),
            ({ zone }) => zone,
          ).values(),
        ].map((zone) => Math.max(...zone.map(({ bytes }) => bytes)))
      : rooms.map(({ bytes }) => bytes);
  const bytes = places.sort((one, other) => other - one)[asked.replicas - 1] ?? 0;
  return Math.min(VOLUME_BYTES_MAX, Math.floor(bytes / STEP_BYTES) * STEP_BYTES);
}

export class CsiCapacity implements Capacity {
  readonly #ports: CsiPorts;

  constructor(ports: CsiPorts) {
    this.#ports = ports;
  }

  getCapacity: Capacity['getCapacity'] = async ({ volumeCapabilities, parameters }) => {
    const { value, problems } = parseClass(parameters, {});
    if (value === null) throw invalid(problems);
    if (volumeCapabilities.length > 0 && capabilityProblems(volumeCapabilities).length > 0) return { availableCapacity: 0 };
    const { views, limits } = this.#ports;
    const bytes = largestVolumeBytes(views.storagenodes.objects.values(), value.spec, limits);
    return { availableCapacity: bytes, maximumVolumeSize: { value: bytes } };
  };
}
