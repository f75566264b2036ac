/**
 * Memory that is used again (core/wire/blockPool.ts), where it is hardest: clients that verify what they read, of all lengths, while replicas stand still,
 * die and come back far behind, clients are cut off in the middle of requests or take no answers, and limits come and go. What was freed is spoilt.
 * At the end all replicas are the same. MEMORY_SECONDS=300 for more than a look.
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
const SIZE = 96 * MIB;
const SECONDS = Number(process.env.MEMORY_SECONDS ?? '20');
const REPLICA_TIMEOUT_MS = 1_500;

/** One that verifies, over a part of the volume that is its own. */
const verifying = (offset: number, lengths: string, depth: number): string[] => [
  ...[
    '--rw=randwrite',
    `--bsrange=${lengths}`,
    `--offset=${offset * MIB}`,
    '--size=24m',
    `--iodepth=${depth}`,
    '--time_based',
    `--runtime=${SECONDS}`,
  ],
  ...['--verify=crc32c', '--verify_backlog=48', '--verify_fatal=1', '--serialize_overlap=1', '--randrepeat=0'],
];
/** One that is cut off again and again, over what nobody verifies. */
const CUT = ['--rw=randrw', '--bsrange=4k-1m', `--offset=${72 * MIB}`, '--size=24m', '--iodepth=32', '--time_based', '--runtime=60'];

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

    const start = async (node: string) => {
      processes.set(node, await agents.start(node, { REPLICATION_TLS: tls }));
    };
    const signal = (node: string, name: NodeJS.Signals) => processes.get(node)?.child.kill(name);

    beforeEach(async () => {
      agents = await Agents.open();
      leader = new LeaderStandIn(agents);
      await agents.put(keys.settings, { version: 2, values: { replicaTimeoutMs: REPLICA_TIMEOUT_MS, ioTimeoutMs: 0 } });
      await Promise.all(NODES.map(start));
    });
    afterEach(async () => {
      for (const client of clients) client.kill('SIGKILL');
      await agents.remove();
    });

    const inSyncOf = async ({ uid }: VolumeConfig) => (await leader.config(uid)).shards.map((shard) => shard.inSync.length);
    const untilInSync = (volumes: readonly VolumeConfig[]) =>
      until(
        'all replicas are in sync',
        async () => (await Promise.all(volumes.map(inSyncOf))).flat().every((count) => count === 3),
        60_000,
      );

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

    async function dieAndReturn(node: string, volumes: readonly VolumeConfig[]): Promise<void> {
      await processes.get(node)?.kill();
      await sleep(1_000);
      await start(node);
      await limp(node, 15);
      await untilInSync(volumes);
    }

    const limit = (volumes: readonly VolumeConfig[], bytesPerSecond: number) =>
      Promise.all(volumes.map(({ uid }) => leader.change(uid, (known) => ({ ...known, limits: { iops: 0, bytesPerSecond } }))));

    async function trouble(volumes: readonly VolumeConfig[], isOver: () => boolean): Promise<void> {
      const faults = [
        () => limp('node-b', 10),
        () => dieAndReturn('node-c', volumes),
        () => standStill('node-c', REPLICA_TIMEOUT_MS + 700),
        () => untilInSync(volumes),
        () => standStill('node-b', REPLICA_TIMEOUT_MS / 2),
        () => limit(volumes, 8 * MIB).then(() => sleep(1_000)),
        () => standStill('node-b', REPLICA_TIMEOUT_MS + 300),
        () => limit(volumes, 0),
        () => untilInSync(volumes),
        () => dieAndReturn('node-b', volumes),
      ];
      for (let index = 0; !isOver(); index++) await faults[index % faults.length]?.();
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

    it('is nobody else’s while anybody reads or sends it', async () => {
      const volumes = [await leader.createVolume('one', NODES, SIZE), await leader.createStriped('wide', SHARDS, SIZE)];
      const sockets: string[] = [];
      for (const { uid } of volumes) {
        await leader.promote(uid, 'node-a');
        sockets.push(await leader.served(uid));
      }
      await untilInSync(volumes);
      const verifiers = sockets.flatMap((socket) => [
        fio(socket, verifying(0, '4k-1m', 16)),
        fio(socket, verifying(24, '4k-64k', 64)),
        fio(socket, verifying(48, '1m-1m', 1)),
      ]);
      let isOver = false;
      const beside = Promise.all([trouble(volumes, () => isOver), cutClients(sockets, () => isOver)]);
      const ended = await Promise.all(verifiers.map((verifier) => verifier.ended)).finally(() => {
        isOver = true;
      });
      await beside;
      expect(ended).to.deep.equal(verifiers.map(() => ''));
      await limit(volumes, 0);
      await untilInSync(volumes);
      expect([...processes.values()].map(({ isRunning }) => isRunning)).to.deep.equal([true, true, true]);
      await until('all replicas are the same', async () => volumes.every(isSameEverywhere), 20_000);
    });
  });
}
