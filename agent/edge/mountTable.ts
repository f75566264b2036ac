/** What is mounted on this machine, as this process sees it. */
import { readFileSync } from 'node:fs';

/** `root`: of the mounted file system, what is seen there. `device`: its numbers. */
export type MountEntry = { path: string; root: string; source: string; options: readonly string[]; device: string; type: string };

/** mountinfo writes a space as \040. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** In the order in which they were made: of several at one path the last lies on top. */
export const mountTable = (): MountEntry[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      const [, , device = '', root = '', path = '', options = ''] = before.split(' ');
      const [type = '', source = ''] = after.split(' ');
      return { path: unescaped(path), root: unescaped(root), source: unescaped(source), options: options.split(','), device, type };
    });
