/** What only this machine can tell: its boot, its directories. Must never change what it did not make. */
import { accessSync, constants, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { MachineProbe } from '../settings.ts';

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/** Another after each boot: what tells a machine that lost power from a process that was killed. */
export const readBootId = (): string => readFileSync(BOOT_ID_FILE, 'utf8').trim();

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'may not be used by this user',
};
const inWords = (error: unknown): string => WORDS[codeOf(error)] ?? `cannot be used (${codeOf(error)})`;

export const machineProbe: MachineProbe = {
  directory(path) {
    try {
      if (!statSync(path).isDirectory()) return 'is not a directory';
      accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
      return null;
    } catch (error) {
      return inWords(error);
    }
  },
  file(path) {
    try {
      if (!statSync(path).isFile()) return 'is not a file';
      accessSync(path, constants.R_OK);
      return null;
    } catch (error) {
      return inWords(error);
    }
  },
};

/** Where an NBD socket is born before it gets its name. */
const BIRTHPLACE = /^\.nbd-/;

export function makeRunDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
}

/**
 * Sockets of a process that was killed: a client that connects to one waits for nobody. Only when the directory's lock is held. Returns how many
 * there were.
 */
export function removeStaleSockets(directory: string): number {
  let removed = 0;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const isSocket = name.endsWith('.sock') && lstatSync(path).isSocket();
    if (isSocket) removed++;
    if (isSocket || BIRTHPLACE.test(name)) rmSync(path, { recursive: true, force: true });
  }
  return removed;
}
