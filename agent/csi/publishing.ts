/** Publishing: what is staged, bound to where a pod has it. */
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { NodePublishVolumeRequest, NodeService, VolumeCapability } from '../../edge/csi/generated/csi.ts';
import type { Call, Device, Mounted, NodePorts } from './ports.ts';

type Publishing = Pick<NodeService<Call>, 'nodePublishVolume' | 'nodeUnpublishVolume'>;

function problemsOf({ volumeId, targetPath, stagingTargetPath, volumeCapability }: NodePublishVolumeRequest): string[] {
  const problems: string[] = [];
  if (volumeId === '') problems.push('volume_id: must be given');
  if (targetPath === '') problems.push('target_path: must be given');
  if (stagingTargetPath === '') problems.push('staging_target_path: must be given');
  if (volumeCapability === null) problems.push('volume_capability: must be given');
  else if (!volumeCapability.block && !volumeCapability.mount) problems.push('volume_capability: must be block or mount');
  return problems;
}

export class CsiNodePublishing implements Publishing {
  readonly #ports: NodePorts;

  constructor(ports: NodePorts) {
    this.#ports = ports;
  }

  nodePublishVolume: Publishing['nodePublishVolume'] = async (request) => {
    const problems = problemsOf(request);
    const { volumeId: name, targetPath: target, stagingTargetPath: staging, volumeCapability: capability } = request;
    if (problems.length > 0 || capability === null) throw invalid(problems);
    const { holder, mounts, served, node } = this.#ports;
    const device = await holder.find(name);
    if (device === null) throw new CsiError('FailedPrecondition', `the volume ${name} is not staged on ${node}`);
    if (device.failed)
      throw new CsiError('FailedPrecondition', `the volume ${name} is served elsewhere by now: it may not be used on ${node}`);
    if (served.find(name)?.uid !== device.uid)
      throw new CsiError('Unavailable', `the volume ${name} is not served on ${node} at this moment; ask again`);
    const readonly = request.readonly || capability.accessMode?.mode === 'SINGLE_NODE_READER_ONLY';
    const there = mounts.at(target);
    if (there !== null) return this.#same(there, device, capability, readonly);
    const elsewhere = mounts.of(device.device).find(({ path }) => path !== staging && path !== target);
    if (capability.accessMode?.mode === 'SINGLE_NODE_SINGLE_WRITER' && elsewhere)
      throw new CsiError(
        'FailedPrecondition',
        `the volume ${name} is published at ${elsewhere.path}, and only one may have it (ReadWriteOncePod)`,
      );
    if (capability.mount && mounts.at(staging)?.source !== device.device)
      throw new CsiError('FailedPrecondition', `the volume ${name} is not staged at ${staging}`);
    if (capability.mount) mounts.makeDirectory(target);
    else mounts.makeFile(target);
    await mounts.bind(capability.mount ? staging : device.device, target, readonly);
    return {};
  };

  nodeUnpublishVolume: Publishing['nodeUnpublishVolume'] = async ({ volumeId: name, targetPath: target }) => {
    const problems = [...(name === '' ? ['volume_id: must be given'] : []), ...(target === '' ? ['target_path: must be given'] : [])];
    if (problems.length > 0) throw invalid(problems);
    const { holder, mounts } = this.#ports;
    const device = await holder.find(name);
    // Of a volume that is served elsewhere a pod may hang in it for ever: it is torn away.
    if (mounts.at(target) !== null) await mounts.unmount(target, device?.failed ?? true);
    mounts.remove(target);
    return {};
  };

  /** A device that is bound to a file cannot be told by the mount table alone. */
  #same({ path, source, options }: Mounted, { device }: Device, { mount }: VolumeCapability, readonly: boolean): Record<never, never> {
    if (mount && source !== device) throw new CsiError('AlreadyExists', `${path}: ${source} is mounted there, not ${device}`);
    if (options.includes('ro') === readonly || !options.includes('rw')) return {};
    throw new CsiError('AlreadyExists', `${path}: ${source} is published there already, ${readonly ? 'for writing' : 'read-only'}`);
  }
}
