/** Volumes on three real agents: served, moved, cut off, killed under, caught up. A stand-in promotes where the leader would. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import type { VolumeConfig } from '../../../core/config.ts';
import { keysOf } from '../../../core/keys.ts';
import { type AgentProcess, Agents, LeaderStandIn, replicaOn } from '../../support/agents.ts';
import { configsAmong } from '../../support/configsInStore.ts';
import { HandNbdClient } from '../../support/nbdClient.ts';
import { runWell } from '../../support/nbdServed.ts';
import { stopWhole } from '../../support/stopped.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
const NODES = ['node-a', 'node-b', 'node-c'];
const keys = keysOf('test');

const uriOf = (socket: string, name: string) => `nbd+unix:///${name}?socket=${socket}`;
const qemuIo = (socket: string, name: string, ...commands: string[]) =>
  runWell('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uriOf(socket, name));

describe('a volume on three agents', function () {
  this.timeout(90_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  let processes: Map<string, AgentProcess>;
  let volume: VolumeConfig;

  beforeEach(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
    const started = await Promise.all(NODES.map((node) => agents.start(node)));
    processes = new Map(started.map((agent) => [agent.node, agent]));
    volume = await leader.createVolume('pgdata', NODES, SIZE);
  });
  afterEach(() => agents.remove());

  const process = (node: string): AgentProcess => {
    const agent = processes.get(node);
    if (agent === undefined) throw new Error(`no agent ${node}`);
    return agent;
  };
  const serve = async (node: string): Promise<string> => {
    await leader.promote(volume.uid, node);
    return leader.served(volume.uid);
  };
  const inSync = async () => (await leader.config(volume.uid)).shards[0]?.inSync ?? [];
  const allInSync = () => until('all are in sync', async () => (await inSync()).length === NODES.length, 30_000);
  const letGo = async (): Promise<void> => {
    await leader.change(volume.uid, (known) => ({ ...known, primary: known.primary && { ...known.primary, mode: 'release' } }));
    await until('the primary lets go', async () => (await leader.config(volume.uid)).primary === null);
  };

  it('is served where it is promoted, and its bytes are there after the primary was killed', async () => {
    const socket = await serve('node-a');
    expect(socket).to.equal(path.join(agents.runDirectory('node-a'), 'pgdata.sock'));
    await qemuIo(socket, 'pgdata', 'write -P 0x41 0 1M', 'write -P 0x42 33M 64k', 'flush');
    await process('node-a').kill();
    await until('its machine is gone', async () => (await agents.machine('node-a')) === null);
    const other = await serve('node-b');
    await qemuIo(other, 'pgdata', 'read -P 0x41 0 1M', 'read -P 0x42 33M 64k', 'read -P 0 40M 1M');
    await until('the dead one left the in-sync set', async () => {
      await qemuIo(other, 'pgdata', 'write -P 0x43 2M 1M', 'flush');
      return (await inSync()).length === 2;
    });
    await agents.start('node-a');
    await allInSync();
    await letGo();
    const back = await serve('node-a');
    await qemuIo(back, 'pgdata', 'read -P 0x41 0 1M', 'read -P 0x43 2M 1M');
  });

  it('goes on without a replica whose agent was killed, and takes it back', async () => {
    const socket = await serve('node-a');
    await process('node-c').kill();
    await qemuIo(socket, 'pgdata', 'write -P 0x51 8M 1M', 'flush');
    expect(await inSync()).to.not.include(replicaOn(volume, 'node-c'));
    const config = await leader.config(volume.uid);
    for (const node of ['node-b', 'node-c']) {
      expect((await agents.store.get(keys.bell(node, volume.uid)))?.value, node).to.equal(String(config.version));
    }
    await agents.start('node-c');
    await allInSync();
    await until('it is reported', async () => (await leader.report(volume.uid))?.replicas.every(({ state }) => state === 'inSync'));
  });

  it('keeps serving while etcd is away', async () => {
    const socket = await serve('node-a');
    await agents.etcd.kill();
    const lost = (agent: AgentProcess) =>
      until(
        `${agent.node} lost its lease`,
        async () => /^holdfast_lease_lost_seconds [1-9]/m.test((await agents.get(agent, '/metrics')).body),
        20_000,
      );
    await lost(process('node-a'));
    await qemuIo(socket, 'pgdata', 'write -P 0x61 0 4M', 'flush', 'read -P 0x61 0 4M');
    await agents.etcd.start();
    await until('the report is back', async () => (await leader.report(volume.uid).catch(() => null))?.socket === socket, 20_000);
  });

  it('a primary that was frozen and replaced answers nobody any more, and takes its socket away', async () => {
    const socket = await serve('node-a');
    await qemuIo(socket, 'pgdata', 'write -P 0x71 0 1M', 'flush');
    const client = await HandNbdClient.open(socket, 'pgdata');
    stopWhole(process('node-a').child);
    const read = client.read(0, 4096);
    await until('its machine is gone', async () => (await agents.machine('node-a')) === null);
    const other = await serve('node-b');
    await qemuIo(other, 'pgdata', 'write -P 0x72 0 1M', 'flush');
    process('node-a').child.kill('SIGCONT');
    expect((await read).outcome).to.equal('closed');
    expect(client.receivedBytes, 'not even a part of the old bytes').to.equal(0);
    await until('the socket is gone', () => !existsSync(socket));
    expect((await leader.report(volume.uid))?.node).to.equal('node-b');
    await qemuIo(other, 'pgdata', 'read -P 0x72 0 1M');
    await allInSync();
  });

  it('an agent that stops lets go of it: the primary is null, socket and report are gone, all is closed cleanly', async () => {
    const socket = await serve('node-a');
    await qemuIo(socket, 'pgdata', 'write -P 0x31 0 1M');
    const machine = await agents.machine('node-a');
    // At every moment: whoever sees that the volume is free sees that this agent is not to have it again.
    const givenBack: unknown[] = [];
    const view = agents.store.view(keys.root, () => {
      const here = view.entries.get(keys.machine('node-a'))?.value;
      const known = configsAmong([...view.entries.values()], keys).find(({ config }) => config.uid === volume.uid);
      if (known && here && known.config.primary === null) givenBack.push(JSON.parse(here).stopping);
    });
    expect(await process('node-a').kill('SIGTERM')).to.equal(0);
    view.close();
    expect(givenBack.filter((stopping) => stopping !== true)).to.deep.equal([]);
    expect((await leader.config(volume.uid)).primary).to.equal(null);
    expect(await inSync()).to.have.members(volume.shards[0]?.inSync ?? []);
    expect(await leader.report(volume.uid)).to.equal(null);
    expect(existsSync(socket)).to.equal(false);
    const meta = readFileSync(path.join(agents.poolDirectory('node-a'), 'replicas', replicaOn(volume, 'node-a'), 'meta'), 'utf8');
    expect(meta).to.contain('"openBootId":null');
    expect(meta).to.not.contain(machine?.bootId);
    const startedMs = performance.now();
    const other = await serve('node-b');
    await qemuIo(other, 'pgdata', 'read -P 0x31 0 1M');
    expect(performance.now() - startedMs, 'no lease is waited for after a graceful end').to.be.lessThan(8_000);
  });

  it('an agent that stops and cannot let go, because nobody answers it, ends all the same within its bounds', async () => {
    const socket = await serve('node-a');
    await Promise.all(['node-b', 'node-c'].map((node) => process(node).kill()));
    const waiting = qemuIo(socket, 'pgdata', 'write -P 0x32 0 1M').then(
      () => 'acknowledged',
      () => 'failed',
    );
    await until('the write waits', async () => (await leader.report(volume.uid))?.state === 'stalled', 20_000);
    const stoppedMs = performance.now();
    expect(await process('node-a').kill('SIGTERM')).to.equal(0);
    expect(performance.now() - stoppedMs).to.be.lessThan(13_000);
    expect(await waiting).to.equal('failed');
    expect((await leader.config(volume.uid)).primary?.node, 'it is not let go').to.equal('node-a');
    expect(await agents.machine('node-a')).to.equal(null);
  });

  it('detached, its socket goes, and the primary lets go by itself', async () => {
    const socket = await serve('node-a');
    await leader.change(volume.uid, (known) => ({ ...known, primary: known.primary && { ...known.primary, mode: 'background' } }));
    await until('let go', async () => (await leader.config(volume.uid)).primary === null, 20_000);
    await until('no socket, no report', async () => !existsSync(socket) && (await leader.report(volume.uid)) === null);
  });

  it('deleted, nothing is left on any node', async () => {
    const socket = await serve('node-b');
    await letGo();
    await until('no socket', () => !existsSync(socket));
    await agents.store.commit(
      [],
      [
        { delete: keys.volume(volume.uid) },
        { put: keys.deletedOf(volume.uid), value: '{}' },
        ...NODES.map((node) => ({ delete: keys.pointer(node, volume.uid) })),
      ],
    );
    for (const { replica, node, pool } of volume.shards[0]?.members ?? []) {
      const task = await leader.file(node, { kind: 'delete-replica', volume: volume.uid, replica, pool });
      expect((await leader.ended(task)).state).to.equal('done');
      expect(agents.replicasOn(node)).to.deep.equal([]);
    }
    await until('no claims, no reports', async () => (await agents.store.list(keys.serving)).entries.length === 0);
    expect((await agents.store.list(keys.claims)).entries).to.deep.equal([]);
  });
});
