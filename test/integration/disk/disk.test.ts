/** The machine's disk: what every disk does, and pools and replicas on it, with processes that are killed and a file system that is full. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { RealDisk } from '../../../agent/edge/disk.ts';
import { openPool } from '../../../agent/pool/open.ts';
import type { Pool } from '../../../agent/pool/pool.ts';
import type { Done, IoError, ReplicaStore } from '../../../agent/ports.ts';
import { EXTENT_BYTES } from '../../../core/extent.ts';
import { replicaId, volumeUid } from '../../../core/ids.ts';
import { systemRandom } from '../../../core/random.ts';
import { itIsADisk } from '../../support/diskContract.ts';
import { until } from '../../support/until.ts';
import { XfsDisk } from '../../support/xfsDisk.ts';

const MIB = 1024 * 1024;
const REPLICA = replicaId('00112233aabbccdd');
const HOLDER = path.join(import.meta.dirname, '../../support/poolHolder.ts');

const directories: string[] = [];
const children: ChildProcess[] = [];

function temporaryDirectory(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-disk-'));
  directories.push(directory);
  return directory;
}

const replicaOf = (sizeBytes: number) => ({ replica: REPLICA, volume: volumeUid('v-1'), volumeName: 'v', sizeBytes });

const open = (directory: string): Promise<Pool> =>
  new Promise((resolve, reject) =>
    openPool({ name: 'fast', path: directory, disk: new RealDisk(), bootId: 'boot-1', random: systemRandom }, (error, pool) =>
      pool ? resolve(pool) : reject(error),
    ),
  );

const create = (pool: Pool, sizeBytes: number): Promise<ReplicaStore> =>
  new Promise((resolve, reject) => pool.createReplica(replicaOf(sizeBytes), (error, store) => (store ? resolve(store) : reject(error))));

const ended = (act: (done: Done) => void): Promise<void> =>
  new Promise((resolve, reject) => act((error: IoError | null) => (error ? reject(error) : resolve())));

/** Another process that works on the pool; `lines` is what it has said so far. */
function hold(directory: string, ...more: string[]): { child: ChildProcess; lines: string[]; stderr: () => string } {
  const child = spawn(process.execPath, [HOLDER, directory, ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let said = '';
  let stderr = '';
  const lines: string[] = [];
  child.stdout.on('data', (data: Buffer) => {
    const parts = `${said}${data}`.split('\n');
    said = parts.pop() ?? '';
    lines.push(...parts);
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  return { child, lines, stderr: () => stderr };
}

const exited = (child: ChildProcess) => until('the process has ended', () => child.exitCode !== null || child.signalCode !== null);

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const directory of directories.splice(0)) fs.rmSync(directory, { recursive: true, force: true });
});

describe('the machine’s disk where files can share blocks', () => {
  let xfs: XfsDisk;
  let count = 0;
  before(async () => {
    xfs = await XfsDisk.make();
  });
  after(() => xfs.remove());
  itIsADisk(() => ({ disk: new RealDisk(), directory: xfs.subdirectory(`test-${count++}`) }));

  it('says that they can', () => expect(new RealDisk().canReflink(xfs.directory)).to.equal(true));
});

describe('the machine’s disk', () => {
  itIsADisk(() => ({ disk: new RealDisk(), directory: temporaryDirectory() }));

  it('a hole gives the space back', async () => {
    const directory = temporaryDirectory();
    const pool = await open(directory);
    const store = await create(pool, 8 * MIB);
    await ended((done) => store.addIntents([2], done));
    const blocks = () => fs.statSync(`${directory}/replicas/${REPLICA}/data`).blocks * 512;
    store.write(2 * MIB, [Buffer.alloc(MIB, 1)], MIB);
    await ended((done) => store.flush(done));
    expect(blocks()).to.be.at.least(MIB);
    store.zero(2 * MIB, MIB, true);
    await ended((done) => store.flush(done));
    expect(blocks()).to.equal(0);
    expect(fs.statSync(`${directory}/replicas/${REPLICA}/data`).size).to.equal(8 * MIB);
    await ended((done) => pool.close(done));
  });
});

describe('a pool between processes', () => {
  it('a second process gets one sentence; a kill -9 of the first frees the lock', async () => {
    const directory = temporaryDirectory();
    const first = hold(directory);
    await until('the first has it', () => first.lines.includes('held'));
    const second = hold(directory);
    await exited(second.child);
    expect(second.child.exitCode).to.equal(1);
    expect(second.stderr()).to.equal(
      `pool fast: ${directory} is in use by process ${first.child.pid}; only one agent at a time may work on a pool\n`,
    );
    await open(directory).then(
      () => expect.fail('this process must not get it either'),
      (error: unknown) => expect(error).to.have.property('name', 'PoolError'),
    );
    first.child.kill('SIGKILL');
    await exited(first.child);
    const pool = await open(directory);
    const third = hold(directory);
    await exited(third.child);
    expect(third.stderr()).to.match(new RegExp(`is in use by process ${process.pid};`));
    await ended((done) => pool.close(done));
    const fourth = hold(directory);
    await until('free again', () => fourth.lines.includes('held'));
  });

  it('kill -9 in the middle of work, again and again: what was told durable is there, what is not in doubt is right', async () => {
    const directory = temporaryDirectory();
    const told = new Map<number, number>();
    for (let round = 0; round < 5; round++) {
      const holder = hold(directory, String(40 * MIB));
      await until(
        'it has worked a while',
        () => {
          if (holder.child.exitCode !== null) throw new Error(`it ended by itself: ${holder.stderr()}`);
          return holder.lines.length > 30 + 7 * round;
        },
        20_000,
      );
      holder.child.kill('SIGKILL');
      await exited(holder.child);
      noteDurable(holder.lines, told);
      const pool = await open(directory);
      checkFound(pool.get(REPLICA), told);
      await ended((done) => pool.close(done));
    }
    expect(told.size).to.be.above(20);
  }).timeout(60_000);

  function noteDurable(lines: readonly string[], told: Map<number, number>): void {
    for (const line of lines) {
      const [word, extent, number] = line.split(' ');
      if (word === 'durable') told.set(Number(extent), Number(number));
    }
  }

  function checkFound(store: ReplicaStore | null, told: ReadonlyMap<number, number>): void {
    if (!store) throw new Error('the replica is gone');
    expect(store.meta.suspect, 'it is the same boot').to.equal(false);
    for (const [extent, number] of told) {
      const found = store.read(extent * EXTENT_BYTES, 4096).readUInt32LE(0);
      expect(found, `extent ${extent}`).to.be.at.least(number);
      if (!store.intents.has(extent)) expect(store.stamp(extent), `stamp of ${extent}`).to.equal(found);
    }
  }
});

describe('a full file system', () => {
  let mount = '';

  before(() => {
    mount = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-full-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'holdfast-test', mount], { stdio: ['ignore', 'ignore', 'pipe'] });
  });

  after(() => {
    execFileSync('umount', [mount]);
    fs.rmdirSync(mount);
  });

  it('says so with the numbers, keeps what it has, and can still promise, mark and close', async () => {
    const pool = await open(mount);
    const store = await create(pool, 64 * MIB);
    await ended((done) => store.addIntents([0, 1, 2, 3], done));
    const fill = () => {
      for (let at = 0; ; at += 65_536) store.write(at, [Buffer.alloc(65_536, 5)], 65_536);
    };
    expect(fill)
      .to.throw(/write .*ENOSPC; \d+ (B|KiB) of 2 MiB are free/)
      .with.property('code', 'noSpace');
    expect(store.read(0, 65_536).equals(Buffer.alloc(65_536, 5))).to.equal(true);
    await ended((done) => store.saveMeta({ ...store.meta, promisedEpoch: 3 }, done));
    await ended((done) => store.addIntents([9], done));
    await ended((done) => store.clean([0], () => true, done));
    const { capacityBytes, usedBytes } = pool.report();
    expect(capacityBytes - usedBytes).to.be.below(65_536);
    const refused = new Promise((resolve) =>
      pool.createReplica({ ...replicaOf(4096 * MIB), replica: replicaId('0000000000000002') }, resolve),
    );
    expect(await refused)
      .to.have.property('message')
      .that.matches(/^pool fast has .* free of 2 MiB; a replica of 4 GiB needs \d+ KiB before/);
    store.zero(MIB, MIB, true);
    store.write(3 * MIB, [Buffer.alloc(4096, 6)], 4096);
    await ended((done) => pool.close(done));
    const again = await open(mount);
    expect(again.get(REPLICA)?.meta).to.deep.include({ promisedEpoch: 3, suspect: false });
    await ended((done) => again.close(done));
  });
});
