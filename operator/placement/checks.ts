/**
 * Why a node takes no replica: ordered checks, each a pure function that gives a sentence or null. The first sentence is what people read in
 * `Volume.status.unschedulable`, so the order is from what concerns the whole node to what concerns its space.
 */
import type { NodeName } from '../../core/ids.ts';
import type { MachineState, PoolReport } from '../../core/machine.ts';
import type { StorageNodeSpec } from '../generated/storagenode.ts';
import type { VolumeSpecPlacement } from '../generated/volume.ts';
import { formatFree, formatNeeded } from '../quantity.ts';
import type { Ledger } from './ledger.ts';

export type PlacementNode = {
  node: NodeName;
  /** Null: its agent is not heard of. */
  machine: MachineState | null;
  /** Null: its StorageNode is not made yet; the defaults count. */
  spec: StorageNodeSpec | null;
  /** Of the agent and of the StorageNode; the latter win. */
  labels: Readonly<Record<string, string>>;
  /** Its StorageNode is being deleted: it shall be no part of the cluster any more. */
  isRemoved?: boolean;
};

/** A place for one replica of one shard. */
export type PlacementRequest = {
  /** How many more replicas of the shard to find places for. */
  replicas: number;
  /** Of each. */
  sizeBytes: number;
  rules: VolumeSpecPlacement;
  /** Nodes that hold a replica of this shard which stays. */
  taken: readonly NodeName[];
  /** One of those, whose replica goes as soon as the new one is in sync: its zone may be used. */
  departing?: NodeName;
  /** How many replicas of the volume's other shards each node holds: they are spread, so that a node that is lost is rebuilt by many. */
  crowd: ReadonlyMap<NodeName, number>;
  /** Nowhere else; null: anywhere. The sentence is what people read of all other places. */
  only: { places: readonly Place[]; reason: string } | null;
  /** Where the volume is used: reads are local there. */
  preferred: NodeName | null;
  /** Nodes that are left alone for a while, each with the sentence why. */
  avoided: ReadonlyMap<NodeName, string>;
};

export type PlacementLimits = {
  /** How many times over a pool's usable bytes may be promised (volumes are thin). */
  overProvisioningRatio: number;
  /** Share of a pool's capacity that is never promised nor counted as free. */
  reserveRatio: number;
  /** Share of a pool's capacity above which it is *pressed*: with so much used nothing new is placed there, and replicas are moved away. */
  pressureRatio: number;
};

export type Place = { node: NodeName; pool: string };

/** What is decided so far, in the same request. */
export type Situation = {
  request: PlacementRequest;
  limits: PlacementLimits;
  ledger: Ledger;
  taken: ReadonlySet<NodeName>;
  /** Replicas of this volume in each zone. */
  zones: ReadonlyMap<string, number>;
};

/** By name, for those who ask about many. */
const named = new WeakMap<readonly PlacementNode[], Map<NodeName, PlacementNode>>();
export function nodeNamed(nodes: readonly PlacementNode[], node: NodeName): PlacementNode | undefined {
  const known = named.get(nodes) ?? new Map(nodes.map((one) => [one.node, one]));
  named.set(nodes, known);
  return known.get(node);
}

type NodeCheck = (node: PlacementNode, situation: Situation) => string | null;

const NODE_CHECKS: readonly NodeCheck[] = [
  (node) => (node.machine === null ? 'its agent is not heard of' : null),
  (node) => (node.spec?.schedulable === false ? 'excluded by spec.schedulable of its StorageNode' : null),
  (node) => (node.spec?.maintenance ? 'in maintenance' : null),
  (node) => (node.isRemoved ? 'is to be removed (its StorageNode is being deleted)' : null),
  (node) => (node.spec?.evict ? 'its replicas shall leave (spec.evict of its StorageNode)' : null),
  (node, { request }) => selectorReason(node, request.rules.nodeSelector),
  (node, { taken }) => (taken.has(node.node) ? 'holds a replica of this volume already' : null),
  (node, { request }) => request.avoided.get(node.node) ?? null,
  (node, { request }) => onlyReason(node, request),
  (node, { request }) => spreadReason(node, request),
  (node, situation) => zoneReason(node, situation),
];

/** Each change of a volume's config tells every node that it concerns, in one transaction: etcd takes 128 operations in one. */
export const NODES_MAX = 90;

const spreadReason = ({ node }: PlacementNode, { crowd }: PlacementRequest): string | null =>
  crowd.size >= NODES_MAX && !crowd.has(node) ? `the volume is spread over ${NODES_MAX} nodes already` : null;

const onlyReason = ({ node }: PlacementNode, { only }: PlacementRequest): string | null =>
  only === null || only.places.some((place) => place.node === node) ? null : only.reason;

function selectorReason(node: PlacementNode, selector: Readonly<Record<string, string>>): string | null {
  const broken = Object.entries(selector).find(([label, value]) => node.labels[label] !== value);
  return broken ? `excluded by placement.nodeSelector ${broken[0]}=${broken[1]}` : null;
}

function zoneReason(node: PlacementNode, { request, zones }: Situation): string | null {
  if (request.rules.zones !== 'Require') return null;
  const zone = node.machine?.zone ?? '';
  if (zone === '') return 'has no zone, and placement.zones is Require';
  return (zones.get(zone) ?? 0) > 0 ? `zone ${zone} holds a replica already, and placement.zones is Require` : null;
}

export const nodeReason = (node: PlacementNode, situation: Situation): string | null => {
  for (const check of NODE_CHECKS) {
    const reason = check(node, situation);
    if (reason !== null) return reason;
  }
  return null;
};

export const usableBytes = (pool: PoolReport, limits: PlacementLimits): number =>
  Math.floor(pool.capacityBytes * (1 - limits.reserveRatio));

type Counts = Pick<Situation, 'limits' | 'ledger'>;

/** What may still be promised, to all replicas together. */
export function promisableBytes(node: NodeName, pool: PoolReport, { limits, ledger }: Counts): number {
  const allocated = ledger.allocatedBytes(node, pool.name, pool.allocatedBytes);
  return Math.max(0, Math.floor(usableBytes(pool, limits) * limits.overProvisioningRatio) - allocated);
}

/** What may still be promised to one replica: never more than the pool could really hold of it. */
export const freeBytes = (node: NodeName, pool: PoolReport, around: Counts): number =>
  Math.min(usableBytes(pool, around.limits), promisableBytes(node, pool, around));

export const poolOf = (machine: MachineState | null | undefined, name: string): PoolReport | null =>
  machine?.pools.find((pool) => pool.name === name) ?? null;

/** What is promised of what may be filled, with what is still being deleted; or what is filled, by anybody, where that is more. */
export const fullness = (node: NodeName, pool: PoolReport, { limits, ledger }: Counts): number =>
  Math.max(ledger.allocatedBytes(node, pool.name, pool.allocatedBytes), pool.usedBytes) / Math.max(1, usableBytes(pool, limits));

/** What is promised of what may be filled, 1 when all of it is; above 1 what is promised is more than the pool has. */
export const promisedShare = (
  node: NodeName,
  pool: PoolReport,
  { limits, ledger }: { limits: PlacementLimits; ledger: Pick<Ledger, 'promisedBytes'> },
): number => ledger.promisedBytes(node, pool.name) / Math.max(1, usableBytes(pool, limits));

export const isFull = (pool: PoolReport, limits: PlacementLimits): boolean => pool.usedBytes > usableBytes(pool, limits);

/** Its file system is filled so far, by whatever, that thin replicas there may soon find no space. */
export const isPressed = (pool: PoolReport, limits: PlacementLimits): boolean => pool.usedBytes > pool.capacityBytes * limits.pressureRatio;

const usedPercent = (pool: PoolReport): string => `${Math.floor((100 * pool.usedBytes) / Math.max(1, pool.capacityBytes))} %`;
const fullReason = (pool: PoolReport): string => `pool ${pool.name} is full: ${usedPercent(pool)} of it is used`;

/** A pool that was pressed is relieved until so much below the threshold: else the next write would press it again. */
const RELIEF_SHARE = 0.05;
export const relievedShare = ({ pressureRatio }: PlacementLimits): number => pressureRatio - RELIEF_SHARE;

/** Why nothing new is placed in a pool that is not full yet; null: something may be. */
export const pressureReason = (pool: PoolReport, limits: PlacementLimits): string | null =>
  isPressed(pool, limits)
    ? `pool ${pool.name} is nearly full: ${usedPercent(pool)} of it is used, more than ${Math.round(100 * limits.pressureRatio)} %`
    : null;

/** Why a replica that is there cannot become so large; null: it can. */
export function roomReason(
  node: NodeName,
  pool: PoolReport,
  moreBytes: number,
  sizeBytes: number,
  around: Pick<Situation, 'limits' | 'ledger'>,
): string | null {
  if (isFull(pool, around.limits)) return fullReason(pool);
  const usable = usableBytes(pool, around.limits);
  if (sizeBytes > usable) return `${formatFree(usable)} usable after reserve, ${formatNeeded(sizeBytes)} needed`;
  const free = freeBytes(node, pool, around);
  return free < moreBytes ? `${formatFree(free)} free after reserve, ${formatNeeded(moreBytes)} more needed` : null;
}

export function poolReason(node: NodeName, pool: PoolReport, situation: Situation): string | null {
  const { request, limits } = situation;
  const { only } = request;
  if (only !== null && !only.places.some((place) => place.node === node && place.pool === pool.name)) return only.reason;
  const missing = request.rules.poolTags.find((tag) => !pool.tags.includes(tag));
  if (missing !== undefined) return `no pool with the tag ${missing} (placement.poolTags)`;
  if (pool.state !== 'ready') return `pool ${pool.name} is quarantined: ${pool.reason ?? 'no reason given'}`;
  if (isFull(pool, limits)) return fullReason(pool);
  const pressure = pressureReason(pool, limits);
  if (pressure !== null) return pressure;
  const free = freeBytes(node, pool, situation);
  return free < request.sizeBytes ? `${formatFree(free)} free after reserve, ${formatNeeded(request.sizeBytes)} needed` : null;
}

/** How near a pool came: of several, people want the reason of the one that almost fits. */
function nearness(node: NodeName, pool: PoolReport, situation: Situation): number {
  if (situation.request.rules.poolTags.some((tag) => !pool.tags.includes(tag))) return -2;
  return pool.state === 'ready' ? freeBytes(node, pool, situation) : -1;
}

/** Why none of a node's pools takes it, when none does. */
export function poolsReason({ node, machine }: PlacementNode, situation: Situation): string {
  const pools = machine?.pools ?? [];
  const [nearest] = [...pools].sort((a, b) => nearness(node, b, situation) - nearness(node, a, situation));
  return nearest ? (poolReason(node, nearest, situation) ?? 'fits') : 'has no pool';
}
