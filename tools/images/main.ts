/**
 * `make images`: the images of operator and agent for each architecture asked for, as archives, each with its bill of materials; prints what they are
 * and how large. Needs root, buildah, and debootstrap where no base image is given; never a registry of images, never a docker daemon.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CHECKOUT } from '../local/layout.ts';
import { readImage, unpackImage } from './archive.ts';
import { buildImage, type Source } from './builder.ts';
import { command } from './commands.ts';
import { stageContext } from './context.ts';
import { debianPackages, npmPackages } from './materials.ts';
import { nodeProgram, productModules } from './modules.ts';
import { billOfMaterials } from './sbom.ts';
import { type Architecture, type ImageSettings, imageName, type ProgramName, parseImageSettings } from './settings.ts';

const MIB = 1_048_576;

const versionIn = (file: string, pick: (json: Record<string, unknown>) => unknown): string =>
  String(pick(JSON.parse(readFileSync(path.join(CHECKOUT, file), 'utf8')) as Record<string, unknown>));

const nodeVersion = (): string =>
  versionIn('images/node/package.json', ({ optionalDependencies }) => Object.values(optionalDependencies as Record<string, string>)[0]);

/** Which commit this is, and when it was made: the time that everything in the image bears, so that it can be built again. */
async function readSource(): Promise<Source> {
  const version = versionIn('package.json', (json) => json.version);
  const given = Number(process.env.SOURCE_DATE_EPOCH || Number.NaN);
  try {
    const [revision = '', seconds = '0'] = (await command('git', ['log', '-1', '--format=%H %ct'], { cwd: CHECKOUT })).trim().split(' ');
    const changed = (await command('git', ['status', '--porcelain', '--', '.'], { cwd: CHECKOUT })) !== '';
    return { version, revision: changed ? `${revision}-changed` : revision, epochSeconds: Number.isNaN(given) ? Number(seconds) : given };
  } catch {
    // Not a checkout of git, but somebody's copy: no commit, and no time but the one that is given.
    return { version, revision: '', epochSeconds: Number.isNaN(given) ? 0 : given };
  }
}

async function writeMaterials(settings: ImageSettings, program: ProgramName, archive: string, source: Source): Promise<string> {
  const tree = mkdtempSync(path.join(tmpdir(), 'holdfast-image-'));
  try {
    await unpackImage(archive, tree);
    const { id } = await readImage(archive);
    const text = billOfMaterials({
      image: imageName(settings, program),
      digest: id,
      version: source.version,
      createdSeconds: source.epochSeconds,
      nodeVersion: nodeVersion(),
      debian: debianPackages(tree),
      npm: npmPackages(tree),
    });
    const file = archive.replace(/\.tar$/, '.cdx.json');
    writeFileSync(file, text);
    return file;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

async function makeImage(settings: ImageSettings, program: ProgramName, architecture: Architecture, source: Source): Promise<void> {
  const startMs = performance.now();
  const context = path.join(settings.output, 'context', `${program}-${architecture}`);
  const modules = await productModules(settings.cache, architecture);
  stageContext({ directory: context, program, modules, node: await nodeProgram(settings.cache, architecture) });
  const archive = await buildImage(settings, program, architecture, context, source);
  await writeMaterials(settings, program, archive, source);
  const { id } = await readImage(archive);
  const size = `${Math.round(statSync(archive).size / MIB)} MiB`;
  const took = `${((performance.now() - startMs) / 1_000).toFixed(1)} s`;
  process.stdout.write(`${imageName(settings, program)}  ${architecture}  ${id}  ${size}  ${took}\n  ${archive}\n`);
}

const source = await readSource();
const settings = parseImageSettings(process.env, source.version);
for (const architecture of settings.architectures) {
  for (const program of settings.programs) await makeImage(settings, program, architecture, source);
}
