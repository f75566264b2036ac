/**
 * The npm packages of the images, for any architecture, in a cache: what package-lock.json asks for without what only tests and tools need, and Node
 * itself. No script of a package is run. Must never take anything from the checkout's node_modules, which is this machine's.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { CHECKOUT } from '../local/layout.ts';
import { command } from './commands.ts';
import { type Architecture, NPM_CPU } from './settings.ts';

/** Part of the cache's key: raised when what is taken out of packages changes. */
const TRIMMING = '2';

/** In packages, and never read by a running program: types, sources that types point to, texts. */
const UNREAD = ['**/*.d.ts', '**/*.d.mts', '**/*.d.cts', '**/*.map', '**/*.md', '**/*.markdown', '@types'];

/** Packages of the product, below `node_modules` in the directory that this gives. */
export const productModules = (cache: string, architecture: Architecture): Promise<string> =>
  install(cache, CHECKOUT, architecture, ['--omit=dev'], (modules) => trim(modules, architecture));

/** The file `node`. */
export async function nodeProgram(cache: string, architecture: Architecture): Promise<string> {
  const directory = await install(cache, path.join(CHECKOUT, 'images/node'), architecture, [], () => undefined);
  return path.join(directory, `node_modules/node-linux-${NPM_CPU[architecture]}/bin/node`);
}

/** Done elsewhere and then renamed: a build that is killed leaves nothing that is taken for a finished one. */
async function install(
  cache: string,
  source: string,
  architecture: Architecture,
  words: readonly string[],
  finish: (modules: string) => void,
): Promise<string> {
  const files = ['package.json', 'package-lock.json'].map((name) => path.join(source, name));
  const key = createHash('sha256').update(TRIMMING);
  for (const file of files) key.update(readFileSync(file));
  const directory = path.join(cache, 'modules', `${key.digest('hex').slice(0, 16)}-${architecture}`);
  if (existsSync(directory)) return directory;
  const unfinished = `${directory}.${process.pid}`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  for (const file of files) cpSync(file, path.join(unfinished, path.basename(file)));
  const platform = ['--os=linux', '--libc=glibc', `--cpu=${NPM_CPU[architecture]}`];
  await command('npm', ['ci', ...words, ...platform, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: unfinished,
  });
  finish(path.join(unfinished, 'node_modules'));
  if (existsSync(directory)) rmSync(unfinished, { recursive: true, force: true });
  else renameSync(unfinished, directory);
  return directory;
}

function trim(modules: string, architecture: Architecture): void {
  const ours = `linux-${NPM_CPU[architecture]}`;
  const foreign = globSync('**/prebuilds/*', { cwd: modules }).filter((file) => path.basename(file) !== ours);
  const foreignKoffi = globSync('@koromix/koffi-*/*/', { cwd: modules }).filter((file) => path.basename(file).startsWith('musl'));
  for (const file of [...foreign, ...foreignKoffi, ...globSync(UNREAD, { cwd: modules }), '.bin', '.package-lock.json']) {
    rmSync(path.join(modules, file), { recursive: true, force: true });
  }
}
