/**
 * A local cluster that can all that CSI asks for: pools on XFS, so that there are snapshots, and an attach holder on each node. Needs root, FUSE and loop devices.
 * Leaves nothing: neither processes nor mounts nor loop devices.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { mountTable } from '../../agent/edge/mountTable.ts';
import { FuseBackend } from '../../agent/holder/edge/fuse.ts';
import { KernelNbdBackend } from '../../agent/holder/edge/kernelNbd.ts';
import { silentLog } from '../../core/log.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../../tools/local/cluster.ts';
import { agentProcess, holderProcess, operatorProcess } from '../../tools/local/layout.ts';
import { stopCluster } from '../../tools/local/stop.ts';
import { runWell } from '../support/nbdServed.ts';
import { XfsDisk } from '../support/xfsDisk.ts';

/** Sparse: only what is written takes room. */
const DISK_BYTES = 200 * 1024 ** 3;

export class CsiCluster {
  readonly cluster: Cluster;
  readonly #disk: XfsDisk;

  private constructor(cluster: Cluster, disk: XfsDisk) {
    this.cluster = cluster;
    this.#disk = disk;
  }

  static async start(options: Partial<Omit<ClusterOptions, 'directory' | 'holders'>> = {}): Promise<CsiCluster> {
    const disk = await XfsDisk.make(DISK_BYTES);
    try {
      const cluster = await startCluster({ nodes: 3, operators: 1, ...options, directory: path.join(disk.directory, 'c'), holders: true });
      return new CsiCluster(cluster, disk);
    } catch (error) {
      await disk.remove();
      throw error;
    }
  }

  /** Where the driver's two services answer, as gRPC writes it. */
  controller(operator = 'operator-0'): string {
    return `unix://${this.cluster.csiSocket(operatorProcess(operator))}`;
  }

  node(node = 'node-a'): string {
    return `unix://${this.cluster.csiSocket(agentProcess(node))}`;
  }

  async stop(): Promise<void> {
    const { directory, nodes } = this.cluster;
    for (const node of nodes) {
      const devices = path.join(directory, holderProcess(node), 'devices');
      if (!existsSync(devices)) continue;
      for (const name of readdirSync(devices)) await clear(path.join(devices, name));
    }
    await stopCluster(directory);
    await this.#disk.remove();
  }
}

/** What a test that broke off left mounted goes first. */
async function clear(directory: string): Promise<void> {
  const record = path.join(directory, 'device.json');
  const device = existsSync(record) ? (JSON.parse(readFileSync(record, 'utf8')) as { device: string }).device : null;
  for (const { source, path: at } of mountTable()) if (source === device) await runWell('umount', '--lazy', at);
  await new FuseBackend().clear(directory);
  await new KernelNbdBackend({ directory: path.dirname(directory), deadConnectionSeconds: 60 }, silentLog).clear(directory);
}
