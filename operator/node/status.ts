/** What people see of a node. Pure. A node whose agent is silent keeps what it last told, and is not Ready. */
import type { MachineState, PoolReport } from '../../core/machine.ts';
import { API_VERSION, NODE_FINALIZER, type StorageNodeObject } from '../api.ts';
import { conditionsOf, type Judgement } from '../conditions.ts';
import type { StorageNodeSpec, StorageNodeStatus, StorageNodeStatusPool } from '../generated/storagenode.ts';
import type { Now } from '../observe/observed.ts';
import { type PlacementLimits, pressureReason } from '../placement/checks.ts';
import { formatBytes, formatExact } from '../quantity.ts';
import type { BlockedReplica } from '../volume/decision.ts';
import type { Removal } from './removal.ts';
import type { SettingsLag } from './settingsLag.ts';

export const DEFAULT_NODE_SPEC: StorageNodeSpec = { schedulable: true, maintenance: false, evict: false };
/** More are counted in the condition only. */
export const BLOCKED_MAX = 20;

export const newStorageNode = (name: string): StorageNodeObject => ({
  apiVersion: API_VERSION,
  kind: 'StorageNode',
  metadata: { name, uid: '', resourceVersion: '', finalizers: [NODE_FINALIZER] },
  spec: DEFAULT_NODE_SPEC,
});

/** What is known of a node beside its object. */
export type NodeFacts = {
  /** Null: its agent is not heard of. */
  machine: MachineState | null;
  replicas: number;
  /** Snapshots that have parts here, where it is to be emptied: those stay. */
  snapshots: number;
  blocked: readonly BlockedReplica[];
  /** Null: nobody deleted it. */
  removal: Removal | null;
  limits: PlacementLimits;
  /** Dead for Kubernetes too: its Node is tainted, or will be at once. */
  isOutOfService: boolean;
  /** Null: it runs the latest settings, or has not had the time to. */
  settingsLag: SettingsLag | null;
};

/** For metrics: a node that is down on purpose is nobody's alarm. */
export const NODE_STATES = ['ready', 'away', 'maintenance', 'evicting'] as const;
export type NodeState = (typeof NODE_STATES)[number];
export const nodeStateOf = ({ spec, metadata }: StorageNodeObject, isHeardOf: boolean): NodeState => {
  if (spec.maintenance) return 'maintenance';
  if (!isHeardOf) return 'away';
  return spec.evict || metadata.deletionTimestamp !== undefined ? 'evicting' : 'ready';
};

const poolOf = (pool: PoolReport): StorageNodeStatusPool => ({
  name: pool.name,
  state: pool.state === 'ready' ? 'Ready' : 'Quarantined',
  ...(pool.reason === undefined ? {} : { reason: pool.reason }),
  capacity: formatExact(pool.capacityBytes),
  used: formatExact(pool.usedBytes),
  allocated: formatExact(pool.allocatedBytes),
  tags: pool.tags,
  snapshots: pool.reflink,
});

const sum = (pools: readonly PoolReport[], field: 'capacityBytes' | 'usedBytes'): string =>
  formatBytes(pools.reduce((total, pool) => total + pool[field], 0));

function ready(spec: StorageNodeSpec, machine: MachineState | null): Judgement {
  const type = 'Ready';
  if (machine === null && spec.maintenance)
    return { type, holds: false, reason: 'Maintenance', message: 'in maintenance; its agent is not heard of' };
  if (machine === null) return { type, holds: false, reason: 'NotHeardOf', message: 'its agent is not heard of' };
  const quarantined = machine.pools.filter(({ state }) => state === 'quarantined');
  if (machine.pools.length > 0 && quarantined.length === machine.pools.length) {
    return {
      type,
      holds: false,
      reason: 'PoolsQuarantined',
      message: quarantined.map(({ name, reason }) => `pool ${name}: ${reason ?? 'no reason given'}`).join('; '),
    };
  }
  return { type, holds: true, reason: 'AgentRuns', message: `its agent runs version ${machine.version}` };
}

function schedulable({ spec, metadata }: StorageNodeObject, machine: MachineState | null): Judgement {
  const type = 'Schedulable';
  if (metadata.deletionTimestamp) return { type, holds: false, reason: 'Removed', message: 'it is to be removed' };
  if (spec.maintenance) return { type, holds: false, reason: 'Maintenance', message: 'in maintenance (spec.maintenance)' };
  if (spec.evict) return { type, holds: false, reason: 'Evict', message: 'its replicas shall leave (spec.evict)' };
  if (!spec.schedulable) return { type, holds: false, reason: 'NotWanted', message: 'excluded by spec.schedulable' };
  if (machine === null) return { type, holds: false, reason: 'NotHeardOf', message: 'its agent is not heard of' };
  return { type, holds: true, reason: 'Wanted', message: 'new replicas may be placed here' };
}

const count = (replicas: number): string => (replicas === 1 ? '1 replica is' : `${replicas} replicas are`);

/** Only said while it shall be empty. */
function evicted({ spec }: StorageNodeObject, { replicas, blocked, snapshots }: NodeFacts): Judgement[] {
  if (!spec.evict) return [];
  const type = 'Evicted';
  const parts = snapshots === 1 ? 'the parts of 1 snapshot stay until it is' : `the parts of ${snapshots} snapshots stay until they are`;
  const message = `no replica is left here${snapshots === 0 ? '' : `; ${parts} deleted`}`;
  if (replicas === 0) return [{ type, holds: true, reason: 'Empty', message }];
  if (blocked.length === 0) return [{ type, holds: false, reason: 'Evicting', message: `${count(replicas)} left` }];
  const [first] = blocked;
  const why = `${count(replicas)} left, ${blocked.length} cannot leave now: ${first?.volume}: ${first?.reason}`;
  return [{ type, holds: false, reason: 'Blocked', message: why }];
}

/** Only said while somebody wants it. */
const removed = ({ removal }: NodeFacts): Judgement[] =>
  removal === null ? [] : [{ type: 'Removed', holds: removal.isDone, reason: removal.reason, message: removal.message }];

/** Only said while it is so: the alarm before placement stops for good. */
function nearlyFull({ machine, limits }: NodeFacts): Judgement[] {
  const reasons = (machine?.pools ?? []).flatMap((pool) => pressureReason(pool, limits) ?? []);
  return reasons.length === 0 ? [] : [{ type: 'PoolNearlyFull', holds: true, reason: 'Pressure', message: reasons.join('; ') }];
}

/** Only said while it is so. */
const outOfService = ({ isOutOfService }: NodeFacts): Judgement[] => {
  const message = 'its Node is tainted out-of-service: pods and attachments leave it, until its agent registers again';
  return isOutOfService ? [{ type: 'OutOfService', holds: true, reason: 'Dead', message }] : [];
};

/** Only said while it is so. */
const settingsBehind = ({ settingsLag }: NodeFacts): Judgement[] => {
  if (settingsLag === null) return [];
  const { runs, wanted } = settingsLag;
  const which = runs === 0 ? 'the defaults, since it has seen none' : `version ${runs}`;
  const message = `the settings are at version ${wanted} for more than a minute, and its agent runs ${which}: it does not hear from etcd, or refuses them (its log says which)`;
  return [{ type: 'SettingsBehind', holds: true, reason: 'OtherVersion', message }];
};

export function nodeStatusOf(object: StorageNodeObject, facts: NodeFacts, now: Now): StorageNodeStatus {
  const { machine, replicas, blocked } = facts;
  const { evicting: _, ...before } = object.status ?? {};
  const told: StorageNodeStatus = machine
    ? {
        zone: machine.zone,
        version: machine.version,
        labels: machine.labels,
        used: sum(machine.pools, 'usedBytes'),
        capacity: sum(machine.pools, 'capacityBytes'),
        pools: machine.pools.map(poolOf),
      }
    : before;
  const isLeft = object.spec.evict || facts.removal !== null;
  const evicting = isLeft
    ? { evicting: { replicasLeft: replicas, blocked: blocked.slice(0, BLOCKED_MAX).map(({ volume, reason }) => ({ volume, reason })) } }
    : {};
  const judgements = [
    ready(object.spec, machine),
    schedulable(object, machine),
    ...evicted(object, facts),
    ...removed(facts),
    ...nearlyFull(facts),
    ...outOfService(facts),
    ...settingsBehind(facts),
  ];
  const conditions = conditionsOf(judgements, object.status?.conditions ?? [], now.wallMs, object.metadata.generation);
  return { ...told, replicas, ...evicting, conditions };
}

/** The same but for the amounts, which change with every write of a client and are written less often. */
export const withoutAmounts = ({ used: _, pools, replicas, ...status }: StorageNodeStatus): StorageNodeStatus => ({
  ...status,
  // That none is left is what somebody waits for.
  ...(replicas === undefined ? {} : { replicas: Math.min(replicas, 1) }),
  ...(pools ? { pools: pools.map((pool) => ({ ...pool, used: '', allocated: '' })) } : {}),
});
