/** Clusters with many volumes, for tests of the balance and of speed: small descriptions in, `World` and `ObservedVolume`s out. */
import type { VolumeConfig } from '../../../core/config.ts';
import { instanceId, type NodeName, type ReplicaId, replicaId, type VolumeUid, volumeUid } from '../../../core/ids.ts';
import type { MachineState, PoolReport } from '../../../core/machine.ts';
import type { StorageNodeSpec } from '../../../operator/generated/storagenode.ts';
import type { VolumeSpec } from '../../../operator/generated/volume.ts';
import type { ObservedVolume } from '../../../operator/observe/observed.ts';
import type { World } from '../../../operator/volume/decision.ts';
import { GiB, observedVolume, pool, spec, volumeObject, type WorldParts, world } from './builders.ts';

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
export const uidOf = (index: number): VolumeUid => volumeUid(`00000000-0000-4000-8000-${hex(index, 12)}`);
/** A counter of its own, or `volume * 64 + shard-and-place`: any number gives an id, the same the same. */
export const replicaOf = (index: number): ReplicaId => replicaId(hex(index, 16));

export type NodeLook = {
  node: NodeName;
  capacityBytes?: number;
  zone?: string;
  tags?: string[];
  /** Share of the capacity that files fill. */
  used?: number;
  state?: PoolReport['state'];
  spec?: Partial<StorageNodeSpec>;
  /** Its agent is not heard of. */
  isAway?: boolean;
};

/** `on`: of each shard, the nodes of its replicas. */
export type VolumeLook = { on: NodeName[][]; sizeBytes?: number; spec?: Partial<VolumeSpec> };

export const machineOf = (look: NodeLook, index: number, allocatedBytes = 0): MachineState => ({
  node: look.node,
  instance: instanceId(hex(index + 1, 16)),
  addresses: { http: `${look.node}:2` },
  bootId: 'boot',
  zone: look.zone ?? '',
  labels: {},
  pools: [
    pool({
      capacityBytes: look.capacityBytes ?? 100 * GiB,
      usedBytes: (look.used ?? 0) * (look.capacityBytes ?? 100 * GiB),
      allocatedBytes,
      tags: look.tags ?? [],
      state: look.state ?? 'ready',
    }),
  ],
  failedReplicas: [],
  version: '1',
  settingsVersion: 1,
});

export function volumeOf(look: VolumeLook, index: number): ObservedVolume & { config: NonNullable<ObservedVolume['config']> } {
  const uid = uidOf(index);
  const name = `v${index}`;
  const shards = look.on.map((nodes, shard) => {
    const members = nodes.map((node, place) => ({ replica: replicaOf(index * 4096 + shard * 16 + place), node, pool: 'default' }));
    return { members, inSync: members.map(({ replica }) => replica) };
  });
  const sizeBytes = look.sizeBytes ?? GiB;
  const change = { size: String(sizeBytes), replicas: look.on[0]?.length ?? 3, shards: shards.length, ...look.spec };
  const config: VolumeConfig = { uid, name, sizeBytes, minInSync: 1, epoch: 1, version: 5, primary: null, shards };
  const observed = observedVolume({ uid, object: volumeObject(change, { name, uid }), config });
  return { ...observed, config: { ...observed.config, value: config } as NonNullable<ObservedVolume['config']> };
}

export const specOf = (change: Partial<VolumeSpec>): VolumeSpec => spec(change);

/** What the agents tell as allocated is what the configs say. */
export function worldAround(looks: readonly NodeLook[], volumes: readonly ObservedVolume[], parts: WorldParts = {}): World {
  const configs = volumes.flatMap(({ config }) => config?.value ?? []);
  const allocated = new Map<NodeName, number>();
  for (const { sizeBytes, shards } of configs) {
    for (const { members } of shards)
      for (const { node } of members) allocated.set(node, (allocated.get(node) ?? 0) + sizeBytes / shards.length);
  }
  const machines = looks.map((look, index) => machineOf(look, index, allocated.get(look.node) ?? 0));
  const nodes = looks.map((look, index) => ({
    node: look.node,
    machine: look.isAway ? null : (machines[index] ?? null),
    spec: { schedulable: true, maintenance: false, evict: false, ...look.spec },
    labels: {},
  }));
  const living = machines.filter((_, index) => !looks[index]?.isAway);
  return world({
    limits: { overProvisioningRatio: 2, reserveRatio: 0, pressureRatio: 0.85 },
    ...parts,
    machines: living,
    configs,
    nodes,
  } as WorldParts);
}
