/** What is mounted on this machine, as this process sees it. */
import { readFileSync } from 'node:fs';

/** `root`: of the mounted file system, what is seen there. `device`: its numbers. */
export type MountEntry = { path: string; root: string; source: string; options: readonly string[]; device: string; type: string };

/** mountinfo writes a space as \040. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** In the order in which they were made: of several at one path the last lies on top. */
export const mountTable = (): MountEntry[] => parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));

/** The kernel's words, proc_pid_mountinfo(5): between the options and the dash there may be any number of fields. */
export const parseMountTable = (text: string): MountEntry[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [, , device = '', root = '', path = '', options = ''] = before.split(' ');
      const [type = '', source = ''] = after.split(' ');
      return { path: unescaped(path), root: unescaped(root), source: unescaped(source), options: options.split(','), device, type };
    });

/** A device's numbers as the mount table writes them, from stat's. Linux keeps the lower byte of the minor number below the major one, the rest above it. */
export const deviceNumbers = (rdev: number): string =>
  `${Math.floor(rdev / 2 ** 8) % 2 ** 12}:${(rdev % 2 ** 8) + Math.floor(rdev / 2 ** 20) * 2 ** 8}`;
