/** The machine's mounts, made by its own programs in a mount namespace of the test's own, on a loop device. */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { MountNamespace } from '../../support/csi/mountNamespace.ts';
import { runWell } from '../../support/nbdServed.ts';

const MIB = 1024 * 1024;
/** mkfs.xfs makes none below 300 MiB. */
const SIZE = 320 * MIB;

describe('agent/csi: the machine’s mounts', function () {
  this.timeout(60_000);
  let directory: string;
  let device: string;
  let inside: MountNamespace;
  const at = (name: string): string => path.join(directory, name);
  const pathsOf = async (): Promise<string[]> => (await inside.mounts.of(device)).map(({ path: one }) => path.relative(directory, one));

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'holdfast-mounts-'));
    await writeFile(at('disk'), '');
    await truncate(at('disk'), SIZE);
    device = (await runWell('losetup', '--find', '--show', at('disk'))).trim();
    inside = new MountNamespace();
  });
  afterEach(async () => {
    await inside.end();
    await runWell('losetup', '--detach', device);
    await rm(directory, { recursive: true });
  });

  const staged = async (options: readonly string[] = []): Promise<void> => {
    await inside.mounts.format(device, 'ext4', []);
    await inside.mounts.makeDirectory(at('staging'));
    await inside.mounts.mount(device, at('staging'), 'ext4', options);
  };

  for (const [where, make] of [
    ['where /dev is its own', async () => device],
    [
      'where /dev is a tmpfs, under whatever name',
      async () => {
        await inside.mounts.makeDirectory(at('dev'));
        await inside.run('mount', '-t', 'tmpfs', 'tmpfs', at('dev'));
        await inside.run('mknod', at('dev/other'), 'b', '7', device.slice('/dev/loop'.length));
        return at('dev/other');
      },
    ],
  ] as const)
    it(`sees a device that is bound to a file, ${where}, and no other`, async () => {
      const node = await make();
      for (const name of ['block', 'again', 'null']) await inside.mounts.makeFile(at(`pods/${name}`));
      await inside.mounts.bind(node, at('pods/block'), false);
      await inside.mounts.bind(node, at('pods/again'), true);
      await inside.mounts.bind('/dev/null', at('pods/null'), false);
      expect(await pathsOf()).to.deep.equal(['pods/block', 'pods/again']);
      expect((await inside.mounts.at(at('pods/again')))?.options).to.include('ro');
      expect(await inside.mounts.kind(at('pods/block'))).to.equal('device');
      for (const name of ['block', 'again']) await inside.mounts.unmount(at(`pods/${name}`), false);
      expect(await pathsOf()).to.deep.equal([]);
    });

  it('sees a file system wherever it is bound, also under a name that the device had elsewhere', async () => {
    await inside.mounts.makeDirectory(at('dev'));
    await inside.run('mount', '-t', 'tmpfs', 'tmpfs', at('dev'));
    await inside.run('mknod', at('dev/other'), 'b', '7', device.slice('/dev/loop'.length));
    await inside.mounts.format(device, 'ext4', []);
    for (const name of ['staging', 'pod with a space']) await inside.mounts.makeDirectory(at(name));
    await inside.mounts.mount(at('dev/other'), at('staging'), 'ext4', []);
    await inside.mounts.bind(at('staging'), at('pod with a space'), false);
    expect(await pathsOf()).to.deep.equal(['staging', 'pod with a space']);
  });

  it('finds what is mounted behind a symbolic link, and nothing below a path that is not there', async () => {
    await staged();
    await inside.run('ln', '-s', directory, at('link'));
    expect((await inside.mounts.at(at('link/staging')))?.source).to.equal(device);
    expect((await inside.mounts.at(`${at('staging')}/`))?.source).to.equal(device);
    expect(await inside.mounts.at(at('nowhere/staging'))).to.equal(null);
  });

  it('binds read-only, and keeps what else the mount may not', async () => {
    await staged(['nosuid', 'noexec', 'noatime']);
    await inside.mounts.makeDirectory(at('pod'));
    await inside.mounts.bind(at('staging'), at('pod'), true);
    expect((await inside.mounts.at(at('pod')))?.options).to.have.members(['ro', 'nosuid', 'noexec', 'noatime']);
    expect((await inside.mounts.at(at('staging')))?.options, 'others go on writing').to.include('rw');
    await inside.run('touch', at('staging/file'));
    expect(await inside.run('touch', at('pod/file')).catch((error: Error) => error.message)).to.contain('Read-only file system');
  });

  it('makes read-only what a crash left writable', async () => {
    await staged();
    await inside.mounts.makeDirectory(at('pod'));
    await inside.run('mount', '--bind', at('staging'), at('pod'));
    await inside.mounts.protect(at('pod'));
    expect((await inside.mounts.at(at('pod')))?.options).to.include('ro');
  });

  it('finds nothing on an empty device alone', async () => {
    expect(await inside.mounts.probe(device)).to.equal(null);
    await inside.run('dd', 'if=/dev/urandom', `of=${device}`, 'bs=1', 'count=1', 'seek=777777', 'oflag=sync');
    expect(await inside.mounts.probe(device)).to.equal('data that is no file system');
    await inside.run('mkswap', device);
    expect(await inside.mounts.probe(device)).to.equal('swap');
  });

  for (const type of ['ext4', 'xfs'] as const)
    it(`makes, finds, checks and mounts ${type}, and growing what is as large as its device is no error`, async () => {
      await inside.mounts.format(device, type, []);
      expect(await inside.mounts.probe(device)).to.equal(type);
      await inside.mounts.check(device, type);
      await inside.mounts.makeDirectory(at('staging'));
      await inside.mounts.mount(device, at('staging'), type, []);
      expect(await inside.mounts.typeAt(at('staging'))).to.equal(type);
      await inside.mounts.grow(device, at('staging'), type);
      const { totalBytes, usedBytes, availableBytes } = await inside.mounts.usage(at('staging'));
      expect(totalBytes).to.be.within(0.7 * SIZE, SIZE);
      expect(usedBytes + availableBytes).to.be.at.most(totalBytes);
    });

  // ext4 grows under a mount only for a root that has CAP_SYS_RESOURCE, which not every machine's has.
  it('grows a mounted file system to all of its device', async () => {
    await inside.mounts.format(device, 'xfs', []);
    await inside.mounts.makeDirectory(at('staging'));
    await inside.mounts.mount(device, at('staging'), 'xfs', []);
    await truncate(at('disk'), 2 * SIZE);
    await inside.run('losetup', '--set-capacity', device);
    await inside.mounts.grow(device, at('staging'), 'xfs');
    expect((await inside.mounts.usage(at('staging'))).totalBytes).to.be.within(1.7 * SIZE, 2 * SIZE);
  });

  it('refuses to make a file system where one is mounted, and to take a damaged one for sound', async () => {
    await staged();
    expect(await inside.mounts.format(device, 'ext4', []).catch((error: Error) => error.message)).to.contain('mounted');
    await inside.mounts.unmount(at('staging'), false);
    await inside.run('dd', 'if=/dev/zero', `of=${device}`, 'bs=4096', 'seek=1', 'count=20', 'conv=fsync');
    expect(await inside.mounts.check(device, 'ext4').catch((error: Error) => error.message)).to.contain('somebody has to look');
  });

  it('removes empty files and directories alone', async () => {
    await inside.mounts.makeFile(at('a/file'));
    expect(await inside.mounts.remove(at('a')).catch((error: Error) => error.message)).to.contain('ENOTEMPTY');
    await inside.run('sh', '-c', `echo data > ${at('a/kept')}`);
    for (const name of ['a/file', 'a/kept', 'a/absent']) await inside.mounts.remove(at(name));
    expect([await inside.mounts.kind(at('a/file')), await inside.mounts.kind(at('a/kept'))]).to.deep.equal([null, 'file']);
  });
});
