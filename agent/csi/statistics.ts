/** How full a volume is, how it is, and growing it where it is used. */
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { NodeService } from '../../edge/csi/generated/csi.ts';
import type { Call, Device, NodePorts } from './ports.ts';

type Statistics = Pick<NodeService<Call>, 'nodeGetVolumeStats' | 'nodeExpandVolume'>;

export class CsiStatistics implements Statistics {
  readonly #ports: NodePorts;

  constructor(ports: NodePorts) {
    this.#ports = ports;
  }

  nodeGetVolumeStats: Statistics['nodeGetVolumeStats'] = async ({ volumeId: name, volumePath: path }) => {
    this.#check(name, path);
    const { mounts, served, node } = this.#ports;
    const { device, kind } = await this.#used(name, path);
    const here = served.find(name);
    const message = device.failed
      ? 'the volume is served elsewhere by now'
      : here === null
        ? `not served on ${node} at this moment`
        : (here.trouble ?? `served on ${node}`);
    const volumeCondition = { abnormal: device.failed || here === null || here.trouble !== null, message };
    if (kind === 'device') return { usage: [{ unit: 'BYTES', total: device.sizeBytes }], volumeCondition };
    // A file system that hangs must not hang whoever asks how it is.
    if (volumeCondition.abnormal) return { usage: [], volumeCondition };
    const { totalBytes, availableBytes, usedBytes, totalInodes, availableInodes, usedInodes } = await mounts.usage(path);
    const bytes = { unit: 'BYTES', total: totalBytes, available: availableBytes, used: usedBytes } as const;
    const inodes = { unit: 'INODES', total: totalInodes, available: availableInodes, used: usedInodes } as const;
    return { usage: [bytes, inodes], volumeCondition };
  };

  nodeExpandVolume: Statistics['nodeExpandVolume'] = async ({ volumeId: name, volumePath: path, capacityRange }) => {
    this.#check(name, path);
    const { holder, mounts, served, node } = this.#ports;
    const { kind } = await this.#used(name, path);
    const here = served.find(name);
    if (here === null) throw new CsiError('Unavailable', `the volume ${name} is not served on ${node} at this moment; ask again`);
    const wantedBytes = capacityRange?.requiredBytes ?? 0;
    if (here.sizeBytes < wantedBytes)
      throw new CsiError('Unavailable', `the volume ${name} has ${here.sizeBytes} bytes and still grows to ${wantedBytes}; ask again`);
    const grown = await holder.resize(name, here.sizeBytes);
    if (kind === 'directory') await mounts.grow(grown.device, path, mounts.typeAt(path) ?? '');
    return { capacityBytes: grown.sizeBytes };
  };

  /** A directory that is left when the volume is gone from it tells of the machine's own file system. */
  async #used(name: string, path: string): Promise<{ device: Device; kind: 'directory' | 'device' }> {
    const { holder, mounts } = this.#ports;
    const device = await holder.find(name);
    const kind = mounts.kind(path);
    const isHere = kind === 'device' || (kind === 'directory' && mounts.at(path)?.source === device?.device);
    if (device !== null && isHere) return { device, kind };
    throw new CsiError('NotFound', `the volume ${name} is not used at ${path}`);
  }

  #check(name: string, path: string): void {
    const problems = [...(name === '' ? ['volume_id: must be given'] : []), ...(path === '' ? ['volume_path: must be given'] : [])];
    if (problems.length > 0) throw invalid(problems);
  }
}
