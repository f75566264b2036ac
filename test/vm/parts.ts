/**
 * What the emulated machine is made of, beside this checkout: Debian's kernel for clouds and busybox, unpacked into the cache and never installed, and programs of
 * this machine with the libraries that they need.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { cacheDirectory } from '../../tools/local/programs.ts';

/** The package that depends on the newest of its line; `KERNEL=linux-image-6.12-cloud-amd64` is another line. */
const KERNEL = process.env.KERNEL || 'linux-image-cloud-amd64';
const NEEDED = { 'qemu-system-x86_64': 'qemu-system-x86', 'mkfs.ext4': 'e2fsprogs', 'mkfs.xfs': 'xfsprogs', ldd: 'libc-bin', dpkg: 'dpkg' };
const DIRECTORIES = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];

export type Parts = { kernel: string; modules: string; busybox: string };

const say = (program: string, ...words: string[]): string =>
  execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

export function findProgram(name: string): string {
  const found = DIRECTORIES.map((directory) => path.join(directory, name)).find((file) => existsSync(file));
  if (found !== undefined) return found;
  const debian = NEEDED[name as keyof typeof NEEDED] ?? name;
  throw new Error(`${name} is needed and not installed: apt-get install --no-install-recommends ${debian}`);
}

/** Fetched once for each version. What was cut off is made anew. */
export function findParts(): Parts {
  for (const name of Object.keys(NEEDED)) findProgram(name);
  const cache = path.join(cacheDirectory(), 'vm');
  const kernel = unpacked(cache, newest(KERNEL));
  const busybox = unpacked(cache, 'busybox-static');
  const [release] = readdirSync(path.join(kernel, 'lib/modules'));
  if (release === undefined) throw new Error(`${kernel} holds no kernel modules`);
  return {
    kernel: path.join(kernel, 'boot', `vmlinuz-${release}`),
    modules: path.join(kernel, 'lib/modules', release, 'kernel'),
    busybox: path.join(busybox, 'bin/busybox'),
  };
}

/** The package of the very version: it is named by the one that is always the latest. */
function newest(name: string): string {
  const depends = /Depends: (\S+)/.exec(say('apt-cache', 'depends', name))?.[1];
  if (depends === undefined) throw new Error(`apt knows no package ${name}: apt-get update`);
  return depends;
}

function unpacked(cache: string, name: string): string {
  const target = path.join(cache, name);
  if (existsSync(target)) return target;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(path.join(cache, '.new-'));
  try {
    execFileSync('apt-get', ['download', name], { cwd: work, stdio: ['ignore', 'ignore', 'pipe'] });
    const [file] = readdirSync(work).filter((one) => one.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get download ${name} brought nothing`);
    say('dpkg', '--extract', path.join(work, file), path.join(work, 'tree'));
    renameSync(path.join(work, 'tree'), target);
    return target;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The program's libraries and what loads them, at the paths where it looks for them. */
export const librariesOf = (program: string): string[] =>
  say('ldd', program)
    .split('\n')
    .flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
