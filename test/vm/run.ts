/**
 * `make test-csi-vm`: devices by the kernel's nbd, shown where there is one: in an emulated machine with Debian's kernel (guest.ts is what runs there). Exit code 0:
 * all of it went as it must; 1: something did not; 2: it could not be run. Needs no root, and no help of the processor.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { findCsiSanity } from '../../tools/local/programs.ts';
import { printer, printFailure } from '../../tools/local/progress.ts';
import { buildImage } from './image.ts';
import { findParts, findProgram } from './parts.ts';

const MEMORY_MIB = 3072;
const MINUTES_MAX = 40;
/** What the last line of a guest says that found all well. */
const WELL = 'guest ended with 0';
const EXIT_COULD_NOT_RUN = 2;

async function main(): Promise<number> {
  const parts = findParts();
  const sanity = await findCsiSanity(printer(process.stderr));
  const directory = mkdtempSync(path.join(tmpdir(), 'hf-vm-'));
  try {
    return (await boot(parts.kernel, buildImage(parts, sanity, directory))) ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What it says on its serial line is shown; whether all was well. */
function boot(kernel: string, image: string): Promise<boolean> {
  // Its time is what it has computed, not what has passed here: however busy this machine is, nothing there is late; and what it sleeps costs nothing.
  const time = ['-accel', 'tcg,thread=single', '-icount', 'shift=1,sleep=off'];
  const machine = ['-machine', 'q35', ...time, '-cpu', 'max', '-smp', '1', '-m', `${MEMORY_MIB}`, '-nodefaults'];
  const words = [...machine, '-no-reboot', '-display', 'none', '-serial', 'stdio', '-kernel', kernel, '-initrd', image];
  const append = `console=ttyS0 loglevel=${process.env.KERNEL_LOG || 4} panic=-1 rdinit=/init SCENES=${(process.env.SCENES ?? '').trim().replace(/\s+/g, ',')}`;
  return new Promise((resolve, reject) => {
    const child = spawn(findProgram('qemu-system-x86_64'), [...words, '-append', append], { stdio: ['ignore', 'pipe', 'inherit'] });
    const late = setTimeout(() => {
      process.stdout.write(`not done within ${MINUTES_MAX} minutes\n`);
      child.kill('SIGKILL');
    }, MINUTES_MAX * 60_000);
    let isWell = false;
    createInterface({ input: child.stdout }).on('line', (line) => {
      process.stdout.write(`${line}\n`);
      isWell ||= line.includes(WELL);
    });
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(late);
      resolve(isWell);
    });
    process.once('SIGINT', () => child.kill('SIGKILL'));
  });
}

process.exitCode = await main().catch((error) => {
  printFailure(error);
  return EXIT_COULD_NOT_RUN;
});
