/** Publishing: what is staged, bound to where a pod has it. */
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { NodePublishVolumeRequest, NodeService } from '../../edge/csi/generated/csi.ts';
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
    if (there !== null) return this.#again(there, device, readonly);
    const staged = mounts.at(staging);
    const elsewhere = mounts.of(device.device).find(({ path }) => path !== staged?.path);
    if (capability.accessMode?.mode === 'SINGLE_NODE_SINGLE_WRITER' && elsewhere)
      throw new CsiError(
        'FailedPrecondition',
        `the volume ${name} is published at ${elsewhere.path}, and only one may have it (ReadWriteOncePod)`,
      );
    if (capability.mount && staged?.source !== device.device)
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

  /** Published there before; what was cut short between binding and making it read-only was never told as published. */
  async #again({ path, source, options }: Mounted, { name, device }: Device, readonly: boolean): Promise<Record<never, never>> {
    const { mounts } = this.#ports;
    if (!mounts.of(device).some((one) => one.path === path))
      throw new CsiError('AlreadyExists', `${path}: ${source} is mounted there, not ${device} of the volume ${name}`);
    const isReadonly = options.includes('ro');
    if (isReadonly && !readonly) throw new CsiError('AlreadyExists', `${path}: the volume ${name} is published there already, read-only`);
    if (readonly && !isReadonly) await mounts.protect(path);
    return {};
  }
}
