/**
 * File systems that are begun and not ended, by the machine's own programs on a loop device: mkfs is killed anywhere, its node dies with any part of what it wrote on its way,
 * or its agent dies and it goes on. Every time the next attempt ends with a sound file system, and what has been mounted once is never made anew.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { make } from '../../../agent/csi/making.ts';
import type { Device, FileSystem, Mounts } from '../../../agent/csi/ports.ts';
import { mkfsCommand } from '../../../agent/csi/programs.ts';
import { volumeUid } from '../../../core/ids.ts';
import { MountNamespace } from '../../support/csi/mountNamespace.ts';
import { runWell } from '../../support/nbdServed.ts';
import { SeededRandom } from '../../support/seededRandom.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
/** mkfs.xfs makes none below 300 MiB. */
const SIZE = 320 * MIB;
const BLOCK = 4096;
const UID = volumeUid('2f0c8a52-5a0e-4a57-9c8d-0d8b0f9f7a11');
const OTHER = volumeUid('7c1b1d0e-6d5f-4a39-8a54-4f0c7e0b2a22');
const KILLS = 8;
const KILL_EVERY_MS = 5;
const LOSSES = 5;
const DEATHS = 4;

const SHAPES: Record<FileSystem, { size: string; words: string[] }[]> = {
  ext4: [
    ...['26M', '48M', '320M', '600M', '10G', '1T', '15T'].map((size) => ({ size, words: [] })),
    { size: '10G', words: ['-i', '1024'] },
    { size: '10G', words: ['-b', '1024'] },
    { size: '10G', words: ['-T', 'largefile4'] },
    { size: '10G', words: ['-E', 'packed_meta_blocks=1'] },
    { size: '10G', words: ['-O', 'bigalloc'] },
  ],
  xfs: [
    ...['320M', '10G', '1T', '15T'].map((size) => ({ size, words: [] })),
    { size: '10G', words: ['-i', 'size=2048'] },
    { size: '1G', words: ['-d', 'agcount=8'] },
    { size: '10G', words: ['-s', 'size=4096'] },
    { size: '10G', words: ['-d', 'su=64k,sw=4'] },
  ],
};

const isDone = (): boolean => true;
/** What an attempt before it left is still at the device, or it died before it wrote anything. */
const isRefused = (): boolean => false;

describe('agent/csi: file systems that were begun', function () {
  this.timeout(120_000);
  let directory: string;
  let loop: string;
  let inside: MountNamespace;
  let device: Device;
  const random = new SeededRandom(20_260);
  const disk = (): string => path.join(directory, 'disk');

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'holdfast-making-'));
    await writeFile(disk(), '');
    await truncate(disk(), SIZE);
    loop = (await runWell('losetup', '--find', '--show', disk())).trim();
    device = { name: 'pgdata', uid: UID, device: loop, sizeBytes: SIZE, readonly: false, failed: false };
    inside = new MountNamespace();
  });
  afterEach(async () => {
    await inside.end();
    await runWell('losetup', '--detach', loop);
    await rm(directory, { recursive: true });
  });

  const mounts = (): Mounts => inside.mounts as unknown as Mounts;
  const attempt = (type: FileSystem, uid = UID): Promise<boolean> => make(mounts(), { ...device, uid }, { type, mkfs: [] });
  const blank = async (): Promise<void> => void (await runWell('blkdiscard', '--zeroout', loop));
  const check = (type: FileSystem): Promise<string> =>
    type === 'ext4' ? runWell('e2fsck', '-f', '-n', loop) : runWell('xfs_repair', '-n', loop);

  /** Sound by the thorough check, without a mark, found by the next staging, and it keeps what is written. */
  async function isWhole(type: FileSystem): Promise<void> {
    await check(type);
    expect(await inside.mounts.isMarked(loop, UID, type)).to.equal(false);
    const staging = path.join(directory, 'staging');
    await inside.mounts.makeDirectory(staging);
    await inside.mounts.mount(loop, staging, type, []);
    await inside.run('touch', path.join(staging, 'kept'));
    await inside.mounts.unmount(staging, false);
    expect(await attempt(type), 'made again').to.equal(false);
    await inside.mounts.mount(loop, staging, type, []);
    expect(await inside.run('ls', staging)).to.contain('kept');
    await inside.mounts.unmount(staging, false);
  }

  async function killedMkfs(type: FileSystem, afterMs: number): Promise<boolean> {
    const [program, ...words] = mkfsCommand(loop, type, []);
    const child = spawn(program, words, { stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
    clearTimeout(timer);
    return signal !== null;
  }

  for (const type of ['ext4', 'xfs'] as const) {
    for (const { size, words } of SHAPES[type])
      it(`${type}: mkfs writes nothing where the mark is, on ${size} with ${words.join(' ') || 'no options'}`, async () => {
        await truncate(disk(), 0);
        await runWell('truncate', '--size', size, disk());
        await runWell('losetup', '--set-capacity', loop);
        await inside.mounts.mark(loop, UID, type);
        await inside.mounts.format(loop, type, words);
        expect(await inside.mounts.isMarked(loop, UID, type)).to.equal(true);
      });

    it(`${type}: the mark is taken for nothing else, outlives mkfs, and leaves it sound when it goes`, async () => {
      await inside.mounts.mark(loop, UID, type);
      expect(await inside.mounts.isMarked(loop, UID, type)).to.equal(true);
      expect(await inside.mounts.isMarked(loop, OTHER, type)).to.equal(false);
      expect(await inside.mounts.probe(loop)).to.equal(null);
      await inside.mounts.format(loop, type, []);
      expect(await inside.mounts.isMarked(loop, UID, type)).to.equal(true);
      expect(await inside.mounts.probe(loop)).to.equal(type);
      await check(type);
      await inside.mounts.unmark(loop, type);
      await isWhole(type);
    });

    it(`${type}: mkfs that was killed anywhere is made again`, async () => {
      let killed = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        await blank();
        await inside.mounts.mark(loop, UID, type);
        if (await killedMkfs(type, kill * KILL_EVERY_MS)) killed++;
        await attempt(type);
        await isWhole(type);
      }
      expect(killed, 'killed before it had ended').to.be.greaterThan(0);
    });

    it(`${type}: a copy that was taken in the middle is not made anew for its mark`, async () => {
      await inside.mounts.mark(loop, UID, type);
      await runWell('dd', 'if=/dev/urandom', `of=${loop}`, 'bs=4096', 'seek=9', 'count=1', 'conv=notrunc,fsync');
      const refused = await attempt(type, OTHER).catch((error: Error) => error.message);
      expect(refused).to.contain('it is not made anew over data');
    });

    it(`${type}: a mark beside what was mounted takes nothing away`, async () => {
      await attempt(type);
      await isWhole(type);
      await inside.mounts.mark(loop, UID, type);
      expect(await attempt(type)).to.equal(false);
      await isWhole(type);
    });

    it(`${type}: an agent that dies in the middle leaves a mkfs that nobody overtakes`, async () => {
      for (let death = 0; death < DEATHS; death++) {
        await blank();
        const dying = attempt(type).then(
          () => undefined,
          () => undefined,
        );
        await new Promise((resolve) => setTimeout(resolve, random.below(80)));
        await inside.kill();
        await dying;
        inside = new MountNamespace();
        await until('it is made', () => attempt(type).then(isDone, isRefused), 30_000);
        await isWhole(type);
      }
    });
  }

  // XFS writes past the page cache, in its order.
  it('ext4: whatever part of it had reached the volume when its node died, it is made again', async () => {
    await inside.mounts.mark(loop, UID, 'ext4');
    await inside.mounts.format(loop, 'ext4', []);
    const written = await dataBlocks(disk());
    for (let loss = 0; loss < LOSSES; loss++) {
      await blank();
      await scatter(
        loop,
        [...written].filter(() => random.chance(0.5)),
      );
      if (!(await inside.mounts.isMarked(loop, UID, 'ext4'))) await inside.mounts.mark(loop, UID, 'ext4');
      expect(await attempt('ext4')).to.equal(true);
      await isWhole('ext4');
    }
  });
});

async function withFile<Result>(file: string, flags: string, work: (handle: FileHandle) => Promise<Result>): Promise<Result> {
  const handle = await open(file, flags);
  try {
    return await work(handle);
  } finally {
    await handle.close();
  }
}

/** By place, all that are not zeroes. */
function dataBlocks(file: string): Promise<Map<number, Buffer>> {
  return withFile(file, 'r', async (handle) => {
    const blocks = new Map<number, Buffer>();
    const piece = Buffer.alloc(MIB);
    for (let at = 0; at < SIZE; at += MIB) {
      await handle.read(piece, 0, MIB, at);
      if (piece.every((byte) => byte === 0)) continue;
      for (let from = 0; from < MIB; from += BLOCK) {
        const block = Buffer.from(piece.subarray(from, from + BLOCK));
        if (block.some((byte) => byte !== 0)) blocks.set(at + from, block);
      }
    }
    return blocks;
  });
}

function scatter(device: string, blocks: readonly [number, Buffer][]): Promise<void> {
  return withFile(device, 'r+', async (handle) => {
    for (const [at, block] of blocks) await handle.write(block, 0, block.length, at);
    await handle.sync();
  });
}
