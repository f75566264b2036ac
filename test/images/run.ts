/**
 * `make test-images`: builds both images twice from nothing, which must give the same bytes, looks into them and runs them as a cluster does. Prints one
 * line a check and the sizes. Needs root, buildah, debootstrap, runc and readelf; for arm64 qemu-user-static. Exit code 0: all held.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileDigest, readImage, unpackImage } from '../../tools/images/archive.ts';
import { type Architecture, PROGRAMS, type ProgramName, parseImageSettings } from '../../tools/images/settings.ts';
import * as checks from './checks.ts';

const MIB = 1_048_576;
/** Unpacked; raised with a reason only. Node has 121 of them. */
const MIB_MAX: Readonly<Record<ProgramName, number>> = { operator: 200, agent: 260 };

const MAIN = path.resolve(import.meta.dirname, '../../tools/images/main.ts');

function make(output: string, architectures: readonly Architecture[]): Promise<void> {
  const env = { ...process.env, OUT: output, ARCH: architectures.join(' '), CACHED: '', PROGRAMS: '', TAG: 'test' };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`make images ended with ${code}`))));
  });
}

const counts = { passed: 0, failed: 0 };

function tell(what: string, wrong: readonly string[]): void {
  counts[wrong.length === 0 ? 'passed' : 'failed'] += 1;
  process.stdout.write(`${wrong.length === 0 ? 'ok    ' : 'FAILED'} ${what}\n${wrong.map((line) => `         ${line}\n`).join('')}`);
}

async function examine(first: string, second: string, program: ProgramName, architecture: Architecture, work: string): Promise<void> {
  const name = `holdfast-${program}-${architecture}`;
  const [one, other] = [first, second].map((directory) => path.join(directory, name)) as [string, string];
  for (const ending of ['.tar', '.cdx.json']) {
    const same = (await fileDigest(one + ending)) === (await fileDigest(other + ending));
    tell(`${name}${ending}: built twice, the same bytes`, same ? [] : [`${one}${ending} and ${other}${ending} differ`]);
  }
  const archive = `${one}.tar`;
  const sizeMiB = Math.round(statSync(archive).size / MIB);
  tell(`${name}: ${sizeMiB} MiB, at most ${MIB_MAX[program]}`, sizeMiB <= MIB_MAX[program] ? [] : ['it has grown']);
  const tree = path.join(work, name);
  await unpackImage(archive, tree);
  const subject = { program, architecture, image: await readImage(archive), tree, materials: `${one}.cdx.json` };
  for (const [what, check] of Object.entries(checks)) tell(`${name}: ${what}`, await check(subject));
  rmSync(tree, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const { architectures } = parseImageSettings(process.env, 'test');
  const work = mkdtempSync(path.join(tmpdir(), 'holdfast-images-'));
  try {
    const [first, second] = [path.join(work, 'first'), path.join(work, 'second')] as const;
    await make(first, architectures);
    await make(second, architectures);
    for (const architecture of architectures) {
      for (const program of PROGRAMS) await examine(first, second, program, architecture, work);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
  process.exitCode = counts.failed > 0 ? 1 : 0;
}

await main();
