/** What an image's archive holds: its identity, its configuration, and the files of all its layers, unpacked for whoever looks into them. */
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { command } from './commands.ts';

export type ImageConfiguration = {
  architecture: string;
  created: string;
  config: { User?: string; Cmd?: string[]; Env?: string[]; WorkingDir?: string; Labels?: Record<string, string> };
};

/** Digest of the configuration, which names every layer by its digest: two images with the same one have the same bytes. */
export type Image = { id: string; configuration: ImageConfiguration; layers: string[]; names: string[] };

export async function readImage(archive: string): Promise<Image> {
  const manifest = JSON.parse(await command('tar', ['-xOf', archive, 'manifest.json'])) as {
    Config: string;
    Layers: string[];
    RepoTags: string[];
  }[];
  const [only] = manifest;
  if (only === undefined) throw new Error(`${archive} holds no image`);
  const text = await command('tar', ['-xOf', archive, only.Config]);
  return {
    id: `sha256:${createHash('sha256').update(text).digest('hex')}`,
    configuration: JSON.parse(text) as ImageConfiguration,
    layers: only.Layers,
    names: only.RepoTags,
  };
}

/** No layer of ours takes away what one below it has. */
export async function unpackImage(archive: string, tree: string): Promise<void> {
  const { layers } = await readImage(archive);
  const work = mkdtempSync(path.join(tmpdir(), 'holdfast-image-'));
  try {
    mkdirSync(tree, { recursive: true });
    await command('tar', ['-xf', archive, '-C', work]);
    for (const layer of layers) await command('tar', ['-xpf', path.join(work, layer), '--keep-directory-symlink', '-C', tree]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export async function fileDigest(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

export const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
