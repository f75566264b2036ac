/** What only this machine can tell: its boot, its directories. Must never change what it did not make. */
import { accessSync, constants, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Log } from '../../core/log.ts';
import type { Disk, DiskLock } from '../replica/store/disk.ts';
import type { MachineProbe } from '../settings.ts';
import { POOL_SOCKETS } from './network.ts';

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/** Another after each boot: what tells a machine that lost power from a process that was killed. */
export const readBootId = (): string => readFileSync(BOOT_ID_FILE, 'utf8').trim();

/** Of this program, as the package says. */
export const readVersion = (): string => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return version;
};

/** Threads in which primaries run: their volumes share the cores, and more threads than these only cost memory. */
const PRIMARY_WORKERS_MAX = 4;
export const primaryWorkers = (): number => Math.min(PRIMARY_WORKERS_MAX, availableParallelism());

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'may not be used by this user',
};
const inWords = (error: unknown): string => WORDS[codeOf(error)] ?? `cannot be used (${codeOf(error)})`;

/** A disk that hangs or fails is not a wrong configuration: its pool is quarantined, and the others go on. */
const PROBE_MS_MAX = 3_000;
const FAILING: readonly string[] = ['EIO', 'ENOTCONN', 'ESTALE', 'ETIMEDOUT'];

/** Looks at the pools' directories beforehand, without waiting for a disk that does not answer. */
export async function probeMachine(poolPaths: Iterable<string>): Promise<MachineProbe> {
  const looks = [...new Set(poolPaths)].map(
    async (path) => [path, await Promise.race([directoryProblem(path), noProblemIn(PROBE_MS_MAX)])] as const,
  );
  const found = new Map(await Promise.all(looks));
  return { directory: (path) => found.get(path) ?? null, file: fileProblem };
}

async function directoryProblem(path: string): Promise<string | null> {
  try {
    if (!(await stat(path)).isDirectory()) return 'is not a directory';
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return null;
  } catch (error) {
    return FAILING.includes(codeOf(error)) ? null : inWords(error);
  }
}

const noProblemIn = (boundMs: number): Promise<null> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(null), boundMs).unref();
  });

function fileProblem(path: string): string | null {
  try {
    if (!statSync(path).isFile()) return 'is not a file';
    accessSync(path, constants.R_OK);
    return null;
  } catch (error) {
    return inWords(error);
  }
}
/** Whoever may enter is taken for this agent: made anew, for its user alone. */
function preparePoolSockets(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 });
}

const LOCK_FILE = '.lock';
/** Where an NBD socket is born before it gets its name. */
const BIRTHPLACE = /^\.nbd-/;

/**
 * Makes the directory of the volumes' sockets and takes its lock; removes what a killed process left there: a client that connects to a dead socket
 * waits for nobody.
 */
export function prepareRunDirectory(directory: string, disk: Pick<Disk, 'tryLock'>, log: Log): DiskLock {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const lock = disk.tryLock(join(directory, LOCK_FILE));
  if (!('release' in lock)) throw new Error(`RUN_DIR ${directory} is in use by ${lock.heldBy}; each agent needs a directory of its own`);
  preparePoolSockets(join(directory, POOL_SOCKETS));
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const isStale = BIRTHPLACE.test(name) || (name.endsWith('.sock') && lstatSync(path).isSocket());
    if (!isStale) continue;
    rmSync(path, { recursive: true, force: true });
    log.info('socket of a former process removed', { socket: path });
  }
  return lock;
}
