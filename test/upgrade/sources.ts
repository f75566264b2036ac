/**
 * The sources of other versions than this checkout's: one that was, out of git, and one that is to come, made from this one. Must never write into the checkout, nor leave
 * anything behind in git.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { PROTOCOL, SCHEMA } from '../../core/versions.ts';
import { LocalClusterError } from '../../tools/local/errors.ts';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { copySources } from '../history/sources.ts';

const PROGRAMS = ['agent', 'core', 'edge', 'operator', 'package.json', 'package-lock.json'];
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;
const INSTALL_BOUND_MS = 10 * 60_000;

function git(...words: string[]): Buffer {
  const { status, stdout, stderr } = spawnSync('git', ['-C', CHECKOUT, ...words], { maxBuffer: OUTPUT_BYTES_MAX });
  if (status !== 0) throw new LocalClusterError(`git ${words[0]} failed: ${stderr.toString().trim()}`);
  return stdout;
}

/** The programs as they were at a commit, in `directory`; answers with the commit. */
export function sourcesOfCommit(commit: string, directory: string): string {
  if (spawnSync('git', ['-C', CHECKOUT, 'cat-file', '-e', `${commit}^{commit}`], { stdio: 'ignore' }).status !== 0) {
    const isShallow = git('rev-parse', '--is-shallow-repository').toString().trim() === 'true';
    const why = isShallow ? 'this clone is shallow: git fetch --unshallow' : 'git does not know it';
    throw new LocalClusterError(`The version before is wanted from its commit ${commit}, which is not here (${why}).`);
  }
  mkdirSync(directory, { recursive: true });
  const { status } = spawnSync('tar', ['-x', '-C', directory], { input: git('archive', '--format=tar', commit, ...PROGRAMS) });
  if (status !== 0) throw new LocalClusterError(`The sources of ${commit} could not be written to ${directory}.`);
  installFor(directory);
  return git('rev-parse', '--short', `${commit}^{commit}`).toString().trim();
}

/** Ours where they have all that it asks for, each in the same version. */
function installFor(directory: string): void {
  const [ours, theirs] = [packagesOf(CHECKOUT), packagesOf(directory)];
  if ([...theirs].every(([place, version]) => ours.get(place) === version))
    return symlinkSync(path.join(CHECKOUT, 'node_modules'), path.join(directory, 'node_modules'));
  const { status, stderr } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: directory, timeout: INSTALL_BOUND_MS });
  if (status !== 0) throw new LocalClusterError(`npm ci for the version before failed: ${stderr.toString().trim()}`);
}

/** By where they lie, which versions; but for our own. */
function packagesOf(directory: string): Map<string, string | undefined> {
  const { packages } = JSON.parse(readFileSync(path.join(directory, 'package-lock.json'), 'utf8')) as LockFile;
  return new Map(Object.entries(packages).flatMap(([place, { version }]) => (place === '' ? [] : [[place, version]])));
}

type LockFile = { packages: Record<string, { version?: string }> };

/** The version behind this one, as far as others can tell: it knows one more of the protocol, and one more schema. */
export function sourcesToCome(directory: string): void {
  const raised = (name: string, version: number) => ({
    file: 'core/versions.ts',
    find: `export const ${name}: VersionRange = Object.freeze({ lowest: 1, highest: ${version} })`,
    replace: `export const ${name}: VersionRange = Object.freeze({ lowest: 1, highest: ${version + 1} })`,
  });
  copySources(directory, {
    name: 'the version to come',
    changes: [raised('PROTOCOL', PROTOCOL.highest), raised('SCHEMA', SCHEMA.highest)],
  });
}
