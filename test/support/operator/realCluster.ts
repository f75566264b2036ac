/** The real operators over real etcd and kube-apiserver, with agents that only the test plays: they keep no bytes, each has an etcd lease of its own. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { VolumeConfig } from '../../../core/config.ts';
import { newInstanceId } from '../../../core/ids.ts';
import { type Keys, keysOf } from '../../../core/keys.ts';
import { silentLog } from '../../../core/log.ts';
import { systemRandom } from '../../../core/random.ts';
import type { Store } from '../../../core/store.ts';
import { connectStore, type StoreConnection } from '../../../edge/etcd/connect.ts';
import { type Certificates, loadCertificates } from '../../../edge/tls.ts';
import type { VolumeObject } from '../../../operator/api.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../../../tools/local/cluster.ts';
import { configsIn } from '../configsInStore.ts';
import { until } from '../until.ts';
import { machine } from './builders.ts';
import { FakeAgent, FakeDisks } from './fakeAgent.ts';

const TICK_MS = 100;
const AGENT_LEASE_SECONDS = 3;
/** etcd and the API server may be built for the first time. */
export const FIRST_START_MS = 20 * 60_000;

type Played = { agent: FakeAgent; connection: StoreConnection; timer: NodeJS.Timeout; ticking: Promise<void> };

export class RealCluster {
  readonly cluster: Cluster;
  readonly keys: Keys = keysOf('local');
  readonly disks = new FakeDisks();
  readonly #parent: string;
  readonly #certificates: Certificates;
  readonly #connection: StoreConnection;
  readonly #played = new Map<string, Played>();
  readonly #peers = new Map<string, FakeAgent>();

  constructor(parent: string, cluster: Cluster, certificates: Certificates) {
    this.#parent = parent;
    this.cluster = cluster;
    this.#certificates = certificates;
    this.#connection = this.#connect();
  }

  static async start(options: Pick<ClusterOptions, 'operators' | 'operatorEnvironment' | 'operatorRoute'>): Promise<RealCluster> {
    const parent = await mkdtemp(path.join(tmpdir(), 'hf-'));
    const cluster = await startCluster({ directory: path.join(parent, 'c'), nodes: 0, ...options });
    return new RealCluster(parent, cluster, await loadCertificates(cluster.etcd.tls, silentLog));
  }

  async stop(): Promise<void> {
    for (const letter of [...this.#played.keys()]) await this.kill(letter);
    await this.#connection.close();
    this.#certificates.close();
    await this.cluster.stop();
    await rm(this.#parent, { recursive: true, force: true });
  }

  get store(): Store {
    return this.#connection.store;
  }

  #connect(): StoreConnection {
    return connectStore(
      { endpoints: this.cluster.etcd.endpoints, certificates: this.#certificates, leaseTtlSeconds: AGENT_LEASE_SECONDS },
      silentLog,
    );
  }

  /** Starts the agent of a node, as a new instance. */
  play(letter: string, change: Parameters<typeof machine>[1] = {}): FakeAgent {
    const connection = this.#connect();
    const state = machine(letter, { instance: newInstanceId(systemRandom), ...change });
    const agent = new FakeAgent({ store: connection.store, keys: this.keys, machine: state, disks: this.disks, peers: this.#peers });
    const played: Played = { agent, connection, timer: setInterval(() => this.#tick(played), TICK_MS), ticking: Promise.resolve() };
    this.#played.set(letter, played);
    this.#peers.set(agent.node, agent);
    return agent;
  }

  #isTicking = new Set<Played>();
  #tick(played: Played): void {
    if (this.#isTicking.has(played)) return;
    this.#isTicking.add(played);
    played.ticking = played.agent.tick().finally(() => this.#isTicking.delete(played));
  }

  /** The process is gone, and its keys with its lease. */
  async kill(letter: string): Promise<void> {
    const played = this.#played.get(letter);
    if (!played) return;
    played.agent.isRunning = false;
    clearInterval(played.timer);
    this.#played.delete(letter);
    await played.ticking;
    await played.connection.lease.revoke().catch(() => undefined);
    await played.connection.close();
  }

  agent(letter: string): FakeAgent {
    const played = this.#played.get(letter);
    if (!played) throw new Error(`the agent of node-${letter} does not run`);
    return played.agent;
  }

  // What people do.

  async create(name: string, spec: object): Promise<void> {
    await this.cluster.kubectl(
      ['create', '-f', '-'],
      JSON.stringify({ apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata: { name }, spec }),
    );
  }

  async change(name: string, spec: object): Promise<void> {
    await this.cluster.kubectl(['patch', 'hv', name, '--type=merge', '-p', JSON.stringify({ spec })]);
  }

  async volume(name: string): Promise<VolumeObject | null> {
    const text = await this.cluster.kubectl(['get', 'hv', name, '--ignore-not-found', '-o', 'json']);
    return text.trim() === '' ? null : (JSON.parse(text) as VolumeObject);
  }

  async untilPhase(name: string, phase: string, boundMs = 30_000): Promise<VolumeObject> {
    const look = async (): Promise<VolumeObject | null> => {
      const volume = await this.volume(name);
      return volume?.status?.phase === phase ? volume : null;
    };
    try {
      return await until(`${name} is ${phase}`, look, boundMs);
    } catch (error) {
      const volume = await this.volume(name);
      throw new Error(`${name} is not ${phase} but ${JSON.stringify(volume?.status)}`, { cause: error });
    }
  }

  async reasons(name: string): Promise<string[]> {
    const text = await this.cluster.kubectl(['get', 'events.events.k8s.io', '-n', 'default', '-o', 'json']);
    const { items } = JSON.parse(text) as { items: { reason: string; regarding: { name: string } }[] };
    return items.filter(({ regarding }) => regarding.name === name).map(({ reason }) => reason);
  }

  // What stands in etcd.

  async config(name: string): Promise<VolumeConfig | null> {
    const found = await configsIn(this.store, this.keys);
    return found.find(({ config }) => config.name === name)?.config ?? null;
  }

  /** All keys but those of machines, the leader, settings, and that volumes were deleted. */
  async keysLeft(): Promise<string[]> {
    const { entries } = await this.store.list(this.keys.root);
    const kept = [this.keys.machines, this.keys.leader, this.keys.settings, this.keys.schema, this.keys.deleted];
    return entries.map(({ key }) => key).filter((key) => !kept.some((prefix) => key.startsWith(prefix)));
  }

  async generation(): Promise<number> {
    const entry = await this.store.get(this.keys.leader);
    return entry ? (JSON.parse(entry.value) as { generation: number }).generation : 0;
  }

  /** The value of a metric without labels; null: no answer, or no such metric. */
  async metric(operator: string, name: string): Promise<number | null> {
    const text = await fetchText(`${this.cluster.url(`operator/${operator}`)}/metrics`, this.cluster.administrator);
    const line = text?.split('\n').find((one) => one.startsWith(`${name} `));
    return line === undefined ? null : Number(line.split(' ')[1]);
  }

  async leaders(): Promise<string[]> {
    const found: string[] = [];
    for (const operator of this.cluster.operators) if ((await this.metric(operator, 'holdfast_leader_count')) === 1) found.push(operator);
    return found;
  }

  /** The only one that leads. */
  async leader(boundMs = 20_000): Promise<string> {
    return until(
      'one operator leads',
      async () => {
        const leaders = await this.leaders();
        return leaders.length === 1 ? leaders[0] : null;
      },
      boundMs,
    );
  }
}

export function fetchText(url: string, { ca, cert, key }: { ca: string; cert: string; key: string }): Promise<string | null> {
  return new Promise((resolve) => {
    const options = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key), agent: false as const, timeout: 2_000 };
    const call = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => resolve(null));
      response.on('end', () => resolve(Buffer.concat(chunks).toString()));
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(null));
    call.end();
  });
}
