/** A volume of several shards on real agents: its bytes after a failover, grown as it is served, held to its limits. */
import { expect } from 'chai';
import type { VolumeConfig } from '../../../core/config.ts';
import { type AgentProcess, Agents, LeaderStandIn } from '../../support/agents.ts';
import { runWell } from '../../support/nbdServed.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
/** Not a multiple of anything: the third shard ends in the middle of an extent. */
const SIZE = 20.5 * MIB;
const NODES = ['node-a', 'node-b', 'node-c'];
/** Each node has two replicas, of different shards. */
const SHARDS = [
  ['node-a', 'node-b'],
  ['node-b', 'node-c'],
  ['node-c', 'node-a'],
];

describe('a striped volume on three agents', function () {
  this.timeout(120_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  let processes: Map<string, AgentProcess>;
  let volume: VolumeConfig;

  beforeEach(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
    const started = await Promise.all(NODES.map((node) => agents.start(node)));
    processes = new Map(started.map((agent) => [agent.node, agent]));
    volume = await leader.createStriped('wide', SHARDS, SIZE);
    await leader.change(volume.uid, (known) => ({ ...known, minInSync: 1 }));
  });
  afterEach(() => agents.remove());

  const serve = async (node: string): Promise<string> => {
    await leader.promote(volume.uid, node);
    return leader.served(volume.uid);
  };
  const qemuIo = (socket: string, ...commands: string[]) =>
    runWell('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), `nbd+unix:///wide?socket=${socket}`);
  const inSync = async () => (await leader.config(volume.uid)).shards.map((shard) => shard.inSync.length);
  const offered = async () => (await leader.report(volume.uid))?.sizeBytes;

  it('has its bytes after its primary was killed, and its replicas come back in every shard', async () => {
    const socket = await serve('node-a');
    await qemuIo(socket, 'write -P 0x41 0 20M', 'write -P 0x42 2560k 5M', 'write -P 0x43 20M 512k', 'flush');
    await processes.get('node-a')?.kill();
    await until('its machine is gone', async () => (await agents.machine('node-a')) === null);
    const other = await serve('node-b');
    const expected = ['read -P 0x41 0 2560k', 'read -P 0x42 2560k 5M', 'read -P 0x41 7680k 12800k', 'read -P 0x43 20M 512k'];
    await qemuIo(other, ...expected, 'write -P 0x44 1M 1M', 'flush');
    expect(await inSync()).to.deep.equal([1, 2, 1]);
    await agents.start('node-a');
    await until('all are in sync', async () => (await inSync()).every((count) => count === 2), 30_000);
    const back = await serve('node-a');
    await qemuIo(back, 'read -P 0x41 0 1M', 'read -P 0x44 1M 1M', ...expected.slice(1));
  });

  it('grows as it is served, and has its size after a failover', async () => {
    const socket = await serve('node-a');
    await until('its size is told', async () => (await offered()) === SIZE);
    await qemuIo(socket, 'write -P 0x51 20M 512k');
    await leader.change(volume.uid, (known) => ({ ...known, sizeBytes: 64 * MIB }));
    await until('it is offered', async () => (await offered()) === 64 * MIB);
    await qemuIo(socket, 'write -P 0x52 20992k 40M', 'flush');
    await processes.get('node-a')?.kill();
    await until('its machine is gone', async () => (await agents.machine('node-a')) === null);
    const other = await serve('node-b');
    await qemuIo(other, 'read -P 0x51 20M 512k', 'read -P 0x52 20992k 40M', 'read -P 0 62M 2M');
    expect(await offered()).to.equal(64 * MIB);
  });

  it('is held to its limits, and let go at once when they are lifted', async () => {
    const socket = await serve('node-a');
    const writes = Array.from({ length: 30 }, (_, index) => `write ${index * 512}k 4k`);
    await leader.change(volume.uid, (known) => ({ ...known, limits: { iops: 10, bytesPerSecond: 0 } }));
    await until('the limits are in force', async () => {
      const startedMs = performance.now();
      await qemuIo(socket, 'write 0 4k', 'write 0 4k', 'write 0 4k', 'write 0 4k');
      return performance.now() - startedMs > 250;
    });
    const startedMs = performance.now();
    await qemuIo(socket, ...writes);
    expect(performance.now() - startedMs).to.be.at.least(2_800);
    // Half a minute's worth, if it were not lifted.
    const waiting = qemuIo(socket, ...Array.from({ length: 10 }, () => writes).flat());
    await leader.change(volume.uid, ({ limits: _, ...known }) => known);
    const liftedMs = performance.now();
    await waiting;
    expect(performance.now() - liftedMs).to.be.below(15_000);
  });
});
