/** How a volume may be used: by one node at a time, as a file system or a block device. Pure. */
import type { VolumeCapability, VolumeCapabilityAccessModeMode } from '../../edge/csi/generated/csi.ts';
import { FILE_SYSTEMS } from './parameters.ts';

const MODES: readonly VolumeCapabilityAccessModeMode[] = [
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
];

/** What of it this driver cannot do; null: it can. */
export function unsupported({ block, mount, accessMode }: VolumeCapability): string | null {
  const mode = accessMode?.mode ?? 'UNKNOWN';
  if (!block && !mount) return 'access_type: must be block or mount';
  if (!MODES.includes(mode))
    return `access_mode: ${mode} is not to be had, one node at a time uses a volume (ReadWriteOnce, ReadWriteOncePod)`;
  const fsType = mount?.fsType ?? '';
  if (fsType !== '' && !(FILE_SYSTEMS as readonly string[]).includes(fsType))
    return `fs_type: must be ${FILE_SYSTEMS.join(' or ')} (is ${JSON.stringify(fsType)})`;
  return null;
}

export function capabilityProblems(capabilities: readonly (VolumeCapability | null)[]): string[] {
  if (capabilities.length === 0) return ['volume_capabilities: must be given'];
  return capabilities.flatMap((one) => {
    const problem = one === null ? 'must be given' : unsupported(one);
    return problem === null ? [] : [`volume_capability.${problem}`];
  });
}
