/**
 * A whole local cluster for a file of end-to-end tests, and what its tests do with it: as a user would, through kubectl and NBD clients. Looks into
 * pools and etcd only to see what is left there.
 */
import { globSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import type { Entry } from '../../core/store.ts';
import { SPOIL_FREED_MEMORY } from '../../core/wire/spoil.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { loadCertificates } from '../../edge/tls.ts';
import type { VolumeSpec } from '../../operator/generated/volume.ts';
import { run } from '../../tools/demo/run.ts';
import { DemoVolume } from '../../tools/demo/volume.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../../tools/local/cluster.ts';
import type { NodeOptions } from '../../tools/local/launches.ts';
import { CLUSTER_NAME, DEFAULT_POOL, operatorProcess, type ProcessName, poolDirectory, runDirectory } from '../../tools/local/layout.ts';
import { findProcesses } from '../../tools/local/processes.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { Writer } from './writer.ts';

export const HEALTHY_BOUND_MS = 10_000;
/** From the death of a primary to I/O elsewhere. */
export const FAILOVER_BOUND_MS = 15_000;
/** A killed leader's Lease runs out before the next one leads, and only then moves anything. */
export const LEADER_BOUND_MS = 20_000;
export const RETURN_BOUND_MS = 60_000;
/** The very first start on a machine builds etcd and kube-apiserver. */
export const START_BOUND_MS = 20 * 60_000;
const GONE_BOUND_MS = 20_000;

export const address = (socket: string): string => `nbd+unix:///?socket=${socket}`;

/** qemu-io with these commands; fails if one of them does. */
export const qemuIo = (socket: string, ...commands: string[]): Promise<string> =>
  run('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), `nbd:unix:${socket}`);

/** `parent`: where all of it lies, pools included; left out, where temporary files do. */
export type WorldOptions = { parent?: string } & Pick<
  ClusterOptions,
  'operatorEnvironment' | 'etcdMembers' | 'etcdFlags' | 'hasApiServerEtcd' | 'hasEtcdAccounts' | 'sources'
>;

export class World {
  readonly directory: string;
  readonly cluster: Cluster;
  #volumes = 0;

  private constructor(directory: string, cluster: Cluster) {
    this.directory = directory;
    this.cluster = cluster;
  }

  static async open(
    nodes: number,
    nodeOptions?: (node: string) => NodeOptions,
    { parent = tmpdir(), ...rest }: WorldOptions = {},
  ): Promise<World> {
    const directory = mkdtempSync(path.join(parent, 'hf-e2e-'));
    const spoiling = (node: string): NodeOptions => {
      const options = nodeOptions?.(node);
      return { ...options, environment: { ...SPOIL_FREED_MEMORY, ...options?.environment } };
    };
    const options = { directory: path.join(directory, 'c'), nodes, operators: 2, ...rest, nodeOptions: spoiling };
    const cluster = await startCluster(options);
    return new World(directory, cluster);
  }

  async close(): Promise<void> {
    await this.cluster.stop();
    const left = findProcesses(this.directory);
    rmSync(this.directory, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`processes are left: ${left.join(', ')}`);
  }

  /** What to show when something did not happen: the end of every program's log. */
  get logs(): string {
    return this.cluster.processes.map((process) => process.logTail()).join('\n');
  }

  newVolume(): DemoVolume {
    this.#volumes++;
    return new DemoVolume(this.cluster.kubectl, `volume-${this.#volumes}`);
  }

  /** A new volume that is Healthy, perhaps attached. */
  async volume(size: string, replicas: number, node = '', spec: Partial<VolumeSpec> = {}): Promise<{ volume: DemoVolume; socket: string }> {
    const volume = this.newVolume();
    await volume.create(size, replicas, node === '' ? spec : { ...spec, attachTo: node });
    const socket = node === '' ? '' : await volume.untilServedBy(node, HEALTHY_BOUND_MS);
    await volume.untilHealthy(replicas, HEALTHY_BOUND_MS);
    return { volume, socket };
  }

  /** Goes to whichever node serves it. */
  writer(volume: DemoVolume): Writer {
    return new Writer(
      volume.name,
      this.cluster.nodes.map((node) => this.cluster.socket(node, volume.name)),
    );
  }

  async detach(volume: DemoVolume): Promise<void> {
    await volume.attachTo('');
    await volume.until('detached', HEALTHY_BOUND_MS, (status) => !status.attachment && !status.primary);
  }

  replicasDirectory(node: string): string {
    return path.join(poolDirectory(this.cluster.directory, node, DEFAULT_POOL), 'replicas');
  }

  /** The directory of the volume's replica on that node. */
  async replicaOn(node: string, volume: DemoVolume): Promise<string> {
    const replica = (await volume.status()).replicas?.find((each) => each.node === node);
    if (replica === undefined) throw new Error(`${volume.name} has no replica on ${node}`);
    return path.join(this.replicasDirectory(node), replica.name);
  }

  async leader(): Promise<ProcessName> {
    const lease = await this.cluster.kubectl(['get', 'leases', '-n', 'holdfast-system', '-o', 'jsonpath={.items[*].spec.holderIdentity}']);
    const names = this.cluster.operators.filter((name) => lease.includes(name));
    const [name] = names;
    if (name === undefined || names.length > 1) throw new Error(`not one operator leads, the Leases are held by: ${lease}`);
    return operatorProcess(name);
  }

  /** Deletes it and waits until no file, no key and no object speaks of any volume any more: for when it is the only one. */
  async deleteLast(volume: DemoVolume): Promise<void> {
    await volume.delete();
    await waitFor('nothing to be left of it', GONE_BOUND_MS, async () => {
      const left = [...this.#files(), ...(await this.volumeKeys()), ...(await this.#objects())];
      return left.length === 0 ? { value: true } : { reason: `there are still ${left.join(', ')}` };
    });
  }

  #files(): string[] {
    return this.cluster.nodes.flatMap((node) => [
      ...readdirSync(this.replicasDirectory(node)).map((replica) => `${node}: replica ${replica}`),
      ...globSync('*.sock', { cwd: runDirectory(this.cluster.directory, node) }).map((socket) => `${node}: ${socket}`),
    ]);
  }

  async #objects(): Promise<string[]> {
    return (await this.cluster.kubectl(['get', 'volumes.holdfast.dev', '-o', 'name'])).split('\n').filter((name) => name !== '');
  }

  /** Every key in etcd that is about a volume. */
  async volumeKeys(): Promise<string[]> {
    const keys = keysOf(CLUSTER_NAME);
    const lasting = [keys.leader, keys.settings, keys.schema, keys.machines, keys.deleted];
    return (await this.stored()).map(({ key }) => key).filter((key) => !lasting.some((prefix) => key.startsWith(prefix)));
  }

  /** All that etcd holds of this cluster. */
  async stored(): Promise<readonly Entry[]> {
    const { endpoints, tls } = this.cluster.etcd;
    const certificates = await loadCertificates(tls, silentLog);
    const connection = connectStore({ endpoints, certificates, leaseTtlSeconds: 5 }, silentLog);
    try {
      return (await connection.store.list(keysOf(CLUSTER_NAME).root)).entries;
    } finally {
      await connection.close();
      certificates.close();
    }
  }
}

/** Prints the logs of the world after each test that failed: in a world that is gone a minute later, they are all there is. */
export function showLogsOfFailures(world: () => World | undefined): void {
  afterEach(function () {
    if (this.currentTest?.state === 'failed') process.stdout.write(`${this.currentTest.title}\n${world()?.logs ?? ''}`);
  });
}
