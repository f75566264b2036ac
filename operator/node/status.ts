/** What people see of a node. Pure. A node whose agent is silent keeps what it last told, and is not Ready. */
import type { MachineState, PoolReport } from '../../core/machine.ts';
import { API_VERSION, type StorageNodeObject } from '../api.ts';
import { conditionsOf, type Judgement } from '../conditions.ts';
import type { StorageNodeSpec, StorageNodeStatus, StorageNodeStatusPool } from '../generated/storagenode.ts';
import type { Now } from '../observe/observed.ts';
import { formatBytes } from '../quantity.ts';

export const DEFAULT_NODE_SPEC: StorageNodeSpec = { schedulable: true, maintenance: false, evict: false };

export const newStorageNode = (name: string): StorageNodeObject => ({
  apiVersion: API_VERSION,
  kind: 'StorageNode',
  metadata: { name, uid: '', resourceVersion: '' },
  spec: DEFAULT_NODE_SPEC,
});

const poolOf = (pool: PoolReport): StorageNodeStatusPool => ({
  name: pool.name,
  state: pool.state === 'ready' ? 'Ready' : 'Quarantined',
  ...(pool.reason === undefined ? {} : { reason: pool.reason }),
  capacity: formatBytes(pool.capacityBytes),
  used: formatBytes(pool.usedBytes),
  allocated: formatBytes(pool.allocatedBytes),
  tags: pool.tags,
  snapshots: pool.reflink,
});

const sum = (pools: readonly PoolReport[], field: 'capacityBytes' | 'usedBytes'): string =>
  formatBytes(pools.reduce((total, pool) => total + pool[field], 0));

function ready(machine: MachineState | null): Judgement {
  const type = 'Ready';
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

function schedulable(spec: StorageNodeSpec, machine: MachineState | null): Judgement {
  const type = 'Schedulable';
  if (spec.maintenance) return { type, holds: false, reason: 'Maintenance', message: 'in maintenance (spec.maintenance)' };
  if (spec.evict)
    return { type, holds: false, reason: 'Evict', message: 'its replicas shall leave (spec.evict); moving them is not supported yet' };
  if (!spec.schedulable) return { type, holds: false, reason: 'NotWanted', message: 'excluded by spec.schedulable' };
  if (machine === null) return { type, holds: false, reason: 'NotHeardOf', message: 'its agent is not heard of' };
  return { type, holds: true, reason: 'Wanted', message: 'new replicas may be placed here' };
}

export function nodeStatusOf(object: StorageNodeObject, machine: MachineState | null, replicas: number, now: Now): StorageNodeStatus {
  const before = object.status ?? {};
  const told: StorageNodeStatus = machine
    ? {
        zone: machine.zone,
        version: machine.version,
        used: sum(machine.pools, 'usedBytes'),
        capacity: sum(machine.pools, 'capacityBytes'),
        pools: machine.pools.map(poolOf),
      }
    : before;
  const judgements = [ready(machine), schedulable(object.spec, machine)];
  return { ...told, replicas, conditions: conditionsOf(judgements, before.conditions ?? [], now.wallMs, object.metadata.generation) };
}

/** The same but for the amounts, which change with every write of a client and are written less often. */
export const withoutAmounts = ({ used: _, pools, ...status }: StorageNodeStatus): StorageNodeStatus => ({
  ...status,
  ...(pools ? { pools: pools.map((pool) => ({ ...pool, used: '' })) } : {}),
});
