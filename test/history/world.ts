/**
 * A local cluster with relays between its processes, its volumes, and what etcd says of who serves them. Decides nothing about faults.
 */
import path from 'node:path';
import { volumeUid } from '../../core/ids.ts';
import { keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import type { Store } from '../../core/store.ts';
import { SPOIL_FREED_MEMORY } from '../../core/wire/spoil.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { loadCertificates } from '../../edge/tls.ts';
import { DemoVolume } from '../../tools/demo/volume.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../../tools/local/cluster.ts';
import { agentProcess, CLUSTER_NAME, etcdProcess, nodeNames } from '../../tools/local/layout.ts';
import { findFreePort } from '../../tools/local/ports.ts';
import { readRecord } from '../../tools/local/record.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { type Endpoint, LISTEN_HOST, Relays } from './relays.ts';

/** Nobody counts them before they are looked at, nor after they are gone; between, what is short here makes many failovers in little time. */
const SETTINGS = { heartbeatMs: 200, replicaTimeoutMs: 1_200, ioTimeoutMs: 8_000 };
const CONNECTION_LEASE_SECONDS = 5;
const LOOK_MS = 100;
const MADE_BOUND_MS = 30_000;
export const REPLICAS = 3;

export type WorldOptions = {
  directory: string;
  nodes: number;
  sources: string;
  leaseMs: number;
  /** Left out: one. */
  etcdMembers?: number;
  /** Of agents, beside what relays need. */
  agentEnvironment?: (node: string) => Record<string, string>;
  onProgress: NonNullable<ClusterOptions['onProgress']>;
};

export type HistoryVolume = { name: string; uid: string; salt: number; resource: DemoVolume };

export class HistoryWorld {
  readonly cluster: Cluster;
  readonly relays: Relays;
  readonly #store: Store;
  readonly #close: () => Promise<void>;
  readonly #looking: NodeJS.Timeout;
  #isLooking = false;

  private constructor(cluster: Cluster, relays: Relays, connection: { store: Store; close: () => Promise<void> }) {
    this.cluster = cluster;
    this.relays = relays;
    this.#store = connection.store;
    this.#close = connection.close;
    this.#looking = setInterval(() => void this.#follow(), LOOK_MS);
  }

  static async open({
    directory,
    nodes,
    sources,
    leaseMs,
    onProgress,
    etcdMembers = 1,
    agentEnvironment,
  }: WorldOptions): Promise<HistoryWorld> {
    let cluster: Cluster | null = null;
    const names = nodeNames(nodes);
    const relays = new Relays(names, (node) => cluster?.process(agentProcess(node)).pid);
    const etcdPorts = new Map<string, number[]>();
    const etcd = (member: number) => (): Endpoint | null => portOf(readRecord(directory).ports[`${etcdProcess(member)}/client`]);
    for (const node of names) {
      const ports: number[] = [];
      etcdPorts.set(node, ports);
      for (let member = 0; member < etcdMembers; member++) {
        const port = await findFreePort(new Set([...etcdPorts.values()].flat()));
        ports.push(port);
        await relays.listen({ host: LISTEN_HOST, port }, node, 'etcd', etcd(member));
      }
    }
    cluster = await startCluster({
      ...{ directory, nodes, operators: 2, etcdMembers, sources, onProgress },
      operatorEnvironment: { SETTINGS: JSON.stringify({ ...SETTINGS, leaseMs }) },
      nodeOptions: (node) => ({
        environment: {
          ADVERTISE_ADDRESS: `127.0.1.${names.indexOf(node) + 1}`,
          ETCD_ENDPOINTS: (etcdPorts.get(node) ?? []).map((port) => `https://${LISTEN_HOST}:${port}`).join(','),
          ...SPOIL_FREED_MEMORY,
          ...agentEnvironment?.(node),
        },
      }),
    });
    const connection = await connectTo(cluster);
    const world = new HistoryWorld(cluster, relays, connection);
    await world.#follow();
    return world;
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    await this.#close();
    await this.cluster.stop();
    this.relays.close();
  }

  async volume(name: string, salt: number, bytes: number, attachTo: string, boundMs = MADE_BOUND_MS): Promise<HistoryVolume> {
    const resource = new DemoVolume(this.cluster.kubectl, name);
    await resource.create(String(bytes), REPLICAS, { attachTo });
    await resource.untilServedBy(attachTo, boundMs);
    await resource.untilHealthy(REPLICAS, boundMs);
    const uid = await this.cluster.kubectl(['get', 'volume', name, '--output', 'jsonpath={.metadata.uid}']);
    return { name, uid: uid.trim(), salt, resource };
  }

  /** The node whose agent says that it serves the volume; null while nobody does, or etcd does not answer. */
  async servedBy(volume: HistoryVolume): Promise<string | null> {
    const entry = await this.#store.get(keysOf(CLUSTER_NAME).servingOf(volumeUid(volume.uid))).catch(() => null);
    const report = entry === null ? null : (JSON.parse(entry.value) as { node: string; state: string; socket: string | null });
    return report !== null && report.socket !== null && report.state === 'serving' ? report.node : null;
  }

  /** Of those that hold a replica in sync; by its config. */
  async holders(volume: HistoryVolume): Promise<string[]> {
    return (await volume.resource.status()).replicas?.map(({ node }) => node) ?? [];
  }

  untilServedBy(volume: HistoryVolume, node: string, boundMs: number): Promise<void> {
    return waitFor(`${volume.name} served by ${node}`, boundMs, async () => {
      const found = await this.servedBy(volume);
      return found === node ? { value: undefined } : { reason: `it is served by ${found ?? 'nobody'}` };
    });
  }

  get store(): Store {
    return this.#store;
  }

  socketsOf(volume: string): string[] {
    return this.cluster.nodes.map((node) => this.cluster.socket(node, volume));
  }

  logFiles(): string[] {
    return this.cluster.processes.map(({ logFile }) => path.relative(this.cluster.directory, logFile));
  }

  /** A relay wherever an agent says that it is reached. */
  async #follow(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const { entries } = await this.#store.list(keysOf(CLUSTER_NAME).machines);
      for (const { value } of entries) await this.#relayTo(value);
    } catch {
      return; // etcd is down: what is known stays
    } finally {
      this.#isLooking = false;
    }
  }

  async #relayTo(machine: string): Promise<void> {
    const { node, addresses, pools } = JSON.parse(machine) as {
      node: string;
      addresses?: { replication?: string };
      pools?: { address?: string }[];
    };
    for (const address of [addresses?.replication, ...(pools ?? []).map((pool) => pool.address)]) {
      const [, host, port] = /^(127\.0\.1\.\d+):(\d+)$/.exec(address ?? '') ?? [];
      if (host === undefined) continue;
      await this.relays.listen({ host, port: Number(port) }, null, node, () => ({ host: LISTEN_HOST, port: Number(port) }));
    }
  }
}

const portOf = (port: number | undefined): Endpoint | null => (port === undefined ? null : { host: LISTEN_HOST, port });

async function connectTo(cluster: Cluster): Promise<{ store: Store; close: () => Promise<void> }> {
  const { endpoints, tls } = cluster.etcd;
  const certificates = await loadCertificates(tls, silentLog);
  const connection = connectStore({ endpoints, certificates, leaseTtlSeconds: CONNECTION_LEASE_SECONDS }, silentLog);
  const close = async (): Promise<void> => {
    await connection.close();
    certificates.close();
  };
  return { store: connection.store, close };
}
