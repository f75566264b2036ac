/**
 * Takes away what Holdfast has left on a node that nobody uses any more: directories that are its own, and of a pool the files that every pool has, once it holds neither a replica nor
 * a snapshot. Must never remove a byte of one, nor follow a link, nor leave the paths that it was given.
 */
import { lstatSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../core/errors.ts';

/** Of pool/layout.ts and tombstones.ts; what has another name is not ours. */
const POOL_FILES = [
  'lock',
  'pool.json',
  'pool.json.next',
  'tombstones',
  'tombstones.next',
  'snapshot-tombstones',
  'snapshot-tombstones.next',
];
const POOL_DIRECTORIES = ['replicas', 'snapshots'];

const isDirectory = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** Sentences for what was left, and why. */
export function cleanPool(path: string): string[] {
  if (!isDirectory(path)) return [];
  const kept = POOL_DIRECTORIES.map((name) => join(path, name)).filter((one) => isDirectory(one) && readdirSync(one).length > 0);
  if (kept.length > 0) return [`${path} is left as it is: there is still something in ${kept.join(' and ')}`];
  return toldWhy(path, () => {
    for (const name of POOL_DIRECTORIES) if (isDirectory(join(path, name))) rmdirSync(join(path, name));
    for (const name of POOL_FILES) rmSync(join(path, name), { force: true });
  });
}

/** What no other program has put anything into. */
export function removeOwn(path: string): string[] {
  return toldWhy(path, () => rmSync(path, { recursive: true, force: true }));
}

/** What cannot be removed in one place holds up no other. */
function toldWhy(path: string, remove: () => void): string[] {
  try {
    remove();
    return [];
  } catch (error) {
    return [`${path} is left: ${messageOf(error)}`];
  }
}
