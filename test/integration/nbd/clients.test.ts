/** What the real clients find on the socket: libnbd's tools, qemu's, and fio. */

import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { NbdServer } from '../../../agent/edge/nbdServer.ts';
import { MemoryDevice } from '../../support/memoryDevice.ts';
import { run, runWell, type Served, serve } from '../../support/nbdServed.ts';
import { until } from '../../support/until.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 96 * MIB + 512;

const qemuIo = (served: Served, ...commands: string[]) =>
  runWell('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), served.uri());

/** Bytes that repeat nowhere, with a hole in their middle, as a file. */
async function sampleFile(served: Served, sizeBytes: number): Promise<string> {
  const file = path.join(served.directory, 'sample');
  const words = Uint32Array.from({ length: MIB / 4 }, (_, index) => Math.imul(index + 1, 2_654_435_761));
  const handle = await open(file, 'w');
  await handle.write(Buffer.from(words.buffer), 0, MIB, 0);
  await handle.write(Buffer.from(words.buffer), 0, MIB, sizeBytes - MIB - 3);
  await handle.truncate(sizeBytes);
  await handle.close();
  return file;
}

describe('nbd clients', function () {
  this.timeout(60_000);
  let device: MemoryDevice;
  let served: Served;

  beforeEach(async () => {
    device = new MemoryDevice('pgdata', SIZE);
    served = await serve(device);
  });
  afterEach(async () => {
    await served.remove();
    expect(device.clientsOpen).to.equal(0);
    expect(served.events.refusedConnections).to.deep.equal([]);
  });

  describe('nbdinfo', () => {
    it('sees the size, what is offered and the block sizes', async () => {
      const { exports, ...rest } = JSON.parse(await runWell('nbdinfo', '--json', served.uri()));
      expect(rest).to.deep.include({ protocol: 'newstyle-fixed', TLS: false, structured: true });
      expect(exports.length).to.equal(1);
      expect(exports[0]).to.deep.include({
        'export-name': 'pgdata',
        description: 'Holdfast volume pgdata',
        contexts: ['base:allocation'],
        'export-size': SIZE,
        is_read_only: false,
        can_cache: true,
        can_df: true,
        can_fast_zero: true,
        can_flush: true,
        can_fua: true,
        can_multi_conn: true,
        can_trim: true,
        can_zero: true,
        block_size_minimum: 1,
        block_size_preferred: 4096,
        block_size_maximum: 32 * MIB,
      });
    });

    it('takes the empty name for the volume', async () => {
      expect(await runWell('nbdinfo', '--size', served.uri(''))).to.equal(`${SIZE}\n`);
    });

    it('is told the volume that is here when it asks for another', async () => {
      const { code, stderr } = await run('qemu-img', 'info', served.uri('other'));
      expect(code).to.equal(1);
      expect(stderr).to.include('this socket serves only pgdata');
    });

    it('lists the volume', async () => {
      const listed = JSON.parse(await runWell('nbdinfo', '--list', '--json', served.uri('')));
      expect(listed.exports.map((entry: Record<string, unknown>) => entry['export-name'])).to.deep.equal(['pgdata']);
    });

    it('maps what is allocated', async () => {
      device.copyIn(2 * MIB, Buffer.alloc(MIB, 1));
      const map = JSON.parse(await runWell('nbdinfo', '--map', '--json', served.uri()));
      expect(map.map(({ offset, length, type }: Record<string, number>) => [offset, length, type])).to.deep.equal([
        [0, 2 * MIB, 3],
        [2 * MIB, MIB, 0],
        [3 * MIB, SIZE - 3 * MIB, 3],
      ]);
    });
  });

  describe('nbdcopy', () => {
    it('copies a file in and out over four connections, and leaves its holes', async () => {
      const file = await sampleFile(served, SIZE);
      const back = path.join(served.directory, 'back');
      await runWell('nbdcopy', '--connections=4', '--threads=4', '--requests=16', '--flush', file, served.uri());
      expect(served.events.opened).to.equal(4);
      expect(device.flushes).to.be.greaterThan(0);
      expect(device.allocatedBytes).to.be.lessThan(3 * MIB);
      await runWell('nbdcopy', '--connections=4', served.uri(), back);
      expect((await readFile(back)).equals(await readFile(file))).to.equal(true);
    });

    it('copies in one request after the other', async () => {
      const file = await sampleFile(served, SIZE);
      await runWell('nbdcopy', '--synchronous', '--allocated', file, served.uri());
      expect(device.copyOut(0, SIZE).equals(await readFile(file))).to.equal(true);
    });
  });

  describe('qemu-io', () => {
    it('reads what it wrote, aligned or not', async () => {
      await qemuIo(served, 'write -P 0x5a 1 7', 'write -P 0xa5 65530 100', `write -P 0x11 ${SIZE - 5} 5`);
      await qemuIo(served, 'read -P 0x5a 1 7', 'read -P 0 8 65522', 'read -P 0xa5 65530 100', `read -P 0x11 ${SIZE - 5} 5`);
      expect(device.copyOut(0, 10).toString('hex')).to.equal('005a5a5a5a5a5a5a0000');
    });

    it('writes with FUA, and flushes', async () => {
      await qemuIo(served, 'write -f -P 1 0 4k');
      expect(device.forcedWrites).to.equal(1);
      const flushesBefore = device.flushes;
      await qemuIo(served, 'write -P 1 4k 4k', 'flush');
      expect(device.flushes).to.be.greaterThan(flushesBefore);
    });

    it('discards, and finds zeroes and the space gone', async () => {
      await qemuIo(served, 'write -P 7 0 8M');
      expect(device.allocatedBytes).to.equal(8 * MIB);
      await qemuIo(served, 'discard 1M 6M');
      expect(device.allocatedBytes).to.equal(2 * MIB);
      await qemuIo(served, 'read -P 7 0 1M', 'read -P 0 1M 6M', 'read -P 7 7M 1M');
    });

    it('writes zeroes that stay allocated, and zeroes that need not', async () => {
      await qemuIo(served, 'write -P 7 0 4M', 'write -z 0 1M', 'write -z -u 1M 1M');
      expect(device.allocatedBytes).to.equal(3 * MIB);
      await qemuIo(served, 'read -P 0 0 2M', 'read -P 7 2M 2M');
    });

    it('discards a gigabyte at once', async () => {
      const large = await serve(new MemoryDevice('large', 4096 * MIB));
      await qemuIo(large, 'write -P 7 2G 1M', 'discard 1G 1200M', 'read -P 0 2G 1M');
      await large.remove();
    });

    it('is told where the volume ends, and goes on', async () => {
      const { stdout } = await run(
        'qemu-io',
        '-f',
        'raw',
        '-c',
        `write ${SIZE} 512`,
        '-c',
        'write -P 3 0 512',
        '-c',
        'read -P 3 0 512',
        served.uri(),
      );
      expect(stdout).to.match(/wrote 512\/512 bytes at offset 0\n/);
      expect(stdout).to.match(/read 512\/512 bytes at offset 0\n/);
      expect(device.allocatedBytes).to.equal(64 * KIB);
    });

    it('has many requests in flight', async () => {
      const writes = Array.from({ length: 40 }, (_, index) => `aio_write -P ${index + 1} ${index * 100}k 100k`);
      await qemuIo(served, ...writes, 'aio_flush', ...writes.map((write) => write.replace('aio_write', 'read')));
    });
  });

  describe('qemu-img', () => {
    it('converts an image in and compares it', async () => {
      const file = await sampleFile(served, SIZE);
      await runWell('qemu-img', 'convert', '-n', '-W', '-m', '8', '-f', 'raw', '-O', 'raw', file, served.uri());
      expect(await runWell('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', file, served.uri())).to.include('Images are identical');
      device.copyIn(50 * MIB, Buffer.from([1]));
      const { code, stdout } = await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', file, served.uri());
      expect([code, stdout]).to.deep.equal([1, `Content mismatch at offset ${50 * MIB}!\n`]);
    });

    it('maps what is allocated', async () => {
      device.copyIn(2 * MIB, Buffer.alloc(MIB, 1));
      const map = JSON.parse(await runWell('qemu-img', 'map', '-f', 'raw', '--output=json', served.uri()));
      expect(map.map(({ start, length, zero, data }: Record<string, unknown>) => [start, length, zero, data])).to.deep.equal([
        [0, 2 * MIB, true, false],
        [2 * MIB, MIB, false, true],
        [3 * MIB, SIZE - 3 * MIB, true, false],
      ]);
    });

    it('makes an image of its own format on the volume', async () => {
      await runWell('qemu-img', 'create', '-f', 'qcow2', served.uri(), '64M');
      await runWell('qemu-io', '-f', 'qcow2', '-c', 'write -P 9 1M 1M', '-c', 'read -P 9 1M 1M', served.uri());
      expect(await runWell('qemu-img', 'check', '-f', 'qcow2', served.uri())).to.include('No errors were found');
    });
  });

  describe('fio', () => {
    const fio = async (...args: string[]) => {
      const output = await runWell(
        'fio',
        '--name=t',
        '--ioengine=nbd',
        `--uri=${served.uri('')}`,
        '--output-format=json',
        '--verify_state_save=0',
        ...args,
      );
      return JSON.parse(output.slice(output.indexOf('{'))).jobs[0];
    };

    it('verifies random writes of mixed sizes, sixteen at a time', async () => {
      const verify = ['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--serialize_overlap=1'];
      const job = await fio(
        '--rw=randwrite',
        '--bsrange=512-96k',
        '--blockalign=512',
        '--size=64m',
        '--iodepth=16',
        '--fsync=64',
        ...verify,
      );
      expect(job.error).to.equal(0);
      expect(job.read.io_bytes).to.be.greaterThan(32 * MIB);
      expect(device.flushes).to.be.greaterThan(10);
    });

    it('verifies writes of the largest size there is', async () => {
      const job = await fio('--rw=write', '--bs=32m', '--size=96m', '--iodepth=3', '--verify=crc32c', '--verify_fatal=1');
      expect(job.error).to.equal(0);
    });

    it('trims between writes', async () => {
      const job = await fio('--rw=randtrimwrite', '--bs=64k', '--size=32m', '--iodepth=8');
      expect(job.error).to.equal(0);
      expect(job.trim.total_ios).to.be.greaterThan(100);
    });

    it('works from four processes at once, each with a connection', async () => {
      const job = await fio(
        '--rw=randrw',
        '--bs=4k',
        '--size=16m',
        '--offset_increment=16m',
        '--numjobs=4',
        '--iodepth=8',
        '--group_reporting=1',
      );
      expect(job.error).to.equal(0);
      expect(served.events.opened).to.be.at.least(4);
    });
  });

  it('a client that is killed in the middle is forgotten, and the next one is served', async () => {
    const endless = ['--rw=randwrite', '--size=64m', '--time_based', '--runtime=60', '--thread'];
    const fio = spawn('fio', ['--name=t', '--ioengine=nbd', `--uri=${served.uri('')}`, ...endless], { stdio: 'ignore' });
    await until('it writes', () => served.events.completed.length > 1000);
    fio.kill('SIGKILL');
    await until('its connection is gone', () => served.server.connectionCount === 0 && device.clientsOpen === 0);
    await qemuIo(served, 'write -P 3 0 512', 'read -P 3 0 512');
  });

  it("behind nbdkit's retry filter, a client sees no more than a pause when the server closes and comes back", async () => {
    const fio = 'fio --name=t --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --size=8m --iodepth=8 --rate_iops=1000';
    const verify = '--verify=crc32c --verify_fatal=1 --verify_state_save=0';
    const retry = ['--filter=retry', 'nbd', `uri=${served.uri('')}`, 'retries=20', 'retry-delay=1', 'retry-exponential=no'];
    const running = run('nbdkit', '-U', '-', ...retry, '--run', `${fio} ${verify}`);
    await until('it writes', () => served.events.completed.length > 300);
    await served.server.close();
    const completedBefore = served.events.completed.length;
    const { socketPath, events } = served;
    const restarted = await NbdServer.listen({ device, socketPath, events });
    const { code, stdout, stderr } = await running;
    await restarted.close();
    expect([code, /err= *0/.test(stdout)], stdout + stderr).to.deep.equal([0, true]);
    expect(served.events.completed.length - completedBefore).to.be.greaterThan(2048);
  });
});
