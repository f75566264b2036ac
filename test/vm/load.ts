/**
 * Somebody who writes a file and checks it: `node load.ts FILE`. Several writes at once, each durable before the next of its block. Every 250 ms a line of what was
 * written and for how long nothing was; at SIGTERM all is read back, from the disk. Ends with 1 at the first error or difference.
 */
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const BLOCK_BYTES = 64 * 1024;
const BLOCKS = 256;
const WRITERS = 8;
const TELL_EVERY_MS = 250;

const file = await open(process.argv[2] ?? '', 'w+');
const versions = new Array<number>(BLOCKS).fill(0);
let stopping = false;
let written = 0;
let lastMs = performance.now();
let longestMs = 0;
process.once('SIGTERM', () => {
  stopping = true;
});

const contentOf = (block: number, version: number): Buffer => Buffer.alloc(BLOCK_BYTES, `${block}:${version};`);

async function writer(number: number): Promise<void> {
  for (let version = 1; !stopping; version++) {
    for (let block = number; block < BLOCKS && !stopping; block += WRITERS) {
      await file.write(contentOf(block, version), 0, BLOCK_BYTES, block * BLOCK_BYTES);
      await file.datasync();
      versions[block] = version;
      written++;
      longestMs = Math.max(longestMs, performance.now() - lastMs);
      lastMs = performance.now();
    }
  }
}

async function tell(): Promise<void> {
  while (!stopping) {
    console.log(JSON.stringify({ written, longestMs: Math.round(longestMs) }));
    await sleep(TELL_EVERY_MS);
  }
}

try {
  await Promise.all([...Array(WRITERS).keys()].map(writer).concat(tell()));
  writeFileSync('/proc/sys/vm/drop_caches', '3');
  const found = Buffer.alloc(BLOCK_BYTES);
  for (const [block, version] of versions.entries()) {
    if (version === 0) continue;
    await file.read(found, 0, BLOCK_BYTES, block * BLOCK_BYTES);
    if (!found.equals(contentOf(block, version))) throw new Error(`block ${block} is not as version ${version} was`);
  }
  console.log(JSON.stringify({ written, longestMs: Math.round(longestMs), checked: true }));
} catch (error) {
  console.log(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }));
  process.exit(1);
}
