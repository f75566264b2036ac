/** A cluster of real operators, etcd and kube-apiserver with simulated agents, and what a run asks of it. Must never leave anything running. */

import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3, type Watcher } from 'etcd3';
import type { VolumeConfig } from '../../core/config.ts';
import { isOperatingError } from '../../core/errors.ts';
import { configInForce, recorderOf } from '../../core/inForce.ts';
import { keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import type { Entry, View } from '../../core/store.ts';
import { connectStore, type StoreConnection } from '../../edge/etcd/connect.ts';
import { KubeConnection } from '../../edge/kube/connection.ts';
import { type Certificates, loadCertificates } from '../../edge/tls.ts';
import { API_VERSION, collectionPath, objectPath, type VolumeObject } from '../../operator/api.ts';
import { HttpKubeApi } from '../../operator/edge/kubeApi.ts';
import { type Cluster, startCluster } from '../../tools/local/cluster.ts';
import { CLUSTER_NAME } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { Fleet } from './fleet.ts';
import { Instruments, sumOf } from './instruments.ts';
import { planNodes, type ScaleSettings, type VolumePlan } from './plan.ts';

export const REPLACE_AFTER_SECONDS = 30;
const CALLS_AT_ONCE = 24;
const CALL_MS = 60_000;
const OUR_LEASE_SECONDS = 10;
export const KEYS = keysOf(CLUSTER_NAME);

type Parts = { directory: string; cluster: Cluster; certificates: Certificates; kube: KubeConnection; connection: StoreConnection };

/** A config in force, and of which entries. */
type Parsed = { leaders: { entry: Entry; config: VolumeConfig }; record: Entry | undefined; config: VolumeConfig };

export class World {
  readonly cluster: Cluster;
  readonly fleet: Fleet;
  readonly instruments: Instruments;
  readonly api: HttpKubeApi;
  readonly #parts: Parts;
  readonly #volumes: View;
  readonly #primaries: View;
  readonly #client: Etcd3;
  readonly #parsed = new Map<string, Parsed>();

  private constructor(parts: Parts, settings: ScaleSettings) {
    const { cluster, kube, connection } = parts;
    this.#parts = parts;
    this.cluster = cluster;
    this.api = new HttpKubeApi(kube);
    this.instruments = new Instruments(cluster, kube);
    this.#volumes = connection.store.view(KEYS.volumes, () => undefined);
    this.#primaries = connection.store.view(KEYS.primaries, () => undefined);
    const { endpoints, tls } = cluster.etcd;
    const credentials = { rootCertificate: readFileSync(tls.ca), certChain: readFileSync(tls.cert), privateKey: readFileSync(tls.key) };
    this.#client = new Etcd3({ hosts: endpoints, credentials });
    this.fleet = new Fleet(planNodes(settings), settings, cluster.etcd);
  }

  static async open(settings: ScaleSettings, say: (line: string) => void): Promise<World> {
    const directory = await mkdtemp(path.join(tmpdir(), 'hf-scale-'));
    const environment = {
      REPLACE_AFTER_SECONDS: String(REPLACE_AFTER_SECONDS),
      ...(settings.operatorNodeOptions === '' ? {} : { NODE_OPTIONS: settings.operatorNodeOptions }),
    };
    const cluster = await startCluster({ directory: path.join(directory, 'c'), nodes: 0, operators: 2, operatorEnvironment: environment });
    const certificates = await loadCertificates(cluster.etcd.tls, silentLog);
    const connection = connectStore({ endpoints: cluster.etcd.endpoints, certificates, leaseTtlSeconds: OUR_LEASE_SECONDS }, silentLog);
    say(`${settings.nodes} nodes, ${settings.volumes} volumes; in ${directory}`);
    return new World({ directory, cluster, certificates, connection, kube: new KubeConnection(cluster.kubeconfig) }, settings);
  }

  async close(): Promise<void> {
    const { directory, cluster, certificates, kube, connection } = this.#parts;
    this.fleet.stop();
    this.#client.close();
    await connection.close();
    certificates.close();
    await kube.close();
    await cluster.stop();
    await rm(directory, { recursive: true, force: true });
  }

  /** Name of the operator that leads; waits until one does. */
  leader(): Promise<string> {
    return waitFor('a leader', CALL_MS, async () => {
      const record = await this.#client.get(KEYS.leader).string();
      const holder = record === null ? '' : (JSON.parse(record) as { holder: string }).holder;
      return holder === '' ? { reason: 'nobody leads' } : { value: holder.split('_')[0] ?? '' };
    });
  }

  async create(volume: VolumePlan): Promise<void> {
    const { name, size, attachTo, nodeSelector } = volume;
    const spec = { size, ...(attachTo === '' ? {} : { attachTo }), ...(nodeSelector === null ? {} : { placement: { nodeSelector } }) };
    const object = { apiVersion: API_VERSION, kind: 'Volume', metadata: { name }, spec };
    await this.api.create(collectionPath('volumes'), object as unknown as VolumeObject, CALL_MS);
  }

  async attach(name: string, node: string): Promise<void> {
    for (;;) {
      const object = await this.api.get<VolumeObject>(objectPath('volumes', name), CALL_MS);
      if (object === null) throw new Error(`${name} is not there`);
      try {
        await this.api.replace(objectPath('volumes', name), { ...object, spec: { ...object.spec, attachTo: node } }, CALL_MS);
        return;
      } catch (error) {
        if (!isOperatingError(error, 'Conflict')) throw error;
      }
    }
  }

  /** As the leader counts them. */
  async count(metric: string, word: string): Promise<number> {
    return sumOf(await this.instruments.operator(await this.leader()), metric, word);
  }

  /** Whether people see all of them as healthy. */
  async areShownHealthy(): Promise<boolean> {
    const response = await this.#parts.kube.send(
      'GET',
      `${collectionPath('volumes')}?fieldSelector=${encodeURIComponent('status.phase!=Healthy')}&limit=1`,
      undefined,
      AbortSignal.timeout(CALL_MS),
    );
    return (JSON.parse(await response.body.text()) as { items: unknown[] }).items.length === 0;
  }

  get configCount(): number {
    return this.#volumes.entries.size;
  }

  configs(): VolumeConfig[] {
    return [...this.#volumes.entries.keys()].map((key) => this.#configAt(key));
  }

  config(uid: string): VolumeConfig {
    return this.#configAt(`${KEYS.volumes}${uid}`);
  }

  hasConfigNamed(name: string): boolean {
    for (const { value } of this.#volumes.entries.values()) if (value.includes(`"name":"${name}"`)) return true;
    return false;
  }

  #configAt(key: string): VolumeConfig {
    const entry = this.#volumes.entries.get(key);
    if (entry === undefined) throw new Error(`${key} is gone`);
    const known = this.#parsed.get(key);
    const leaders = known?.leaders.entry === entry ? known.leaders : { entry, config: JSON.parse(entry.value) as VolumeConfig };
    const recorder = recorderOf(leaders.config);
    const record = recorder === null ? undefined : this.#primaries.entries.get(KEYS.primary(recorder, leaders.config.uid));
    if (known?.leaders === leaders && known.record === record) return known.config;
    const { config } = configInForce(KEYS, leaders, () => record ?? null);
    this.#parsed.set(key, { leaders, record, config });
    return config;
  }

  /** How often each kind of key of ours is changed, until the returned function is called. */
  async countChanges(): Promise<{ counts: Map<string, number>; stop: () => Promise<void> }> {
    const counts = new Map<string, number>();
    const watcher: Watcher = await this.#client.watch().prefix(KEYS.root).create();
    watcher.on('data', ({ events }) => {
      for (const { kv } of events) {
        const kind = kv.key.toString().slice(KEYS.root.length).split('/')[0] ?? '';
        counts.set(kind, (counts.get(kind) ?? 0) + 1);
      }
    });
    return { counts, stop: () => watcher.cancel() };
  }

  /** Until nothing of ours was changed in etcd for a while. */
  async untilQuiet(quietMs: number, boundMs: number): Promise<void> {
    const { counts, stop } = await this.countChanges();
    await waitFor('quiet', boundMs, async () => {
      counts.clear();
      await sleep(quietMs);
      return counts.size === 0 ? { value: true } : { reason: `changed: ${[...counts].map((one) => one.join(' ')).join(', ')}` };
    });
    await stop();
  }
}

export async function inTurn<Value>(
  values: readonly Value[],
  work: (value: Value) => Promise<void>,
  atOnce = CALLS_AT_ONCE,
): Promise<void> {
  const left = [...values];
  const worker = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
