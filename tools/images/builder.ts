/**
 * Builds one image with buildah, which needs no daemon, keeps its own store below the cache, and can build the same bytes twice. Writes a docker archive:
 * `docker load`, `ctr images import` and `skopeo copy` take it. Never pushes anything anywhere.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { CHECKOUT } from '../local/layout.ts';
import { command } from './commands.ts';
import { type Architecture, type ImageSettings, imageName, type ProgramName } from './settings.ts';

const SUITE = 'bookworm';
const IMAGES_KEPT_MAX = 60;
const BASE_MADE_HERE = `holdfast.local/debian:${SUITE}`;

/** Nothing of earlier builds, and nothing that names what only this builder's store has: with that, two builds are the same bytes. */
const FRESH = ['--layers', '--no-cache', '--omit-history', '--identity-label=false'];

export type Source = { version: string; revision: string; epochSeconds: number };

const buildah = (settings: ImageSettings): string[] => [
  'buildah',
  '--root',
  path.join(settings.cache, 'storage'),
  '--runroot',
  path.join(settings.cache, 'run'),
  '--storage-driver',
  'overlay',
];

async function run(words: readonly string[]): Promise<string> {
  const [program = '', ...rest] = words;
  return (await command(program, rest)).trim();
}

/** The machine's own apt knows one, where none is given. */
async function debianMirror(settings: ImageSettings): Promise<string> {
  if (settings.mirror !== '') return settings.mirror;
  const targets = ['indextargets', '--format', '$(SITE)', 'Created-By: Packages', `Codename: ${SUITE}`];
  const mirror = (await command('apt-get', targets)).split('\n')[0] ?? '';
  if (mirror === '')
    throw new Error(`no apt source here has Debian ${SUITE}: give one as MIRROR=, or an image of Debian with apt as BASE=`);
  return mirror;
}

/** The image of the first stage: what was given, or one that is made here, once. */
async function baseImage(settings: ImageSettings): Promise<string> {
  if (settings.base !== '') return settings.base;
  const tree = path.join(settings.cache, 'base', SUITE);
  const script = path.join(CHECKOUT, 'images/base.sh');
  await run([script, SUITE, await debianMirror(settings), tree, BASE_MADE_HERE, ...buildah(settings)]);
  return BASE_MADE_HERE;
}

/** Gives the archive's file. */
export async function buildImage(
  settings: ImageSettings,
  program: ProgramName,
  architecture: Architecture,
  context: string,
  source: Source,
): Promise<string> {
  const words = [
    ...['build', '--quiet', '--isolation', 'chroot', '--timestamp', String(source.epochSeconds)],
    ...['--arch', architecture, '--os', 'linux', '--build-arg', `BUILDPLATFORM=linux/${process.arch === 'x64' ? 'amd64' : process.arch}`],
    ...(settings.useCached ? ['--layers'] : FRESH),
    ...[
      '--build-arg',
      `BASE=${await baseImage(settings)}`,
      '--build-arg',
      `ARCH=${architecture}`,
      '--build-arg',
      `MIRROR=${settings.mirror}`,
    ],
    ...['--build-arg', `VERSION=${source.version}`, '--build-arg', `REVISION=${source.revision}`],
  ];
  const image = (await run([...buildah(settings), ...words, context])).split('\n').at(-1) ?? '';
  mkdirSync(settings.output, { recursive: true });
  const archive = path.join(settings.output, `holdfast-${program}-${architecture}.tar`);
  const unfinished = `${archive}.unfinished`;
  if (existsSync(unfinished)) rmSync(unfinished);
  await run([...buildah(settings), 'push', '--quiet', image, `docker-archive:${unfinished}:${imageName(settings, program)}`]);
  renameSync(unfinished, archive);
  await clear(settings);
  return archive;
}

/** Every build leaves its layers in the store: those of fresh ones are of no use, those of others while there are not too many. */
async function clear(settings: ImageSettings): Promise<void> {
  const kept = (await run([...buildah(settings), 'images', '--all', '--quiet'])).split('\n').length;
  if (!settings.useCached || kept > IMAGES_KEPT_MAX) await run([...buildah(settings), 'rmi', '--prune', '--force']);
}
