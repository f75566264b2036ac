/**
 * How fast a replica's files take 4 KiB writes, beside what the same disk takes from plain `fs.writeSync`. Not a test: numbers to look at.
 * Usage: node test/bench/replicaStore.ts [directory]
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { RealDisk } from '../../agent/edge/disk.ts';
import { openPool } from '../../agent/pool/open.ts';
import type { Pool } from '../../agent/pool/pool.ts';
import type { Done, ReplicaStore } from '../../agent/ports.ts';
import { replicaId, volumeUid } from '../../core/ids.ts';
import { systemRandom } from '../../core/random.ts';
import { SeededRandom } from '../support/seededRandom.ts';

const MIB = 1024 * 1024;
const SIZE_BYTES = 256 * MIB;
const EXTENTS = SIZE_BYTES / MIB;
const BLOCK = 4096;
const MEASURE_MS = 2000;

const directory = fs.mkdtempSync(path.join(process.argv[2] ?? os.tmpdir(), 'holdfast-bench-'));
const random = new SeededRandom(1);
const offsets = Array.from({ length: 65_536 }, () => random.below(SIZE_BYTES / BLOCK) * BLOCK);
const block = Buffer.alloc(BLOCK, 0x5a);

const ended = (act: (done: Done) => void): Promise<void> =>
  new Promise((resolve, reject) => act((error) => (error ? reject(error) : resolve())));

/** Calls it for a while, with ever other offsets; per second. */
function rate(act: (offsetBytes: number) => void): number {
  const startMs = performance.now();
  let count = 0;
  while (performance.now() - startMs < MEASURE_MS) for (let index = 0; index < 256; index++) act(offsets[count++ % offsets.length] ?? 0);
  return count / ((performance.now() - startMs) / 1000);
}

async function rateOf(act: (number: number) => Promise<void>): Promise<number> {
  const startMs = performance.now();
  let count = 0;
  while (performance.now() - startMs < MEASURE_MS) await act(count++);
  return count / ((performance.now() - startMs) / 1000);
}

const show = (what: string, perSecond: number): void =>
  console.log(`${what.padEnd(60)} ${Math.round(perSecond).toLocaleString('en').padStart(10)} /s`);

async function measure(store: ReplicaStore): Promise<void> {
  const everything = Array.from({ length: EXTENTS }, (_, extent) => extent);
  await ended((done) => store.addIntents(everything, done));
  const raw = fs.openSync(path.join(directory, 'raw'), 'w+');
  for (let at = 0; at < SIZE_BYTES; at += MIB) {
    fs.writeSync(raw, Buffer.alloc(MIB, 1), 0, MIB, at);
    store.write(at, [Buffer.alloc(MIB, 1)], MIB);
  }
  for (const round of [1, 2]) {
    show(
      `4 KiB writes, fs.writeSync (round ${round})`,
      rate((at) => fs.writeSync(raw, block, 0, BLOCK, at)),
    );
    show(
      `4 KiB writes, store.write, one chunk (round ${round})`,
      rate((at) => store.write(at, [block], BLOCK)),
    );
  }
  const halves = [block.subarray(0, 2048), block.subarray(2048)];
  show(
    '4 KiB writes, store.write, two chunks',
    rate((at) => store.write(at, halves, BLOCK)),
  );
  show(
    '4 KiB writes, store.write and setStamp',
    rate((at) => {
      store.write(at, [block], BLOCK);
      store.setStamp(Math.floor(at / MIB), 7);
    }),
  );
  const target = Buffer.allocUnsafe(BLOCK);
  show(
    '4 KiB reads, fs.readSync into one buffer',
    rate((at) => fs.readSync(raw, target, 0, BLOCK, at)),
  );
  show(
    '4 KiB reads, store.read',
    rate((at) => void store.read(at, BLOCK)),
  );
  show(
    'addIntents of what is durable',
    rate((at) => store.addIntents([Math.floor(at / MIB)], () => undefined)),
  );
  await ended((done) => store.flush(done));
  show(
    'fs.fdatasync after a 4 KiB write',
    await rateOf((number) => {
      fs.writeSync(raw, block, 0, BLOCK, offsets[number % offsets.length] ?? 0);
      return new Promise((resolve, reject) => fs.fdatasync(raw, (error) => (error ? reject(error) : resolve())));
    }),
  );
  show(
    'flush after a 4 KiB write',
    await rateOf((number) => {
      store.write(offsets[number % offsets.length] ?? 0, [block], BLOCK);
      return ended((done) => store.flush(done));
    }),
  );
  await ended((done) => store.clean(everything, () => true, done));
  show(
    'intents of a new extent, one at a time',
    await rateOf(async (number) => {
      const extent = number % EXTENTS;
      if (extent === 0) await ended((done) => store.clean(everything, () => true, done));
      await ended((done) => store.addIntents([extent], done));
    }),
  );
  fs.closeSync(raw);
}

const pool = await new Promise<Pool>((resolve, reject) =>
  openPool({ name: 'bench', path: directory, disk: new RealDisk(), bootId: 'bench', random: systemRandom }, (error, opened) =>
    opened ? resolve(opened) : reject(error),
  ),
);
const replica = { replica: replicaId('00112233aabbccdd'), volume: volumeUid('v-1'), volumeName: 'bench', sizeBytes: SIZE_BYTES };
const store = await new Promise<ReplicaStore>((resolve, reject) =>
  pool.createReplica(replica, (error, created) => (created ? resolve(created) : reject(error))),
);
try {
  await measure(store);
} finally {
  await ended((done) => pool.close(done));
  fs.rmSync(directory, { recursive: true, force: true });
}
