/** The machine's mounts and file systems, by its own programs. Must never read or write a volume in this process: its primary may wait for the thread that waits. */
import { mkdirSync, realpathSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { OperatingError } from '../../../core/errors.ts';
import type { VolumeUid } from '../../../core/ids.ts';
import { outcome, pieceOf, run } from '../../edge/commands.ts';
import { deviceNumbers, type MountEntry, mountTable } from '../../edge/mountTable.ts';
import { BEGINNING_BYTES, MARK_BYTES, MARK_PLACE, markOf, mayHaveBeenMounted, noMark } from '../mark.ts';
import type { FileSystem, Mounted, Mounts, Usage } from '../ports.ts';
import {
  alone,
  type Command,
  checkCommand,
  growCommand,
  isSound,
  LOCKED,
  mkfsCommand,
  mountCommand,
  NO_FILE_SYSTEM,
  probeCommand,
  probed,
  writeCommand,
} from '../programs.ts';

/** Of a large volume over a slow disk. */
const FORMAT_MS_MAX = 55_000;
const UNMOUNT_MS_MAX = 50_000;
/** What must be zeroes before anything is made there. */
const LOOK_BYTES = 1024 * 1024;
/** Where device nodes are: looking at one there can never hang, as it could on a file system of a volume. */
const HOLD_NODES = ['devtmpfs', 'tmpfs'];

/** Its parent as the kernel has it: the mount table knows no symbolic links. */
function asMounted(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path; // nothing can be mounted below what is not there
  }
}

function topmost(path: string): MountEntry | null {
  const place = asMounted(path);
  return mountTable().findLast((entry) => entry.path === place) ?? null;
}

/** As the mount table writes them; null: no block device. */
function numbersOf(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isBlockDevice() ? deviceNumbers(found.rdev) : null;
}

/** Of a device node that is bound there; a node's own file system says nothing of the device. */
const boundAt = ({ path, root, type }: MountEntry): string | null => (HOLD_NODES.includes(type) && root !== '/' ? numbersOf(path) : null);

type Limits = { forMs?: number; input?: Buffer };

/** Rejects unless it ended with 0. */
async function runAlone(device: string, command: Command, { forMs, input }: Limits = {}): Promise<void> {
  const [program, ...words] = alone(device, command);
  const { code, output, trouble } = await outcome(program, words, forMs, input);
  if (code === 0) return;
  const said = code === LOCKED ? 'another program is still at the device' : (trouble.trim() || output.trim()).slice(0, 500);
  throw new OperatingError('Unavailable', command.join(' '), `it ended with ${code}: ${said}`);
}

const running = ([program, ...words]: Command, forMs?: number): Promise<string> => run(program, words, forMs);

export class MachineMounts implements Mounts {
  at(path: string): Mounted | null {
    return topmost(path);
  }

  of(device: string): Mounted[] {
    const numbers = numbersOf(device);
    const isOfIt = (entry: MountEntry) => numbers !== null && (entry.device === numbers || boundAt(entry) === numbers);
    return mountTable().filter((entry) => entry.source === device || isOfIt(entry));
  }

  typeAt(path: string): string | null {
    return topmost(path)?.type ?? null;
  }

  async mount(device: string, path: string, type: FileSystem, options: readonly string[]): Promise<void> {
    await runAlone(device, mountCommand(device, path, type, options));
  }

  /** A crash in between leaves it writable: it is not told as published yet, and the next attempt makes it read-only. */
  async bind(source: string, target: string, readonly: boolean): Promise<void> {
    await run('mount', ['--bind', source, target]);
    if (readonly) await this.protect(target);
  }

  /** Its other options stay. */
  async protect(path: string): Promise<void> {
    await run('mount', ['-o', 'remount,bind,ro', path]);
  }

  async unmount(path: string, lazy: boolean): Promise<void> {
    await run('umount', [...(lazy ? ['--lazy'] : []), path], UNMOUNT_MS_MAX);
  }

  async probe(device: string): Promise<string | null> {
    const [program, ...words] = probeCommand(device);
    const { code, output, trouble } = await outcome(program, words);
    const answer = probed(code, output);
    if (answer === 'failed') throw new OperatingError('Unavailable', `blkid ${device}`, `it ended with ${code}: ${trouble.trim()}`);
    if (answer !== 'nothing') return answer.found;
    return (await beginsWithZeroes(device)) ? null : NO_FILE_SYSTEM;
  }

  async isMarked(device: string, uid: VolumeUid, type: FileSystem): Promise<boolean> {
    return (await pieceOf(device, MARK_BYTES, MARK_PLACE[type] / MARK_BYTES)).equals(markOf(uid, type));
  }

  async mayHaveBeenMounted(device: string, type: FileSystem): Promise<boolean> {
    return mayHaveBeenMounted(await pieceOf(device, BEGINNING_BYTES), type);
  }

  async mark(device: string, uid: VolumeUid, type: FileSystem): Promise<void> {
    await this.#write(device, type, markOf(uid, type));
  }

  async unmark(device: string, type: FileSystem): Promise<void> {
    await this.#write(device, type, noMark());
  }

  async #write(device: string, type: FileSystem, bytes: Buffer): Promise<void> {
    await runAlone(device, writeCommand(device, bytes.length, MARK_PLACE[type]), { input: bytes });
  }

  async format(device: string, type: FileSystem, options: readonly string[], isAgain = false): Promise<void> {
    await runAlone(device, mkfsCommand(device, type, options, isAgain), { forMs: FORMAT_MS_MAX });
  }

  async check(device: string, type: FileSystem): Promise<void> {
    const command = checkCommand(device, type);
    if (command === null) return;
    const [program, ...words] = command;
    const { code, output, trouble } = await outcome(program, words, FORMAT_MS_MAX);
    if (isSound(code)) return;
    throw new OperatingError(
      'Unavailable',
      command.join(' '),
      `it ended with ${code}, somebody has to look: ${(output + trouble).trim().slice(0, 500)}`,
    );
  }

  async grow(device: string, path: string, type: string): Promise<void> {
    const command = growCommand(device, path, type);
    if (command !== null) await running(command, FORMAT_MS_MAX);
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

/** What reads a volume waits for its primary, which is of this very process and may wait for this very thread. */
async function beginsWithZeroes(device: string): Promise<boolean> {
  const beginning = await pieceOf(device, LOOK_BYTES);
  if (beginning.length === 0) throw new OperatingError('Unavailable', `look at ${device}`, 'nothing can be read of it');
  return beginning.every((byte) => byte === 0);
}
