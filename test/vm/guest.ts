/**
 * What is shown in the emulated machine: the real holder, devices of its kernel's nbd, file systems on them, and everything that may die. Ends with 1 at the first
 * thing that is not as it must be.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type VolumeUid, volumeUid } from '../../core/ids.ts';
import { CONTROLLER_SOCKET, NODE_SOCKET } from './driver.ts';
import { Holder, Load, run, Server, Service, until } from './processes.ts';
import { explain } from './trouble.ts';

const MIB = 1024 ** 2;
const SIZE_BYTES = 400 * MIB;
const GROWN_BYTES = 600 * MIB;
const MOUNT = '/mnt/v';
const SANITY_BYTES = 64 * MIB;
const AWAY_MS = 3_000;

/** Of the kernel's command line, which gives what it does not know to the first program. */
const wanted = (process.env.SCENES ?? '').split(',').filter((name) => name !== '');

const holder = new Holder();
const { client } = holder;

function must(what: string, isSo: boolean, seen: unknown = ''): void {
  if (!isSo) throw new Error(`${what}: ${JSON.stringify(seen)}`);
  console.log(`ok  ${what}${seen === '' ? '' : ` (${typeof seen === 'string' ? seen : JSON.stringify(seen)})`}`);
}

/** Its words; '': it succeeded. */
const refusalOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => '',
    (error: unknown) => String(error),
  );

const sizeOf = async (device: string): Promise<number> => Number(await run('blockdev', '--getsize64', device));
const roomOf = async (): Promise<number> => Number((await run('df', '-k', MOUNT)).split('\n').at(-1)?.trim().split(/\s+/)[1]) * 1024;

type Volume = {
  name: string;
  file: string;
  server: Server;
  wish: { name: string; uid: VolumeUid; socket: string; sizeBytes: number; readonly: boolean };
};

async function makeVolume(name: string): Promise<Volume> {
  const file = `/tmp/${name}`;
  await run('truncate', '-s', `${SIZE_BYTES}`, file);
  const uid = volumeUid(`5a7e0000-0000-4000-8000-${Buffer.from(name.padEnd(6)).toString('hex')}`);
  const server = new Server(name, uid, file);
  await server.start();
  return { name, file, server, wish: { name, uid, socket: server.socket, sizeBytes: SIZE_BYTES, readonly: false } };
}

async function grow({ name, file }: Volume): Promise<string> {
  await run('truncate', '-s', `${GROWN_BYTES}`, file);
  return (await client.resize(name, GROWN_BYTES)).device;
}

async function showExt4(): Promise<void> {
  const volume = await makeVolume('first');
  const { server, wish, name } = volume;
  const attached = await client.attach(wish);
  must('attached by the kernel', /^\/dev\/nbd\d+$/.test(attached.device), attached);
  must('as large as the volume', (await sizeOf(attached.device)) === SIZE_BYTES);
  must('blocks as everywhere', (await run('blockdev', '--getss', attached.device)) === '512');
  await run('mkfs.ext4', '-q', attached.device);
  await run('mount', attached.device, MOUNT);
  must('kept while it is mounted', /in use/.test(await refusalOf(client.detach(name))));
  const load = new Load(`${MOUNT}/data`);
  await load.goesOn();
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) await awayAndBack(server, load, signal);
  await withoutHolder(server, load);
  const device = await grow(volume);
  must('grown while it is written', (await sizeOf(device)) === GROWN_BYTES);
  await run('resize2fs', device);
  must('ext4 grown, mounted', (await roomOf()) > 1.3 * SIZE_BYTES, await roomOf());
  await load.goesOn();
  must('all that was written is there', true, await load.endWell());
  must('trimmed', true, await run('fstrim', '-v', MOUNT));
  await run('umount', MOUNT);
  must('sound', /clean/.test(await run('e2fsck', '-fp', device).then(() => 'clean')));
  await client.detach(name);
  must('nothing is left', (await client.all()).length === 0 && !(await isConnected(device)));
  await showReadOnly(volume);
  await showFailure(volume);
  await server.end('SIGKILL');
}

async function awayAndBack(server: Server, load: Load, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  await server.end(signal);
  await sleep(AWAY_MS);
  await server.start();
  must(`no error while its server was away (${signal})`, true, `${await load.goesOn()} ms after it was back`);
}

/** Its server dies and comes back while there is no holder; then both die, and the holder comes first. */
async function withoutHolder(server: Server, load: Load): Promise<void> {
  const before = await client.all();
  await holder.end('SIGKILL');
  await load.goesOn();
  must('goes on without the holder', true);
  await server.end('SIGKILL');
  await server.start();
  await holder.start();
  must('taken up by the next holder', JSON.stringify(await client.all()) === JSON.stringify(before), before);
  must('connected by it', true, `${await load.goesOn()} ms after it was there`);
  await holder.end('SIGTERM');
  await server.end('SIGKILL');
  await holder.start();
  await server.start();
  must('connected by one that came before the server', true, `${await load.goesOn()} ms after that was there`);
  await awayAndBack(server, load, 'SIGKILL');
}

const isConnected = async (device: string): Promise<boolean> =>
  run('cat', `/sys/block/${device.slice('/dev/'.length)}/pid`).then(
    (pid) => Number(pid) > 0,
    () => false,
  );

async function showReadOnly({ wish, name }: Volume): Promise<void> {
  const { device } = await client.attach({ ...wish, sizeBytes: GROWN_BYTES, readonly: true });
  must('read-only', (await run('blockdev', '--getro', device)) === '1');
  await client.detach(name);
}

async function showFailure({ wish, name }: Volume): Promise<void> {
  const { device } = await client.attach({ ...wish, sizeBytes: GROWN_BYTES });
  await run('mount', device, MOUNT);
  const load = new Load(`${MOUNT}/other`);
  await load.goesOn();
  await client.fail(name);
  must('failed: an error at once', true, await load.fails());
  must('given to nobody', /has failed/.test(await refusalOf(client.attach(wish))));
  await client.detach(name);
  must('taken away though mounted', (await client.all()).length === 0);
  const { device: next } = await client.attach({ ...wish, sizeBytes: GROWN_BYTES });
  must('another device, while the failed one is still mounted', next !== device, next);
  await run('umount', '--lazy', MOUNT);
  await run('mount', next, MOUNT);
  must('what was written before is there', (await run('ls', MOUNT)).includes('data'));
  await run('umount', MOUNT);
  await client.detach(name);
}

/** The volume is away when it is failed: everything waits, and none of it for longer. */
async function showXfs(): Promise<void> {
  const volume = await makeVolume('second');
  const { server, wish, name } = volume;
  const { device } = await client.attach(wish);
  await run('mkfs.xfs', '-q', device);
  await run('mount', device, MOUNT);
  const load = new Load(`${MOUNT}/data`);
  await load.goesOn();
  await awayAndBack(server, load, 'SIGKILL');
  await grow(volume);
  await run('xfs_growfs', MOUNT);
  must('XFS grown, mounted', (await roomOf()) > 1.3 * SIZE_BYTES, await roomOf());
  must('all that was written is there', true, await load.endWell());
  const waiting = new Load(`${MOUNT}/waiting`);
  await waiting.goesOn();
  await server.end('SIGKILL');
  await sleep(AWAY_MS);
  await client.fail(name);
  must('failed while its server was away: an error at once', true, await waiting.fails());
  await run('umount', '--lazy', MOUNT);
  await client.detach(name);
  await until('nobody has the device', async () => !(await isConnected(device)));
}

/**
 * Grown while its volume gives no answer. Newer kernels hold a device up until nothing is in flight, and take no connection for it meanwhile: what its server leaves
 * unanswered then can never be sent again. So it is refused before; and where the server dies just then, it ends, and holds up no other device.
 */
async function showStalled(): Promise<void> {
  const volume = await makeVolume('third');
  const { server, wish, name } = volume;
  const { device } = await client.attach(wish);
  await run('mkfs.ext4', '-q', device);
  await run('mount', device, MOUNT);
  const load = new Load(`${MOUNT}/data`);
  await load.goesOn();
  server.stall();
  await sleep(AWAY_MS);
  must('not grown while its volume does not answer', /its volume does not answer/.test(await refusalOf(grow(volume))));
  await server.end('SIGKILL');
  await server.start();
  must('goes on', true, `${await load.goesOn()} ms after its server was back`);
  server.becomeSlow();
  await sleep(AWAY_MS);
  let isGrown = false;
  const growing = refusalOf(grow(volume)).finally(() => {
    isGrown = true;
  });
  await until('it grows', () => isGrown || Number(readFileSync(`/sys/kernel/debug/nbd/${path.basename(device)}/timeout`, 'utf8')) > 0);
  await server.end('SIGKILL');
  await server.start();
  const ended = await Promise.race([load.goesOn().then(() => 'it goes on', String), load.fails().catch(String)]);
  must('its server died while it grew: it ends', true, { ended, refused: await growing });
  const other = await makeVolume('fourth');
  must('another device is made', true, (await client.attach(other.wish)).device);
  await client.detach(other.name);
  await client.fail(name);
  await run('umount', '--lazy', MOUNT);
  await client.detach(name);
  await server.end('SIGKILL');
  await other.server.end('SIGKILL');
}

/** The standard tests of nodes, as released: the agent's CSI node, the real holder, this kernel. What controllers do is shown elsewhere, over any device. */
async function showSanity(): Promise<void> {
  const halves = ['controller', 'node'].map((half) => new Service([`test/vm/${half}.ts`]));
  for (const half of halves) half.start();
  await until('the driver answers', () => existsSync(CONTROLLER_SOCKET) && existsSync(NODE_SOCKET));
  const sanity = spawn(
    'csi-sanity',
    [
      `--csi.endpoint=unix://${NODE_SOCKET}`,
      `--csi.controllerendpoint=unix://${CONTROLLER_SOCKET}`,
      '--csi.mountdir=/mnt/target',
      '--csi.stagingdir=/mnt/staging',
      `--csi.testvolumesize=${SANITY_BYTES}`,
      `--csi.testvolumeexpandsize=${2 * SANITY_BYTES}`,
      '--ginkgo.no-color',
      '--ginkgo.focus=Node Service',
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const [code] = await once(sanity, 'exit');
  must('csi-sanity: what it asks of nodes', code === 0);
  must('nothing is left of it', (await client.all()).length === 0);
  for (const half of halves) await half.end('SIGKILL');
}

try {
  await run('mkdir', '-p', MOUNT);
  await run('mount', '-t', 'debugfs', 'debug', '/sys/kernel/debug');
  await holder.start();
  must('the module was loaded', readFileSync('/proc/modules', 'utf8').includes('nbd '));
  const scenes = { ext4: showExt4, xfs: showXfs, stalled: showStalled, sanity: showSanity };
  for (const [name, show] of Object.entries(scenes)) if (wanted.length === 0 || wanted.includes(name)) await show();
  await holder.end('SIGTERM');
  console.log('all shown');
} catch (error) {
  console.log('FAILED', error);
  process.exitCode = 1;
  await explain();
}
process.exit();
