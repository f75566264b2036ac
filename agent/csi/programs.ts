/** How the machine's own programs are called for file systems, and what their answers mean. Must never take an answer that it does not know for "nothing is there". Pure. */
import type { FileSystem } from './ports.ts';

export type Command = readonly [program: string, ...words: string[]];

/**
 * A new volume reads as zeroes: nothing is discarded, and a discard would take the mark away (mark.ts). Inode tables are left to the kernel, whether or not its module
 * is loaded yet. Reserved blocks are for a system's root.
 */
const EXTENDED = ['nodiscard', 'lazy_itable_init=1'];

/** mkfs.ext4 takes the last `-E` alone: people's goes behind ours, into one. */
function ext4Words(options: readonly string[]): string[] {
  const extended = [...EXTENDED];
  const others: string[] = [];
  for (let at = 0; at < options.length; at++) {
    const word = options[at] ?? '';
    if (word === '-E') extended.push(options[++at] ?? '');
    else if (word.startsWith('-E')) extended.push(word.slice(2));
    else others.push(word);
  }
  return ['-q', '-m', '0', '-E', extended.join(','), ...others];
}

const WORDS: Record<FileSystem, (options: readonly string[]) => readonly string[]> = {
  ext4: ext4Words,
  xfs: (options) => ['-q', '-K', ...options],
};

/** What else says that something there may be overwritten. mkfs.ext4 asks nobody where there is no terminal. */
const AGAIN: Record<FileSystem, readonly string[]> = { ext4: [], xfs: ['-f'] };

export const mkfsCommand = (device: string, type: FileSystem, options: readonly string[], isAgain = false): Command => [
  `mkfs.${type}`,
  ...(isAgain ? AGAIN[type] : []),
  ...WORDS[type](options),
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

/** How long a program waits for another that is at the device, udev looking at what has changed, say. */
const LOCK_SECONDS = 5;
/** What `alone` ends with when that was not enough. */
export const LOCKED = 75;

/**
 * While no other program that was begun so is at the device: one that an agent left behind, which was killed, may hang in it, and write when the volume is back.
 * It is the lock that udev obeys, too.
 */
export const alone = (device: string, command: Command): Command => [
  'flock',
  '--exclusive',
  '--wait',
  `${LOCK_SECONDS}`,
  '--conflict-exit-code',
  `${LOCKED}`,
  device,
  ...command,
];

/** Writes what it is given, and ends when that is durable. `offsetBytes`: a whole number of the length. */
export const writeCommand = (device: string, lengthBytes: number, offsetBytes: number): Command => [
  'dd',
  `of=${device}`,
  `bs=${lengthBytes}`,
  'count=1',
  `seek=${offsetBytes / lengthBytes}`,
  'iflag=fullblock',
  'conv=notrunc,nocreat,fsync',
  'status=none',
];

const BLKID_NOTHING = 2;
const BLKID_AMBIVALENT = 8;

/** What is found on a device that has no name of its own. */
export const SEVERAL_SIGNATURES = 'several signatures';
export const NO_FILE_SYSTEM = 'data that is no file system';

export type Probed = { found: string } | 'nothing' | 'failed';

/** A file system's type, else that of a partition table. */
export function probed(code: number, output: string): Probed {
  if (code === BLKID_AMBIVALENT) return { found: SEVERAL_SIGNATURES };
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
