/**
 * `make test-csi`: the standard tests of CSI drivers, as released, against both services with real parts. Exit code 0: all that the driver claims to do passed,
 * and nothing was left over. FOCUS: only tests whose names match.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findCsiSanity } from '../../tools/local/programs.ts';
import { printer, printFailure } from '../../tools/local/progress.ts';
import { CsiCluster } from './cluster.ts';

const MIB = 1024 ** 2;
/** mkfs.xfs makes none below 300 MiB, and ext4 is quick at any size. */
const VOLUME_BYTES = 400 * MIB;
const GROWN_BYTES = 600 * MIB;
const EXIT_COULD_NOT_RUN = 2;

async function main(): Promise<number> {
  const sanity = await findCsiSanity(printer(process.stderr));
  const csi = await CsiCluster.start({ onProgress: printer(process.stderr) });
  const work = mkdtempSync(path.join(tmpdir(), 'hf-csi-'));
  try {
    const passed = await run(sanity, [
      `--csi.endpoint=${csi.node()}`,
      `--csi.controllerendpoint=${csi.controller()}`,
      `--csi.mountdir=${path.join(work, 'target')}`,
      `--csi.stagingdir=${path.join(work, 'staging')}`,
      `--csi.testvolumesize=${VOLUME_BYTES}`,
      `--csi.testvolumeexpandsize=${GROWN_BYTES}`,
      '--ginkgo.no-color',
      ...(process.env.FOCUS ? [`--ginkgo.focus=${process.env.FOCUS}`] : []),
    ]);
    const left = await leftOver(csi);
    for (const one of left) process.stdout.write(`LEFT OVER: ${one}\n`);
    return passed && left.length === 0 ? 0 : 1;
  } finally {
    await csi.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

async function leftOver({ cluster }: CsiCluster): Promise<string[]> {
  const listed = await Promise.all(['volumes', 'snapshots'].map((kind) => cluster.kubectl(['get', kind, '--output=name'])));
  return listed.flatMap((text) => text.split('\n')).filter((name) => name !== '');
}

/** Whether it ended with 0. What it says goes to our output. */
function run(program: string, words: string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code) => resolve(code === 0));
    process.once('SIGINT', () => child.kill('SIGINT'));
  });
}

process.exitCode = await main().catch((error) => {
  printFailure(error);
  return EXIT_COULD_NOT_RUN;
});
