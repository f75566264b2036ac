/**
 * Machines that lose their power, with real agent processes: each runs in a mount namespace of its own, where the kernel's boot id is what the test says. Killed and
 * started under another id, an agent has to believe that its machine went down under it.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import type { VolumeConfig } from '../../../core/config.ts';
import { type AgentProcess, Agents, LeaderStandIn } from '../../support/agents.ts';
import { HandNbdClient } from '../../support/nbdClient.ts';
import { until } from '../../support/until.ts';

const SIZE_BYTES = 64 * 1024 * 1024;
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';
const HOLDERS = ['node-a', 'node-b', 'node-c'];
const SERVER = 'node-d';
const BOUND_MS = 40_000;

describe('power that is lost, on four agents', function () {
  this.timeout(180_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  let volume: VolumeConfig;
  const running = new Map<string, AgentProcess>();

  /** The machine boots: from now on its kernel says another id. */
  async function boot(node: string): Promise<void> {
    const directory = path.join(agents.directory, node);
    mkdirSync(directory, { recursive: true });
    const file = path.join(directory, 'boot_id');
    writeFileSync(file, `${randomUUID()}\n`);
    const words = ['unshare', '--mount', 'sh', '-c', `mount --bind ${file} ${BOOT_ID_FILE} && exec "$@"`, 'sh'];
    agents.place(node, { words, environment: {} });
    running.set(node, await agents.start(node));
  }

  before(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
    for (const node of [...HOLDERS, SERVER]) await boot(node);
    volume = await leader.createVolume('pgdata', HOLDERS, SIZE_BYTES);
    await leader.promote(volume.uid, SERVER);
  });
  after(() => agents?.remove());

  const lose = async (nodes: readonly string[]): Promise<void> => {
    await Promise.all(nodes.map((node) => running.get(node)?.kill()));
    for (const node of nodes) await boot(node);
  };
  const inSync = async (): Promise<number> => (await leader.config(volume.uid)).shards[0]?.inSync.length ?? 0;

  it('by one of three replicas: it is levelled before it counts, and nobody is told of a loss', async () => {
    await leader.served(volume.uid);
    await lose(['node-c']);
    await until('three are in sync', async () => (await inSync()) === 3, BOUND_MS);
    expect(await leader.config(volume.uid)).to.not.have.property('lossAt');
  });

  it('by all in-sync replicas under a primary: it closes its socket with errors and lets go; the next epoch says so', async () => {
    const socket = await leader.served(volume.uid);
    const client = await HandNbdClient.open(socket, 'pgdata');
    const { epoch } = await leader.config(volume.uid);
    // Not flushed: that is what may be gone.
    expect((await client.write(0, Buffer.alloc(4096, 0x77))).outcome).to.equal('replied');
    await lose(HOLDERS);
    await until('nobody is the primary', async () => (await leader.config(volume.uid)).primary === null, BOUND_MS).catch(
      async (cause: unknown) => {
        throw new Error(`it did not let go: ${JSON.stringify(await leader.report(volume.uid))}`, { cause });
      },
    );
    expect((await client.read(0, 4096)).outcome).to.equal('closed');
    expect(await leader.config(volume.uid)).to.not.have.property('lossAt');
    await leader.promote(volume.uid, SERVER);
    await leader.served(volume.uid);
    expect((await leader.config(volume.uid)).lossAt).to.equal(epoch + 1);
    await until('three are in sync', async () => (await inSync()) === 3, BOUND_MS);
  });
});
