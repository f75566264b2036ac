/** The machine's mounts and file systems, by its own programs. */
import { closeSync, mkdirSync, openSync, readSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { OperatingError } from '../../../core/errors.ts';
import { outcome, run } from '../../edge/commands.ts';
import { type MountEntry, mountTable } from '../../edge/mountTable.ts';
import type { FileSystem, Mounted, Mounts, Usage } from '../ports.ts';

/** Of a large volume over a slow disk. */
const FORMAT_MS_MAX = 55_000;
const UNMOUNT_MS_MAX = 50_000;
/** What must be zeroes before anything is made there. */
const LOOK_BYTES = 1024 * 1024;
const BLKID_NOTHING = 2;
const BLKID_AMBIVALENT = 8;
/** e2fsck: what was wrong is mended; with 2 the machine should restart, which is said of its root only. */
const E2FSCK_MENDED_MAX = 3;

const MKFS: Record<FileSystem, readonly string[]> = {
  // A new volume reads as zeroes, there is nothing to discard; reserved blocks are for a system's root.
  ext4: ['-q', '-m', '0', '-E', 'nodiscard'],
  xfs: ['-q', '-K'],
};

const topmost = (path: string): MountEntry | null => mountTable().findLast((entry) => entry.path === path) ?? null;

export class MachineMounts implements Mounts {
  at(path: string): Mounted | null {
    return topmost(path);
  }

  of(device: string): Mounted[] {
    const node = `/${basename(device)}`;
    return mountTable().filter(({ source, type, root }) => source === device || (type === 'devtmpfs' && root === node));
  }

  typeAt(path: string): string | null {
    return topmost(path)?.type ?? null;
  }

  async mount(device: string, path: string, type: FileSystem, options: readonly string[]): Promise<void> {
    await run('mount', ['-t', type, ...(options.length > 0 ? ['-o', options.join(',')] : []), device, path]);
  }

  /** A crash in between leaves it writable: it is not told as published yet, and the next attempt finds it so and says it. */
  async bind(source: string, target: string, readonly: boolean): Promise<void> {
    await run('mount', ['--bind', source, target]);
    if (readonly) await run('mount', ['-o', 'remount,bind,ro', target]);
  }

  async unmount(path: string, lazy: boolean): Promise<void> {
    await run('umount', [...(lazy ? ['--lazy'] : []), path], UNMOUNT_MS_MAX);
  }

  async probe(device: string): Promise<string | null> {
    const { code, output, trouble } = await outcome('blkid', [
      '--probe',
      '--output',
      'export',
      '--match-tag',
      'TYPE',
      '--match-tag',
      'PTTYPE',
      device,
    ]);
    if (code === BLKID_AMBIVALENT) return 'several signatures';
    if (code !== 0 && code !== BLKID_NOTHING)
      throw new OperatingError('Unavailable', `blkid ${device}`, `it ended with ${code}: ${trouble.trim()}`);
    const found = /^TYPE=(.*)$/m.exec(output)?.[1] ?? /^PTTYPE=(.*)$/m.exec(output)?.[1];
    if (found !== undefined) return found;
    return beginsWithZeroes(device) ? null : 'data that is no file system';
  }

  async format(device: string, type: FileSystem, options: readonly string[]): Promise<void> {
    await run(`mkfs.${type}`, [...MKFS[type], ...options, device], FORMAT_MS_MAX);
  }

  async check(device: string, type: FileSystem): Promise<void> {
    if (type !== 'ext4') return;
    const { code, output, trouble } = await outcome('e2fsck', ['-p', device], FORMAT_MS_MAX);
    if (code <= E2FSCK_MENDED_MAX) return;
    throw new OperatingError(
      'Unavailable',
      `e2fsck -p ${device}`,
      `it ended with ${code}, somebody has to look: ${(output + trouble).trim().slice(0, 500)}`,
    );
  }

  async grow(device: string, path: string, type: string): Promise<void> {
    if (type === 'xfs') await run('xfs_growfs', [path], FORMAT_MS_MAX);
    if (type === 'ext4') await run('resize2fs', [device], FORMAT_MS_MAX);
  }

  async usage(path: string): Promise<Usage> {
    const { blocks, bfree, bavail, bsize, files, ffree } = await statfs(path);
    return {
      totalBytes: blocks * bsize,
      availableBytes: bavail * bsize,
      usedBytes: (blocks - bfree) * bsize,
      totalInodes: files,
      availableInodes: ffree,
      usedInodes: files - ffree,
    };
  }

  kind(path: string): ReturnType<Mounts['kind']> {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return null;
    if (found.isDirectory()) return 'directory';
    if (found.isBlockDevice()) return 'device';
    return found.isFile() ? 'file' : 'other';
  }

  makeDirectory(path: string): void {
    mkdirSync(path, { recursive: true, mode: 0o750 });
  }

  makeFile(path: string): void {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    if (this.kind(path) === null) writeFileSync(path, '', { mode: 0o600 });
  }

  remove(path: string): void {
    const kind = this.kind(path);
    if (kind === 'directory') rmdirSync(path);
    else if (kind === 'file' && statSync(path).size === 0) unlinkSync(path);
  }
}

function beginsWithZeroes(device: string): boolean {
  const buffer = Buffer.alloc(LOOK_BYTES);
  const descriptor = openSync(device, 'r');
  try {
    const length = readSync(descriptor, buffer, 0, LOOK_BYTES, 0);
    return buffer.subarray(0, length).every((byte) => byte === 0);
  } finally {
    closeSync(descriptor);
  }
}
