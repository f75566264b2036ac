/** A device by FUSE of a volume in memory: what its processes, a loop device and the kernel make of the volume going, coming back and failing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { MachineMounts } from '../../../agent/csi/edge/mounts.ts';
import { NbdServer } from '../../../agent/edge/nbdServer.ts';
import { FuseBackend } from '../../../agent/holder/edge/fuse.ts';
import type { Attached } from '../../../agent/holder/ports.ts';
import { MountNamespace } from '../../support/csi/mountNamespace.ts';
import { MemoryDevice } from '../../support/memoryDevice.ts';
import { run, runWell } from '../../support/nbdServed.ts';
import { CollectedEvents } from '../../support/nbdSession.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const SIZE = 16 * MIB;

/** `losetup` would ask every device's file, and wait for one of another test whose volume is away. */
const backingFiles = (): string[] =>
  readdirSync('/sys/block').flatMap((name) => {
    try {
      return readFileSync(path.join('/sys/block', name, 'loop/backing_file'), 'utf8').trim();
    } catch {
      return []; // no loop device, or one that goes
    }
  });

describe('agent/holder: a device by FUSE', function () {
  this.timeout(60_000);
  const backend = new FuseBackend();
  let directory: string;
  let volume: MemoryDevice;
  let server: NbdServer;
  let attached: Attached;

  const socket = () => path.join(directory, 'pgdata.sock');
  const own = () => path.join(directory, 'device');
  const serve = async (device: MemoryDevice, events = new CollectedEvents()): Promise<CollectedEvents> => {
    server = await NbdServer.listen({ device, socketPath: socket(), events });
    return events;
  };
  /** One block of a letter, past all caches. */
  const write = (letter: string, at: number): ChildProcess => {
    const child = spawn('dd', [`of=${attached.device}`, 'bs=4096', 'count=1', `seek=${at / 4096}`, 'oflag=direct', 'iflag=fullblock'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.stdin?.end(letter.repeat(4096));
    return child;
  };
  const codeOf = async (child: ChildProcess): Promise<number> => child.exitCode ?? (await once(child, 'exit'))[0];
  const letterAt = (device: MemoryDevice, at: number): string => device.copyOut(at, 1).toString();

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'holdfast-fuse-'));
    volume = new MemoryDevice('pgdata', SIZE, 'uid-1');
    await serve(volume);
    const wish = { name: 'pgdata', uid: 'uid-1', socket: socket(), sizeBytes: SIZE, readonly: false };
    attached = { ...wish, ...(await backend.attach(wish, own())), way: 'fuse', failed: false };
  });
  afterEach(async () => {
    await backend.clear(own());
    await server.close();
    await rm(directory, { recursive: true });
  });

  it('is as large as it was asked for, waits while nobody serves, and goes on', async () => {
    expect(await runWell('blockdev', '--getsize64', attached.device)).to.equal(`${SIZE}\n`);
    expect(backend.isAlive(attached)).to.equal(true);
    await server.close();
    const writing = write('a', 0);
    await serve(volume);
    expect(await codeOf(writing)).to.equal(0);
    expect(letterAt(volume, 0)).to.equal('a');
  });

  it('never comes to a volume that was made anew under its name', async () => {
    await server.close();
    const another = new MemoryDevice('pgdata', SIZE, 'uid-2');
    const events = await serve(another);
    const writing = write('a', 0);
    await until('it has tried the other volume twice', () => events.closed >= 2);
    expect([writing.exitCode, another.clientsEver, events.completed]).to.deep.equal([null, 0, []]);
    await server.close();
    await serve(volume);
    expect(await codeOf(writing), 'its own is back').to.equal(0);
    expect(letterAt(volume, 0)).to.equal('a');
  });

  it('that fails answers what waits and what comes with errors, and nothing of it is left afterwards', async () => {
    await server.close();
    const writing = write('a', 0);
    await backend.fail(attached);
    expect(await codeOf(writing)).to.equal(1);
    expect(await codeOf(write('b', 4096))).to.equal(1);
    await serve(volume);
    expect(volume.allocatedBytes).to.equal(0);
    await backend.detach({ ...attached, failed: true }, own());
    expect([existsSync(own()), backend.isAlive(attached)]).to.deep.equal([false, false]);
    expect(backingFiles().filter((file) => file.includes(directory))).to.deep.equal([]);
  });

  it('goes though another one answers nothing at all, not even how large it is', async () => {
    const wish = { name: 'other', uid: 'uid-1', socket: socket(), sizeBytes: SIZE, readonly: false };
    const other = path.join(directory, 'other');
    const { pids } = await backend.attach(wish, other);
    const nbdfuse = pids[1] ?? 0;
    process.kill(nbdfuse, 'SIGSTOP');
    const asked = () => run('timeout', '0.5', 'losetup', '--all');
    try {
      await until('who asks the kernel of it hangs', async () => (await asked()).code !== 0);
      await backend.detach(attached, own());
      expect(existsSync(own())).to.equal(false);
    } finally {
      process.kill(nbdfuse, 'SIGCONT');
      await backend.clear(other);
    }
  });

  describe('with a file system', () => {
    let inside: MountNamespace;
    const staging = () => path.join(directory, 'staging');
    beforeEach(() => {
      inside = new MountNamespace();
    });
    // What is mounted goes with it, before the device does.
    afterEach(() => inside.end());

    const mounted = async (device: string): Promise<void> => {
      await inside.mounts.makeDirectory(staging());
      await inside.mounts.mount(device, staging(), 'ext4', []);
    };

    it('is looked at by the very process that serves it', async () => {
      const mounts = new MachineMounts();
      expect(await mounts.probe(attached.device)).to.equal(null);
      await mounts.format(attached.device, 'ext4', []);
      expect(await mounts.probe(attached.device)).to.equal('ext4');
    });

    it('that fails while it is being unmounted lets that end; what was synced is there, and the next device shows it', async () => {
      await inside.mounts.format(attached.device, 'ext4', []);
      await mounted(attached.device);
      await inside.run('dd', 'if=/dev/urandom', `of=${staging()}/synced`, 'bs=64k', 'count=16', 'conv=fsync');
      const digest = (await inside.run('sha256sum', `${staging()}/synced`)).split(' ')[0];
      await inside.run('dd', 'if=/dev/urandom', `of=${staging()}/dirty`, 'bs=64k', 'count=16');
      await server.close();
      let hasEnded = false;
      const unmounting = inside.mounts.unmount(staging(), false).finally(() => {
        hasEnded = true;
      });
      const inFlight = () =>
        readFileSync(`/sys/block/${path.basename(attached.device)}/inflight`, 'utf8')
          .trim()
          .split(/\s+/);
      await until('something waits for the volume', () => inFlight().some((count) => count !== '0'));
      expect(hasEnded).to.equal(false);
      await backend.fail(attached);
      await unmounting;
      await backend.detach({ ...attached, failed: true }, own());
      await serve(volume);
      const wish = { name: 'pgdata', uid: 'uid-1', socket: socket(), sizeBytes: SIZE, readonly: false };
      const { device } = await backend.attach(wish, own());
      await inside.mounts.check(device, 'ext4');
      await mounted(device);
      expect((await inside.run('sha256sum', `${staging()}/synced`)).split(' ')[0]).to.equal(digest);
    });
  });
});
