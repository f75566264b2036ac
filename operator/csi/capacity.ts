/**
 * How large a volume could be made now: each replica of a shard needs a node of its own, or a zone, and all shards share the nodes' space. From what StorageNodes
 * say, which is some seconds old: a hint for schedulers, never a promise, and never more than placement would find places for.
 */
import { EXTENT_BYTES, shardBytes } from '../../core/extent.ts';
import type { NodeName } from '../../core/ids.ts';
import type { PoolReport } from '../../core/machine.ts';
import { invalid } from '../../edge/csi/codes.ts';
import type { ControllerService } from '../../edge/csi/generated/csi.ts';
import type { StorageNodeObject } from '../api.ts';
import type { VolumeSpecPlacement } from '../generated/volume.ts';
import { poolReport } from '../node/status.ts';
import { freeBytes, isFull, isPressed, type PlacementLimits, promisableBytes } from '../placement/checks.ts';
import { Ledger } from '../placement/ledger.ts';
import { capabilityProblems } from './capabilities.ts';
import { type ClassSpec, parseClass } from './parameters.ts';
import type { Call, CsiPorts } from './ports.ts';
import { STEP_BYTES, VOLUME_BYTES_MAX } from './volumes.ts';

type Capacity = Pick<ControllerService<Call>, 'getCapacity'>;

/** What a pool still takes: no replica larger than `one`, and not more than `all` together. */
type Room = { one: number; all: number };
type NodeRoom = { zone: string; pools: readonly Room[] };

/** No more is promised than pools tell of themselves. */
const NOTHING_BESIDE = new Ledger([]);

/** Placement's sums. */
function roomOf(node: NodeName, pool: PoolReport, limits: PlacementLimits): Room {
  if (pool.state !== 'ready' || isFull(pool, limits) || isPressed(pool, limits)) return { one: 0, all: 0 };
  const around = { limits, ledger: NOTHING_BESIDE };
  return { one: freeBytes(node, pool, around), all: promisableBytes(node, pool, around) };
}

function roomsOf({ metadata, spec, status }: StorageNodeObject, { poolTags }: VolumeSpecPlacement, limits: PlacementLimits): Room[] {
  const isReady = status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') ?? false;
  if (!isReady || metadata.deletionTimestamp || !spec.schedulable || spec.maintenance || spec.evict) return [];
  const fitting = (status?.pools ?? []).map(poolReport).filter(({ tags }) => poolTags.every((tag) => tags.includes(tag)));
  return fitting.map((pool) => roomOf(metadata.name, pool, limits));
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
const countIn = ({ one, all }: Room, sizeBytes: number): number => (sizeBytes <= one ? Math.floor(all / sizeBytes) : 0);

/**
 * Whether there is a place for every replica of every shard, all as large as the largest. Where nobody takes two of one shard, and all together take as many as
 * there are, they can be dealt out: one after the other, shard by shard, around the table.
 */
function fits(sizeBytes: number, nodes: readonly NodeRoom[], { replicas, shards, placement }: AskedCapacity): boolean {
  const shardSizeBytes = shardBytes(sizeBytes, shards, 0);
  const counts = nodes.map(({ zone, pools }) => ({ zone, count: sum(pools.map((room) => countIn(room, shardSizeBytes))) }));
  const inZones = Map.groupBy(
    counts.filter(({ zone }) => zone !== ''),
    ({ zone }) => zone,
  );
  const takers =
    placement.zones === 'Require'
      ? [...inZones.values()].map((zone) => sum(zone.map(({ count }) => count)))
      : counts.map(({ count }) => count);
  return sum(takers.map((count) => Math.min(shards, count))) >= shards * replicas;
}

export type AskedCapacity = Pick<ClassSpec, 'replicas' | 'shards' | 'placement'>;

export function largestVolumeBytes(nodes: Iterable<StorageNodeObject>, asked: AskedCapacity, limits: PlacementLimits): number {
  const rooms = [...nodes].map((node) => ({ zone: node.status?.zone ?? '', pools: roomsOf(node, asked.placement, limits) }));
  // Where one fits, every smaller one does.
  let [fitting, tooLarge] = [0, VOLUME_BYTES_MAX / STEP_BYTES + 1];
  while (tooLarge - fitting > 1) {
    const middle = Math.floor((fitting + tooLarge) / 2);
    if (fits(middle * STEP_BYTES, rooms, asked)) fitting = middle;
    else tooLarge = middle;
  }
  const bytes = fitting * STEP_BYTES;
  // Smaller ones are refused: a shard has an extent at least.
  return asked.shards > 1 && bytes < asked.shards * EXTENT_BYTES ? 0 : bytes;
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
