/** A Volume through its ordinary life, as people use it: made, attached anywhere, used by every client, moved, detached, deleted. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { run } from '../../tools/demo/run.ts';
import { address, FAILOVER_BOUND_MS, HEALTHY_BOUND_MS, qemuIo, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';

const MIB = 1024 * 1024;
const EXPORTS = [
  // A thousand million bytes, rounded up to whole blocks.
  { size: '1G', replicas: 1, node: 'node-a', bytes: 244_141 * 4096 },
  { size: '100M', replicas: 2, node: 'node-c', bytes: 24_415 * 4096 },
  { size: `${10 * MIB + 4096}`, replicas: 3, node: 'node-b', bytes: 10 * MIB + 4096 },
] as const;
/** Enough to touch several extents, wherever in the volume. */
const COPY_BYTES_MAX = 32 * MIB;

describe('end to end: a volume and its clients', function () {
  this.timeout(90_000);
  let world: World;
  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3);
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  for (const { size, replicas, node, bytes } of EXPORTS) {
    it(`of ${size} with ${replicas} replica(s) is served by ${node}, has that size, and holds what nbdcopy put there`, async () => {
      const { volume, socket } = await world.volume(size, replicas, node);
      const info = JSON.parse(await run('nbdinfo', '--json', address(socket))) as { exports: { 'export-size': number }[] };
      expect(info.exports[0]?.['export-size']).to.equal(bytes);
      const [source, copy] = [path.join(world.directory, 'source'), path.join(world.directory, 'copy')];
      const content = randomBytes(Math.min(bytes, COPY_BYTES_MAX));
      writeFileSync(source, content);
      await run('nbdcopy', '--flush', source, address(socket));
      await run('nbdcopy', address(socket), copy);
      const back = readFileSync(copy);
      expect(back.length).to.equal(bytes);
      expect(back.subarray(0, content.length).equals(content), 'what came back is what was put there').to.equal(true);
      expect(back.subarray(content.length).equals(Buffer.alloc(bytes - content.length)), 'zeroes behind it').to.equal(true);
      await world.deleteLast(volume);
    });
  }

  it('is served by a node that holds none of its replicas, and its last block can be written', async () => {
    const { volume } = await world.volume(`${64 * MIB + 4096}`, 1);
    const [replica] = (await volume.status()).replicas ?? [];
    const other = world.cluster.nodes.find((node) => node !== replica?.node) ?? '';
    await volume.attachTo(other);
    const socket = await volume.untilServedBy(other, HEALTHY_BOUND_MS);
    await qemuIo(
      socket,
      'write -P 0x11 1M 3M',
      'write -P 0x12 64M 4k',
      'flush',
      'read -P 0x11 1M 3M',
      'read -P 0x12 64M 4k',
      'read -P 0 8M 1M',
    );
    await qemuIo(socket, 'discard 1M 1M', 'write -z 2M 1M', 'read -P 0 1M 2M', 'read -P 0x11 3M 1M');
    await world.deleteLast(volume);
  });

  it('holds what fio writes, verified', async () => {
    const { volume, socket } = await world.volume('256Mi', 3, 'node-a');
    const where = ['--ioengine=nbd', `--uri=${address(socket)}`, `--aux-path=${world.directory}`, '--verify_state_save=0'];
    const work = ['--rw=randwrite', '--bs=4k', '--iodepth=16', '--size=64m', '--verify=crc32c', '--end_fsync=1'];
    const output = await run('fio', '--name=verify', '--output-format=json', ...where, ...work);
    // It says how it connects before it begins with its JSON.
    const { jobs } = JSON.parse(output.slice(output.indexOf('{'))) as { jobs: { error: number; read: { io_bytes: number } }[] };
    expect(jobs[0]?.error).to.equal(0);
    expect(jobs[0]?.read.io_bytes, 'all of it was read back').to.equal(64 * MIB);
    await world.deleteLast(volume);
  });

  it('moves to another node and back while it is written, and loses nothing that was acknowledged', async () => {
    const { volume, socket } = await world.volume('512Mi', 3, 'node-a');
    const writer = world.writer(volume);
    writer.begin();
    try {
      await writer.untilMore(100);
      for (const node of ['node-b', 'node-a']) {
        await volume.attachTo(node);
        await volume.untilServedBy(node, FAILOVER_BOUND_MS);
        await writer.untilMore(100);
      }
    } finally {
      await writer.end();
    }
    expect(await writer.faults(socket)).to.deep.equal([]);
    await world.detach(volume);
    expect(existsSync(socket)).to.equal(false);
    await volume.untilHealthy(3, HEALTHY_BOUND_MS);
    await world.deleteLast(volume);
  });

  it('is found by the trace of who asked for it: in the log of the leader, and of each agent that did something for it', async () => {
    const traceId = randomBytes(16).toString('hex');
    const volume = world.newVolume();
    const metadata = { name: volume.name, annotations: { 'holdfast.dev/traceparent': `00-${traceId}-00f067aa0ba902b7-01` } };
    const object = { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata, spec: { size: '16M', replicas: 2 } };
    await world.cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object));
    const { replicas = [] } = await volume.untilHealthy(2, HEALTHY_BOUND_MS);
    /** By program, what it says under that trace. */
    const traced = new Map(
      world.cluster.processes.map(({ name, logFile }) => {
        const lines = readFileSync(logFile, 'utf8')
          .split('\n')
          .filter((line) => line.includes(`"traceId":"${traceId}"`));
        return [name, lines.map((line) => (JSON.parse(line) as { message: string }).message)] as const;
      }),
    );
    expect(traced.get(await world.leader())).to.include('transaction made');
    for (const { node } of replicas) expect(traced.get(`agent/${node}`), node).to.include.members(['task claimed', 'task performed']);
    await world.deleteLast(volume);
  });
});
