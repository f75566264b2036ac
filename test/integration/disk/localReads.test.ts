/** The page cache of the real kernel as threads of primaries read it: what is there, what is not, and a disk that hangs. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { localReads } from '../../../agent/edge/localReads.ts';
import type { LocalReads } from '../../../agent/ports.ts';
import type { Member } from '../../../core/config.ts';
import { replicaId } from '../../../core/ids.ts';
import { silentLog } from '../../../core/log.ts';
import { SickDisk } from '../../support/sickDisk.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const SIZE = 8 * MIB;
const REPLICA = replicaId('00000000000000aa');
const MEMBER: Member = { replica: REPLICA, node: 'node-a', pool: 'default' };
/** No disk is asked: what takes longer than this was. */
const AT_ONCE_MS = 500;

/** Every byte differs from its neighbours, in its page and in the next. */
const content = Buffer.from(Uint8Array.from({ length: SIZE }, (_, index) => (index * 31 + (index >> 12) * 7) % 251));

function makeData(pool: string): string {
  const directory = path.join(pool, 'replicas', REPLICA);
  fs.mkdirSync(directory, { recursive: true });
  const data = path.join(directory, 'data');
  fs.writeFileSync(data, content);
  return data;
}

/** The kernel forgets what it has of the file. */
const forget = (data: string): void => {
  execFileSync('dd', [`of=${data}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' });
};

async function opened(pool: string): Promise<LocalReads> {
  const reads = localReads(new Map([['default', pool]]), silentLog)(MEMBER);
  if (!reads) throw new Error('no pool of that name');
  await until('the file is open', () => reads.read(0, Buffer.alloc(1)));
  return reads;
}

describe('The page cache', function () {
  this.timeout(60_000);
  let pool: string;
  let data: string;
  beforeEach(() => {
    pool = fs.mkdtempSync(path.join(tmpdir(), 'hf-cache-'));
    data = makeData(pool);
  });
  afterEach(() => fs.rmSync(pool, { recursive: true }));

  const descriptors = (): number =>
    fs.readdirSync('/proc/self/fd').filter((name) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${name}`) === data;
      } catch {
        return false;
      }
    }).length;

  it('is read at any offset and length, into any part of any memory', async () => {
    const reads = await opened(pool);
    const memory = Buffer.alloc(2 * MIB);
    for (const [offset, length, at] of [
      [0, 1, 0],
      [4095, 2, 17],
      [5000, 4096, 4096],
      [MIB - 3, MIB, 5],
      [SIZE - 1, 1, 0],
    ] as const) {
      const target = memory.subarray(at, at + length);
      expect(reads.read(offset, target)).to.equal(true);
      expect(target.equals(content.subarray(offset, offset + length))).to.equal(true);
    }
    reads.close();
  });

  it('has what was written a moment ago by anybody', async () => {
    const reads = await opened(pool);
    const descriptor = fs.openSync(data, 'r+');
    const target = Buffer.alloc(4096);
    for (let value = 0; value < 256; value++) {
      fs.writeSync(descriptor, Buffer.alloc(4096, value), 0, 4096, 12_288);
      expect(reads.read(12_288, target) && target.every((byte) => byte === value)).to.equal(true);
    }
    fs.closeSync(descriptor);
    reads.close();
  });

  it('has no more than the file, and nothing of what the kernel has forgotten, until somebody reads it', async () => {
    const reads = await opened(pool);
    expect(reads.read(SIZE - 1, Buffer.alloc(2))).to.equal(false);
    forget(data);
    expect(reads.read(0, Buffer.alloc(4096))).to.equal(false);
    expect(reads.read(0, Buffer.alloc(4096)), 'asking has not begun to read it').to.equal(false);
    fs.readFileSync(data);
    expect(reads.read(0, Buffer.alloc(4096))).to.equal(true);
    reads.close();
  });

  it('is read no more once it is closed, whether it was open or only about to be', async () => {
    const reads = await opened(pool);
    expect(descriptors()).to.equal(1);
    const next = localReads(new Map([['default', pool]]), silentLog)(MEMBER);
    for (const each of [reads, next]) {
      each?.close();
      expect(each?.read(0, Buffer.alloc(1))).to.equal(false);
    }
    await until('the files are closed', () => descriptors() === 0);
  });

  it('is none of a pool that is not this agent’s', async () => {
    expect(localReads(new Map(), silentLog)(MEMBER)).to.equal(null);
  });

  it('of a disk that hangs is read as before, and what it has not got is not waited for', async () => {
    const disk = await SickDisk.frail();
    try {
      const sick = makeData(disk.directory);
      forget(sick);
      const descriptor = fs.openSync(sick, 'r');
      fs.readSync(descriptor, Buffer.alloc(4096), 0, 4096, 0);
      fs.closeSync(descriptor);
      const open = localReads(new Map([['default', disk.directory]]), silentLog);
      const reads = open(MEMBER);
      await until('the file is open', () => reads?.read(0, Buffer.alloc(1)) === true);
      disk.hang();
      const startedMs = performance.now();
      const target = Buffer.alloc(4096);
      expect(reads?.read(0, target)).to.equal(true);
      expect(target.equals(content.subarray(0, 4096))).to.equal(true);
      for (let offset = 4 * MIB; offset < SIZE; offset += MIB) expect(reads?.read(offset, target)).to.equal(false);
      // Opening and closing wait for the disk if they must, but nobody for them.
      open(MEMBER)?.close();
      reads?.close();
      expect(performance.now() - startedMs).to.be.lessThan(AT_ONCE_MS);
    } finally {
      disk.goOn();
      await disk.remove();
    }
  });
});
