/**
 * `make test-csi-vm`: devices by the kernel's nbd, shown where there is one: in an emulated machine with Debian's kernel (guest.ts is what runs there). Exit code 0:
 * all of it went as it must; 1: something did not; 2: it could not be run. Needs no root, and no help of the processor.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findCsiSanity } from '../../tools/local/programs.ts';
import { printer, printFailure } from '../../tools/local/progress.ts';
import { buildImage } from './image.ts';
import { boot } from './machine.ts';
import { findParts } from './parts.ts';

const EXIT_COULD_NOT_RUN = 2;

async function main(): Promise<number> {
  const parts = findParts();
  const sanity = await findCsiSanity(printer(process.stderr));
  const directory = mkdtempSync(path.join(tmpdir(), 'hf-vm-'));
  try {
    const image = buildImage(parts, sanity, directory);
    return (await boot({ kernel: parts.kernel, image, directory, append: wishes() })) ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** For the kernel, and through it for what runs there. */
const wishes = (): string => {
  const { KERNEL_LOG, SCENES } = process.env;
  return `loglevel=${KERNEL_LOG || 4} SCENES=${(SCENES ?? '').trim().replace(/\s+/g, ',')}`;
};

process.exitCode = await main().catch((error) => {
  printFailure(error);
  return EXIT_COULD_NOT_RUN;
});
