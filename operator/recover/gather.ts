/** Everything that a plan is made of, read once: what agents hold, what people asked for, what etcd has. Must never write. */
import { messageOf } from '../../core/errors.ts';
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { Inventory } from '../../core/inventory.ts';
import type { Keys } from '../../core/keys.ts';
import type { Store } from '../../core/store.ts';
import type { Certificates } from '../../edge/tls.ts';
import { collectionPath, type KubeObject, type SnapshotObject, type StorageNodeObject, type VolumeObject } from '../api.ts';
import { fetchInventory } from '../edge/inventories.ts';
import { decodeMachine } from '../observe/decode.ts';
import { gatherStoredConfigs } from '../observe/gather.ts';
import type { StoredConfig } from '../observe/observed.ts';
import type { KubeApi } from '../ports.ts';
import type { Evidence } from './plan.ts';

async function inventories(store: Store, keys: Keys, certificates: Certificates): Promise<Map<NodeName, Inventory | string>> {
  const { entries } = await store.list(keys.machines);
  const asked = entries.map(async (entry): Promise<[NodeName, Inventory | string]> => {
    const { value, problem } = decodeMachine(entry);
    if (problem !== null) return [entry.key.slice(keys.machines.length), problem];
    return [value.node, await fetchInventory(value, certificates).catch((error: unknown) => messageOf(error))];
  });
  return new Map(await Promise.all(asked));
}

async function configs(store: Store, keys: Keys): Promise<Map<VolumeUid, StoredConfig>> {
  const byKey = async (prefix: string) => new Map((await store.list(prefix)).entries.map((entry) => [entry.key, entry]));
  // What primaries wrote first: of a later value of the leader's none of it counts, and no write goes over what was not seen.
  const primaries = await byKey(keys.primaries);
  return gatherStoredConfigs(keys, { volumes: await byKey(keys.volumes), primaries });
}

export async function gatherEvidence(store: Store, keys: Keys, api: KubeApi, certificates: Certificates): Promise<Evidence> {
  const all = async <Object extends KubeObject>(resource: 'volumes' | 'snapshots' | 'storagenodes') =>
    (await api.list<Object>(collectionPath(resource))).items;
  const nodes = await all<StorageNodeObject>('storagenodes');
  const records = (await store.list(keys.snapshots)).entries.map(({ key }) => key.split('/').at(-1) ?? '');
  return {
    inventories: await inventories(store, keys, certificates),
    expected: new Set(nodes.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(({ metadata }) => metadata.name)),
    volumes: await all<VolumeObject>('volumes'),
    snapshots: await all<SnapshotObject>('snapshots'),
    configs: await configs(store, keys),
    recorded: new Set(records),
  };
}
