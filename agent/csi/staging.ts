/** Staging: from what is served here to a device, and from that to a mounted file system. Must never make a file system where anything is. */
import type { VolumeUid } from '../../core/ids.ts';
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { NodeService, NodeStageVolumeRequest, VolumeCapability } from '../../edge/csi/generated/csi.ts';
import { make, unmarkAll } from './making.ts';
import type { Call, Device, FileSystem, NodePorts, ServedVolume } from './ports.ts';

type Staging = Pick<NodeService<Call>, 'nodeStageVolume' | 'nodeUnstageVolume'>;

const FILE_SYSTEMS: readonly string[] = ['ext4', 'xfs'] satisfies FileSystem[];
const DEFAULT_FILE_SYSTEM = 'ext4';
/** An agent that has just started serves again within this; who waits longer is told, and comes again. */
const SERVED_MS_MAX = 10_000;
const LOOK_EVERY_MS = 50;

export const wordsOf = (text: string | undefined, between: RegExp): string[] => (text ?? '').split(between).filter((word) => word !== '');

export function fileSystemOf({ mount }: VolumeCapability, context: Readonly<Record<string, string>>): FileSystem {
  const type = mount?.fsType || context.fsType || DEFAULT_FILE_SYSTEM;
  if (FILE_SYSTEMS.includes(type)) return type as FileSystem;
  throw invalid([`volume_capability.fs_type: must be ${FILE_SYSTEMS.join(' or ')} (is ${JSON.stringify(type)})`]);
}

export function mountOptions(
  { mount, accessMode }: VolumeCapability,
  type: FileSystem,
  context: Readonly<Record<string, string>>,
): string[] {
  const wanted = [...(mount?.mountFlags ?? []), ...wordsOf(context.mountOptions, /,/)];
  const own = [...(type === 'xfs' ? ['nouuid'] : []), ...(accessMode?.mode === 'SINGLE_NODE_READER_ONLY' ? ['ro'] : [])];
  return [...new Set([...wanted, ...own])];
}

function problemsOf({ volumeId, stagingTargetPath, volumeCapability }: NodeStageVolumeRequest): string[] {
  const problems: string[] = [];
  if (volumeId === '') problems.push('volume_id: must be given');
  if (stagingTargetPath === '') problems.push('staging_target_path: must be given');
  if (volumeCapability === null) problems.push('volume_capability: must be given');
  else if (!volumeCapability.block && !volumeCapability.mount) problems.push('volume_capability: must be block or mount');
  return problems;
}

export class CsiStaging implements Staging {
  readonly #ports: NodePorts;

  constructor(ports: NodePorts) {
    this.#ports = ports;
  }

  nodeStageVolume: Staging['nodeStageVolume'] = async (request, { signal }) => {
    const problems = problemsOf(request);
    const { volumeId: name, stagingTargetPath: path, volumeCapability: capability, volumeContext: context } = request;
    if (problems.length > 0 || capability === null) throw invalid(problems);
    const { holder } = this.#ports;
    const type = capability.mount ? fileSystemOf(capability, context) : null;
    const { uid, socket, sizeBytes } = await this.#mustBeServed(name, signal);
    const readonly = type === null && capability.accessMode?.mode === 'SINGLE_NODE_READER_ONLY';
    const attached = await holder.attach({ name, uid, socket, sizeBytes, readonly });
    // It may have grown while nobody had it here.
    const device = attached.sizeBytes < sizeBytes ? await holder.resize(name, sizeBytes) : attached;
    if (type !== null)
      await this.#mount(device, path, mountOptions(capability, type, context), { type, mkfs: wordsOf(context.mkfsOptions, /\s+/) });
    else if (!device.readonly) await unmarkAll(this.#ports.mounts, device);
    return {};
  };

  nodeUnstageVolume: Staging['nodeUnstageVolume'] = async ({ volumeId: name, stagingTargetPath: path }, { signal, log }) => {
    const problems = [...(name === '' ? ['volume_id: must be given'] : []), ...(path === '' ? ['staging_target_path: must be given'] : [])];
    if (problems.length > 0) throw invalid(problems);
    const { holder, mounts } = this.#ports;
    const device = await holder.find(name);
    // Another volume of its name is not it.
    const isServed = device !== null && !device.failed && (await this.#served(name, signal))?.uid === device.uid;
    if (device !== null && !isServed && !device.failed) {
      await this.#mustHaveLeft(device);
      log.warn('volume is unstaged where it is not served any more: what was never acknowledged is gone', { volume: name });
      await holder.fail(name);
    }
    const staged = mounts.at(path);
    const used = device === null ? [] : mounts.of(device.device).filter((one) => one.path !== staged?.path);
    // A bound device node keeps nobody from detaching: whatever has its number next would be found there.
    if (isServed && used[0]) throw new CsiError('FailedPrecondition', `the volume ${name} is still published at ${used[0].path}`);
    if (staged !== null) await mounts.unmount(path, !isServed);
    // Whoever still has it would hang in it, or hold what is no more.
    for (const { path: left } of used) await mounts.unmount(left, true);
    if (device !== null) await holder.detach(name);
    return {};
  };

  /** Not served here, it may be soon: what is still unwritten waits for the volume, until etcd says that it shall be somewhere else. */
  async #mustHaveLeft({ name, uid }: Device): Promise<void> {
    const where = await this.#ports.whereabouts(uid);
    if (where === 'here')
      throw new CsiError('Unavailable', `the volume ${name} is not served on ${this.#ports.node} at this moment; ask again`);
    if (where === 'lost')
      throw new CsiError(
        'Unavailable',
        `etcd has nothing of the volume ${name}, and no word that it was deleted: what is still unwritten waits until it is recovered`,
      );
  }

  /** Idempotent: what is mounted there already must be this very device. */
  async #mount(attached: Device, path: string, options: readonly string[], wish: { type: FileSystem; mkfs: string[] }): Promise<void> {
    const { mounts } = this.#ports;
    const { device, name, uid } = attached;
    const { type } = wish;
    const there = mounts.at(path);
    if (there !== null) {
      if (there.source === device) return;
      throw new CsiError('AlreadyExists', `${path}: ${there.source} is mounted there, not ${device} of the volume ${name}`);
    }
    const isNew = await make(mounts, attached, wish);
    mounts.makeDirectory(path);
    await mounts.mount(device, path, type, options);
    if (isNew) return this.#mustBeUnmarked(device, uid, type, path);
    // A clone may be larger than what it began as.
    if (!options.includes('ro')) await mounts.grow(device, path, type);
  }

  /** A program that was left behind may have written the mark behind us: with it the next staging would make anew what people are about to write to. */
  async #mustBeUnmarked(device: string, uid: VolumeUid, type: FileSystem, path: string): Promise<void> {
    const { mounts } = this.#ports;
    if (!(await mounts.isMarked(device, uid, type))) return;
    await mounts.unmount(path, false);
    throw new CsiError('Aborted', `${device}: the file system was begun again behind this attempt; ask again`);
  }

  async #mustBeServed(name: string, signal: AbortSignal): Promise<ServedVolume> {
    const served = await this.#served(name, signal);
    if (served !== null) return served;
    throw new CsiError(
      'FailedPrecondition',
      `the volume ${name} is not served on ${this.#ports.node}: it is not attached here, or is served elsewhere by now`,
    );
  }

  /** Null: not within the time that an agent needs to serve again. */
  async #served(name: string, signal: AbortSignal): Promise<ServedVolume | null> {
    for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
      const served = this.#ports.served.find(name);
      if (served !== null || waitedMs >= SERVED_MS_MAX) return served;
      await this.#ports.sleep(LOOK_EVERY_MS, signal);
      signal.throwIfAborted();
    }
  }
}
