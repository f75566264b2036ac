/**
 * A device by FUSE: nbdkit keeps the connection to the volume and connects anew, nbdfuse makes a file of it, a loop device makes a disk of the file. The export is
 * the one that grows, and the loop device's limit is the volume's size. Must never touch a loop device that is not of a file of ours.
 */
import { spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatingError } from '../../../core/errors.ts';
import { outcome, run } from '../../edge/commands.ts';
import { mountTable } from '../../edge/mountTable.ts';
import { HolderRefusal } from '../devices.ts';
import type { Attached, Backend, Wish } from '../ports.ts';
import { isZombie, losetupWords, nbdfuseWords, nbdkitWords } from '../programs.ts';
import { isInUse } from './inUse.ts';
import { setLoopLimit } from './loopLimit.ts';

const PROGRAMS = ['nbdkit', 'nbdfuse', 'fusermount3', 'losetup'];
const APPEARS_MS_MAX = 10_000;
const ENDS_MS_MAX = 5_000;
const LOOK_EVERY_MS = 25;

const fileOf = (directory: string): string => path.join(directory, 'disk');
const pidFileOf = (directory: string, program: string): string => path.join(directory, `${program}.pid`);

export class FuseBackend implements Backend {
  readonly way = 'fuse';

  async unfit(): Promise<string | null> {
    if (process.getuid?.() !== 0) return 'it needs root';
    for (const device of ['/dev/fuse', '/dev/loop-control']) if (!isUsable(device)) return `there is no ${device}`;
    const missing = PROGRAMS.filter((program) => !isInstalled(program));
    return missing.length > 0 ? `not installed: ${missing.join(', ')}` : null;
  }

  async attach(wish: Wish, directory: string): Promise<{ device: string; pids: number[] }> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const between = path.join(directory, 'nbdkit.sock');
    const nbdkit = start(directory, 'nbdkit', nbdkitWords(wish, between));
    await appears(between, nbdkit, 'nbdkit');
    // A file, not a directory, is what it is mounted on.
    const file = fileOf(directory);
    closeSync(openSync(file, 'a'));
    const nbdfuse = start(directory, 'nbdfuse', nbdfuseWords(wish, file, between));
    await mounted(file, nbdfuse);
    const device = await run('losetup', losetupWords(wish, file));
    return { device, pids: [nbdkit, nbdfuse] };
  }

  async resize({ device, sizeBytes }: Attached): Promise<void> {
    await setLoopLimit(device, sizeBytes);
  }

  /** Without nbdkit, nbdfuse answers with errors. Asked kindly, it would wait for what it repeats for ever. */
  async fail({ pids: [nbdkit] }: Attached): Promise<void> {
    if (nbdkit !== undefined) await end(nbdkit, ['SIGKILL']);
  }

  async detach({ device, failed }: Attached, directory: string): Promise<void> {
    if (!failed && isInUse(device)) throw new HolderRefusal('InUse', `${device} is in use: unmount it first`);
    await this.clear(directory);
  }

  takeUp(): void {
    // The processes see to it.
  }

  isAlive({ pids, device }: Attached): boolean {
    return pids.every(isRunning) && existsSync(`/sys/block/${path.basename(device)}/loop/backing_file`);
  }

  /** In this order: who uses a thing goes before it. */
  async clear(directory: string): Promise<void> {
    const file = fileOf(directory);
    // Nothing was begun here, or by another way: the programs may not even be installed.
    if (!existsSync(file) && !existsSync(pidFileOf(directory, 'nbdkit'))) return;
    const nbdkit = pidIn(directory, 'nbdkit');
    // One that somebody still has open goes by itself when he closes it, and is still named here.
    for (const device of loopDevicesOf(directory)) await outcome('losetup', ['--detach', device]);
    await outcome('fusermount3', ['-u', '-z', '-q', file]);
    const nbdfuse = pidIn(directory, 'nbdfuse');
    if (nbdfuse !== null) await end(nbdfuse);
    if (nbdkit !== null) await end(nbdkit);
    rmSync(directory, { recursive: true, force: true });
  }

  /** Nothing of it is in this process. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Told by sysfs alone: `losetup` asks each device's file, and waits for ever for one whose volume is away. */
function loopDevicesOf(directory: string): string[] {
  const file = fileOf(realpathSync(directory));
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop') && backingFileOf(name) === file)
    .map((name) => `/dev/${name}`);
}

function backingFileOf(name: string): string {
  try {
    return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd();
  } catch {
    return ''; // it has none, or has gone
  }
}

const isUsable = (file: string): boolean => {
  try {
    accessSync(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false; // whatever the reason, it is of no use
  }
};
const isInstalled = (program: string): boolean =>
  (process.env.PATH ?? '').split(':').some((directory) => existsSync(path.join(directory, program)));

/** It outlives this process; its pid is kept before anything depends on it. */
function start(directory: string, program: string, words: readonly string[]): number {
  const log = openSync(path.join(directory, `${program}.log`), 'a');
  const child = spawn(program, words, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.on('error', () => undefined);
  if (child.pid === undefined) throw new OperatingError('Unavailable', program, 'it cannot be started');
  writeFileSync(pidFileOf(directory, program), `${child.pid}`);
  child.unref();
  return child.pid;
}

function pidIn(directory: string, program: string): number | null {
  try {
    const pid = Number(readFileSync(pidFileOf(directory, program), 'utf8'));
    return Number.isSafeInteger(pid) && pid > 1 && readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === program ? pid : null;
  } catch {
    return null; // no such file or no such process
  }
}

function isRunning(pid: number): boolean {
  try {
    return !isZombie(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false; // it has ended
  }
}

async function appears(file: string, pid: number, program: string): Promise<void> {
  await until(() => existsSync(file), pid, program, `${program} does not listen`);
}

const isMounted = (file: string): boolean => mountTable().some(({ path: at }) => at === file);
const mounted = (file: string, pid: number): Promise<void> => until(() => isMounted(file), pid, 'nbdfuse', 'the volume does not answer');

async function until(isSo: () => boolean, pid: number, program: string, otherwise: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < APPEARS_MS_MAX; waitedMs += LOOK_EVERY_MS) {
    if (isSo()) return;
    if (!isRunning(pid)) throw new OperatingError('Unavailable', program, 'it ended at once: its log says why');
    await sleep(LOOK_EVERY_MS);
  }
  throw new OperatingError('Timeout', program, `${otherwise} within ${APPEARS_MS_MAX / 1_000} s`);
}

async function end(pid: number, signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGKILL']): Promise<void> {
  for (const signal of signals) {
    try {
      process.kill(pid, signal);
    } catch {
      return; // it has ended
    }
    for (let waitedMs = 0; waitedMs < ENDS_MS_MAX; waitedMs += LOOK_EVERY_MS) {
      if (!isRunning(pid)) return;
      await sleep(LOOK_EVERY_MS);
    }
  }
}
