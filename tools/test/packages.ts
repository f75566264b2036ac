/**
 * The Debian packages that the integration tests and the demo need: which are missing, and how they come. Asks for programs, not packages, so that
 * it is right on other systems too.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

/** Package to a program that it brings. */
const NEEDED: Record<string, string> = {
  fio: 'fio',
  'libnbd-bin': 'nbdfuse',
  nbdkit: 'nbdkit',
  'qemu-utils': 'qemu-io',
  sqlite3: 'sqlite3',
  fuse3: 'fusermount3',
  e2fsprogs: 'mkfs.ext4',
  xfsprogs: 'mkfs.xfs',
  postgresql: 'pg_ctlcluster',
  prometheus: 'promtool',
};

/** Where root's programs are, which may not be on everybody's PATH. */
const SYSTEM_DIRECTORIES = ['/usr/sbin', '/sbin'];

export function missingPackages(searchPath = process.env.PATH ?? ''): string[] {
  const directories = [...searchPath.split(path.delimiter), ...SYSTEM_DIRECTORIES];
  const isThere = (program: string): boolean => directories.some((directory) => existsSync(path.join(directory, program)));
  return Object.keys(NEEDED).filter((name) => !isThere(NEEDED[name] ?? ''));
}

/** Installs them where that is possible without asking; else gives the sentence that says what to do. */
export function installPackages(missing: string[]): string | undefined {
  if (missing.length === 0) {
    return undefined;
  }
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  if (!existsSync('/usr/bin/apt-get')) {
    return `Install what these Debian packages hold, by the means of this system: ${missing.join(' ')}.`;
  }
  if (process.getuid?.() !== 0) {
    return `Run this first: sudo ${command}`;
  }
  try {
    aptGet(['update', '-q']);
    aptGet(command.split(' ').slice(1));
    return undefined;
  } catch (error) {
    return `This failed: ${command} (${error instanceof Error ? error.message : String(error)})`;
  }
}

function aptGet(words: string[]): void {
  execFileSync('apt-get', words, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
}
