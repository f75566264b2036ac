/**
 * The command that rebuilds a lost store: `node operator/recover/main.ts [--apply] [--without NODE]... [--accept-loss VOLUME]...`, with the operator's environment.
 * Wiring in reading order. Without --apply nothing is written; what is written are configs (with their pointers) and snapshots' records that are not there, each
 * in a transaction that compares what the plan was made of. A crash in between leaves some of them, and the command is run again.
 *
 * Exit codes: 0 all is rebuilt or sound, 1 something is refused or missing (or, without --apply, would be written), 2 configuration.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { VolumeConfig } from '../../core/config.ts';
import { messageOf } from '../../core/errors.ts';
import { type NodeName, snapshotUid, type VolumeUid } from '../../core/ids.ts';
import type { Inventory } from '../../core/inventory.ts';
import { type Keys, keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import { ConfigurationError, describeProblems } from '../../core/parameters.ts';
import type { Store } from '../../core/store.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { type Certificates, loadCertificates } from '../../edge/tls.ts';
import { collectionPath, type KubeObject, type SnapshotObject, type StorageNodeObject, type VolumeObject } from '../api.ts';
import { fetchInventory } from '../edge/inventories.ts';
import { HttpKubeApi } from '../edge/kubeApi.ts';
import { KubeConnection } from '../edge/kubeConnection.ts';
import { decodeConfig, decodeMachine } from '../observe/decode.ts';
import type { Stored } from '../observe/observed.ts';
import type { KubeApi } from '../ports.ts';
import { operatorSettings } from '../settings.ts';
import { configPart } from '../volume/decision.ts';
import { describePlan, type Evidence, isIncomplete, type Plan, planRecovery } from './plan.ts';

const ETCD_LEASE_SECONDS = 10;
const EXIT_CONFIGURATION = 2;

async function inventories(store: Store, keys: Keys, certificates: Certificates): Promise<Map<NodeName, Inventory | string>> {
  const { entries } = await store.list(keys.machines);
  const asked = entries.map(async (entry): Promise<[NodeName, Inventory | string]> => {
    const { value, problem } = decodeMachine(entry);
    if (problem !== null) return [entry.key.slice(keys.machines.length), problem];
    return [value.node, await fetchInventory(value, certificates).catch((error: unknown) => messageOf(error))];
  });
  return new Map(await Promise.all(asked));
}

async function configs(store: Store, keys: Keys): Promise<Map<VolumeUid, Stored<VolumeConfig>>> {
  const { entries } = await store.list(keys.volumes);
  const found = entries.flatMap((entry): [VolumeUid, Stored<VolumeConfig>][] => {
    const { value } = decodeConfig(entry);
    return value ? [[value.uid, { value, key: entry.key, revision: entry.revision }]] : [];
  });
  return new Map(found);
}

async function gather(store: Store, keys: Keys, api: KubeApi, certificates: Certificates): Promise<Evidence> {
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

/** What could not be written, in words. */
async function apply(plan: Plan, store: Store, keys: Keys): Promise<string[]> {
  const problems: string[] = [];
  for (const { verdict, stored, name } of plan.volumes) {
    if (verdict.kind !== 'rebuilt') continue;
    const { conditions, changes } = configPart(keys, stored, verdict.config);
    const { committed } = await store.commit(conditions, changes);
    if (!committed) problems.push(`${name}: somebody else wrote its config meanwhile; run this again`);
  }
  for (const { verdict, object } of plan.snapshots) {
    if (verdict.kind !== 'rebuilt') continue;
    const key = keys.snapshot(verdict.volume, snapshotUid(object.metadata.uid));
    await store.commit([{ key, is: 'absent' }], [{ put: key, value: JSON.stringify(verdict.record) }]);
  }
  return problems;
}

async function recover(): Promise<number> {
  const { values } = parseArgs({
    options: {
      apply: { type: 'boolean', default: false },
      without: { type: 'string', multiple: true, default: [] },
      'accept-loss': { type: 'string', multiple: true, default: [] },
    },
  });
  const { parameters } = operatorSettings(process.env, (path) => readFileSync(path, 'utf8'));
  const certificates = await loadCertificates({ ca: parameters.tlsCa, cert: parameters.tlsCert, key: parameters.tlsKey }, silentLog);
  const connection = connectStore({ endpoints: parameters.etcdEndpoints, certificates, leaseTtlSeconds: ETCD_LEASE_SECONDS }, silentLog);
  const kube = new KubeConnection(parameters.kubeconfig);
  const keys = keysOf(parameters.cluster);
  try {
    const evidence = await gather(connection.store, keys, new HttpKubeApi(kube), certificates);
    const plan = planRecovery(evidence, { without: new Set(values.without), acceptLoss: new Set(values['accept-loss']) });
    const isWritten = values.apply && plan.waitsFor.length === 0;
    process.stdout.write(`${isWritten ? 'recover:' : 'recover, nothing is written:'}\n${describePlan(plan).join('\n')}\n`);
    if (!isWritten) return plan.volumes.every(({ verdict }) => verdict.kind === 'sound') && !isIncomplete(plan) ? 0 : 1;
    const problems = await apply(plan, connection.store, keys);
    process.stdout.write(problems.map((problem) => `  ${problem}\n`).join(''));
    return problems.length > 0 || isIncomplete(plan) ? 1 : 0;
  } finally {
    await kube.close();
    await connection.close();
    certificates.close();
  }
}

try {
  process.exitCode = await recover();
} catch (error) {
  const isConfiguration = error instanceof ConfigurationError;
  const text = isConfiguration ? describeProblems('holdfast-recover', error.problems) : `recover: ${messageOf(error)}`;
  process.stderr.write(`${text}\n`);
  process.exitCode = isConfiguration ? EXIT_CONFIGURATION : 1;
}
