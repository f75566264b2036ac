/**
 * Memory that is used again (core/wire/blockPool.ts), where it is hardest: clients that verify what they read, of all lengths, while replicas stand still,
 * die and come back far behind, clients are cut off in the middle of requests or take no answers, and limits come and go. What was freed is spoilt.
 * Each nasty step comes once; MEMORY_SECONDS=300 for as long as that, again and again.
 *
 * At the end all replicas are the same, and nobody ever refused a frame for its bytes: what is spoilt while a socket still sends it costs no data, for its
 * checksum was taken before and the session that it ends comes back by comparing, but it must not be.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { VolumeConfig } from '../../../core/config.ts';
import { type AgentProcess, Agents, keys, LeaderStandIn } from '../../support/agents.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const NODES = ['node-a', 'node-b', 'node-c'];
const SHARDS = [NODES, NODES, NODES];
/** Each kind of client has a part of its own. */
const PART_MIB = 12;
const SIZE = 4 * PART_MIB * MIB;
const SECONDS = Number(process.env.MEMORY_SECONDS ?? '0');
const REPLICA_TIMEOUT_MS = 2_000;
/** While a learner is to stay one. */
const SLOW_RESYNC = { resyncBytesPerSecond: 16 * MIB };
/** What breaks without anybody's bytes being wrong. */
const RULES_OF_CONNECTIONS = ['handshake', 'peer', 'sealTimeout', 'connectionsMax', 'unsentBytesMax'];

/** One that verifies, over a part of the volume that is its own. */
const verifying = (part: number, lengths: string, depth: number): string[] => [
  ...[
    '--rw=randwrite',
    `--bsrange=${lengths}`,
    `--offset=${part * PART_MIB * MIB}`,
    `--size=${PART_MIB}m`,
    `--iodepth=${depth}`,
    '--time_based',
    '--runtime=2',
  ],
  ...['--verify=crc32c', '--verify_backlog=48', '--verify_fatal=1', '--serialize_overlap=1', '--randrepeat=0'],
];
/** One that is cut off again and again, over what nobody verifies. */
const CUT = [
  '--rw=randrw',
  '--bsrange=4k-1m',
  `--offset=${3 * PART_MIB * MIB}`,
  `--size=${PART_MIB}m`,
  '--iodepth=32',
  '--time_based',
  '--runtime=60',
];

const clients = new Set<ChildProcess>();

function fio(socket: string, load: readonly string[]): { child: ChildProcess; ended: Promise<string> } {
  // A thread of fio itself, not a process of its own: whatever is done to it is done to the client.
  const words = ['--name=memory', '--thread', '--verify_state_save=0', '--ioengine=nbd', `--uri=nbd+unix:///?socket=${socket}`, ...load];
  const child = spawn('fio', words, { stdio: ['ignore', 'pipe', 'pipe'] });
  clients.add(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => {
    clients.delete(child);
    return code === 0 ? '' : `ended with ${code}: ${said.slice(0, 2_000)}`;
  });
  return { child, ended };
}

for (const tls of ['off', 'on']) {
  describe(`memory that is used again, REPLICATION_TLS=${tls}`, function () {
    this.timeout(SECONDS * 1_000 + 180_000);
    let agents: Agents;
    let leader: LeaderStandIn;
    const processes = new Map<string, AgentProcess>();
    /** Those that died, too. */
    const all: AgentProcess[] = [];
    let settingsVersion = 1;

    const start = async (node: string) => {
      const started = await agents.start(node, { REPLICATION_TLS: tls });
      processes.set(node, started);
      all.push(started);
    };
    const set = (values: object) =>
      agents.put(keys.settings, {
        version: ++settingsVersion,
        values: { replicaTimeoutMs: REPLICA_TIMEOUT_MS, ioTimeoutMs: 0, ...values },
      });
    const signal = (node: string, name: NodeJS.Signals) => processes.get(node)?.child.kill(name);

    beforeEach(async () => {
      agents = await Agents.open();
      leader = new LeaderStandIn(agents);
      await set({});
      await Promise.all(NODES.map(start));
    });
    afterEach(async () => {
      for (const client of clients) client.kill('SIGKILL');
      await agents.remove();
    });

    /** How many of each shard's replicas are in sync. */
    const inSyncOf = async ({ uid }: VolumeConfig) => (await leader.config(uid)).shards.map((shard) => shard.inSync.length);
    const untilInSync = (volumes: readonly VolumeConfig[], replicas = 3) =>
      until(
        `${replicas} replicas of each shard are in sync`,
        async () => (await Promise.all(volumes.map(inSyncOf))).flat().every((count) => count === replicas),
        60_000,
      );

    /** Whether all that lies on the node is sent what happens. */
    async function takesPart(node: string, { uid }: VolumeConfig): Promise<boolean> {
      const { shards } = await leader.config(uid);
      const here = new Set(shards.flatMap(({ members }) => members.filter((member) => member.node === node).map(({ replica }) => replica)));
      const found = (await leader.report(uid))?.replicas.filter(({ replica }) => here.has(replica)) ?? [];
      return found.length === here.size && found.every(({ state }) => state !== 'out');
    }

    async function standStill(node: string, milliseconds: number): Promise<void> {
      signal(node, 'SIGSTOP');
      await sleep(milliseconds);
      signal(node, 'SIGCONT');
    }

    /** Runs a quarter of the time: far behind, not out. */
    async function limp(node: string, times: number): Promise<void> {
      for (let time = 0; time < times; time++) {
        await standStill(node, 150);
        await sleep(50);
      }
    }

    /** Out of every set. */
    async function die(node: string, volumes: readonly VolumeConfig[]): Promise<void> {
      await set(SLOW_RESYNC);
      await processes.get(node)?.kill();
      await untilInSync(volumes, 2);
    }

    /** As a learner that takes in nothing for a while, more than any kernel keeps for it, and then little: what it was not sent yet is settled without it. */
    async function returnFarBehind(node: string, volumes: readonly VolumeConfig[]): Promise<void> {
      await start(node);
      await until(
        `${node} takes part`,
        async () => (await Promise.all(volumes.map((volume) => takesPart(node, volume)))).every(Boolean),
        20_000,
      );
      await standStill(node, REPLICA_TIMEOUT_MS - 500);
      await limp(node, 4);
      await set({});
    }

    const limit = (volumes: readonly VolumeConfig[], bytesPerSecond: number) =>
      Promise.all(volumes.map(({ uid }) => leader.change(uid, (known) => ({ ...known, limits: { iops: 0, bytesPerSecond } }))));

    /** Of each shard one leaves; the other may not, still counts, and is sent again all that was in flight. A limit is set before and lifted meanwhile. */
    async function bothStandStill(volumes: readonly VolumeConfig[]): Promise<void> {
      await limit(volumes, 8 * MIB);
      await sleep(300);
      const stand = Promise.all(['node-b', 'node-c'].map((node) => standStill(node, REPLICA_TIMEOUT_MS + 500)));
      await limit(volumes, 0);
      await stand;
    }

    async function trouble(volumes: readonly VolumeConfig[]): Promise<void> {
      const endMs = performance.now() + SECONDS * 1_000;
      do {
        await Promise.all([die('node-c', volumes), limp('node-b', 6)]);
        await returnFarBehind('node-c', volumes);
        await untilInSync(volumes);
        await bothStandStill(volumes);
        await untilInSync(volumes);
      } while (performance.now() < endMs);
    }

    /** Clients that are cut off, and clients that take no answers for a while. */
    async function cutClients(sockets: readonly string[], isOver: () => boolean): Promise<void> {
      for (let index = 0; !isOver(); index++) {
        const { child, ended } = fio(sockets[index % sockets.length] ?? '', CUT);
        await sleep(700);
        child.kill('SIGSTOP');
        await sleep(300);
        child.kill('SIGKILL');
        await ended;
        const others = [...clients];
        const other = others[index % Math.max(1, others.length)];
        other?.kill('SIGSTOP');
        await sleep(200);
        other?.kill('SIGCONT');
      }
    }

    const isSameEverywhere = ({ shards }: VolumeConfig): boolean =>
      shards.every(({ members }) => {
        const files = members.map(({ node, replica }) => path.join(agents.poolDirectory(node), 'replicas', replica, 'data'));
        const [first, ...rest] = files.map((file) => readFileSync(file));
        return rest.every((content) => first?.equals(content));
      });

    /** Frames that were refused for their bytes. */
    const refusedBytes = (): string[] =>
      all
        .flatMap(({ lines }) => lines.filter(({ message }) => message === 'replication connection refused'))
        .filter(({ rule }) => !RULES_OF_CONNECTIONS.includes(String(rule)))
        .map(({ peer, rule, reason }) => `${peer} ${rule}: ${reason}`);

    // Shown by hand to fail, by refusals alone, with Replication.isFree without its look at the peers.
    it('is nobody else’s while anybody reads or sends it', async () => {
      const volumes = [await leader.createVolume('one', NODES, SIZE), await leader.createStriped('wide', SHARDS, SIZE)];
      const sockets: string[] = [];
      for (const { uid } of volumes) {
        await leader.promote(uid, 'node-a');
        sockets.push(await leader.served(uid));
      }
      await untilInSync(volumes);
      let isOver = false;
      const untilOver = async (socket: string, load: readonly string[]): Promise<string> => {
        let said = '';
        while (said === '' && !isOver) said = await fio(socket, load).ended;
        return said;
      };
      const verified = Promise.all(
        sockets.flatMap((socket) => [
          untilOver(socket, verifying(0, '4k-1m', 16)),
          untilOver(socket, verifying(1, '4k-64k', 64)),
          untilOver(socket, verifying(2, '1m-1m', 1)),
        ]),
      );
      const cut = cutClients(sockets, () => isOver);
      await trouble(volumes).finally(() => {
        isOver = true;
      });
      await cut;
      expect((await verified).filter((said) => said !== '')).to.deep.equal([]);
      await untilInSync(volumes);
      expect([...processes.values()].map(({ isRunning }) => isRunning)).to.deep.equal([true, true, true]);
      await until('all replicas are the same', async () => volumes.every(isSameEverywhere), 20_000);
      expect(refusedBytes()).to.deep.equal([]);
    });
  });
}
