/** How the machine's own programs are called for file systems, and what their answers mean. Must never take an answer that it does not know for "nothing is there". Pure. */
import type { FileSystem } from './ports.ts';

export type Command = readonly [program: string, ...words: string[]];

const MKFS: Record<FileSystem, readonly string[]> = {
  // A new volume reads as zeroes, there is nothing to discard; reserved blocks are for a system's root.
  ext4: ['-q', '-m', '0', '-E', 'nodiscard'],
  xfs: ['-q', '-K'],
};

export const mkfsCommand = (device: string, type: FileSystem, options: readonly string[]): Command => [
  `mkfs.${type}`,
  ...MKFS[type],
  ...options,
  device,
];

export const mountCommand = (device: string, path: string, type: FileSystem, options: readonly string[]): Command => [
  'mount',
  '-t',
  type,
  ...(options.length > 0 ? ['-o', options.join(',')] : []),
  device,
  path,
];

/** Null: a file system of that type is as large as its device, or not one of ours. */
export function growCommand(device: string, path: string, type: string): Command | null {
  if (type === 'xfs') return ['xfs_growfs', path];
  return type === 'ext4' ? ['resize2fs', device] : null;
}

export const probeCommand = (device: string): Command => [
  'blkid',
  '--probe',
  '--output',
  'export',
  '--match-tag',
  'TYPE',
  '--match-tag',
  'PTTYPE',
  device,
];

const BLKID_NOTHING = 2;
const BLKID_AMBIVALENT = 8;

export type Probed = { found: string } | 'nothing' | 'failed';

/** A file system's type, else that of a partition table. */
export function probed(code: number, output: string): Probed {
  if (code === BLKID_AMBIVALENT) return { found: 'several signatures' };
  if (code !== 0 && code !== BLKID_NOTHING) return 'failed';
  const found = /^TYPE=(.+)$/m.exec(output)?.[1] ?? /^PTTYPE=(.+)$/m.exec(output)?.[1];
  if (found !== undefined) return { found };
  // It found something that has no name.
  return code === BLKID_NOTHING ? 'nothing' : 'failed';
}

/** XFS replays its log when it is mounted. */
export const checkCommand = (device: string, type: FileSystem): Command | null => (type === 'ext4' ? ['e2fsck', '-p', device] : null);

/** e2fsck: what was wrong is mended; with 2 the machine should restart, which is said of its root only. */
const E2FSCK_MENDED_MAX = 3;
export const isSound = (code: number): boolean => code >= 0 && code <= E2FSCK_MENDED_MAX;
