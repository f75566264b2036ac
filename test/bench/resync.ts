/**
 * How long it takes to make a new replica of a volume that is full, beside `cp` of the same file on the same disk; what clients feel of it; and how long a
 * replica takes that was away while one part in a hundred was written. Must never time what is not copying: tasks, and agents that start.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Member, VolumeConfig } from '../../core/config.ts';
import { newReplicaId, type ReplicaId } from '../../core/ids.ts';
import { systemRandom } from '../../core/random.ts';
import { replicaOn } from '../support/agents.ts';
import { until } from '../support/until.ts';
import { cpuMicroseconds } from './cpu.ts';
import { nbdTarget, runFio, timed } from './fio.ts';
import { writeOut } from './measure.ts';
import type { Options } from './options.ts';
import type { Line } from './report.ts';
import { spreadOf } from './statistics.ts';
import { HoldfastCluster, NODES } from './systems/holdfast.ts';

const BOUND_MS = 600_000;
const SETTLE_MS = 10_000;
const MIB = 1024 * 1024;
const CHANGED_PART = 0.01;
const REPLACED = NODES[2] ?? '';
/** Beside the resync, and before it: as much of both as no system here is busy with. */
const CLIENTS = ['--bs=4k', '--iodepth=2', '--rate_iops=250'];
const GOALS = { ofCopy: 0.5, p99: 2, ofFull: 0.03 };

type Round = {
  copyMs: number;
  durableCopyMs: number;
  fullMs: number;
  cpuMicrosecondsPerMib: number;
  deltaMs: number;
  besideClientsMs: number;
  p99: { before: Clients; during: Clients };
};
type Clients = { read: number; write: number };
type Bench = { cluster: HoldfastCluster; config: VolumeConfig; socketPath: string; sizeBytes: number; options: Options };

export async function measureResync(options: Options, say: (line: string) => void): Promise<Line[]> {
  const cluster = await HoldfastCluster.open(options.agentEnvironment);
  const sizeBytes = options.resyncBytes;
  try {
    await cluster.start('off');
    const config = await cluster.leader.createVolume('resync', NODES, sizeBytes);
    const bench: Bench = { cluster, config, socketPath: await cluster.serve(config), sizeBytes, options };
    await runFio(nbdTarget(bench.socketPath), ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${sizeBytes}`, '--end_fsync=1'], 'write');
    const rounds: Round[] = [];
    for (let repetition = 0; repetition < options.repetitions; repetition++) {
      rounds.push(await oneRound(bench));
      say(
        `resync ${repetition + 1}: ${JSON.stringify(rounds.at(-1), (_, value) => (typeof value === 'number' ? Math.round(value) : value))}`,
      );
    }
    return linesOf(rounds, sizeBytes);
  } finally {
    await cluster.stop();
    await cluster.remove();
  }
}

async function oneRound(bench: Bench): Promise<Round> {
  const copied = await copy(bench);
  const before = cpuMicroseconds(bench.cluster.pids);
  const fullMs = await timedMs(await replace(bench));
  const cpu = cpuMicroseconds(bench.cluster.pids) - before;
  const deltaMs = await delta(bench);
  const p99Before = await clients(bench);
  const begin = await replace(bench);
  const [besideClientsMs, p99During] = await Promise.all([timedMs(begin), clients(bench)]);
  return {
    ...copied,
    fullMs,
    cpuMicrosecondsPerMib: cpu / (bench.sizeBytes / MIB),
    deltaMs,
    besideClientsMs,
    p99: { before: p99Before, during: p99During },
  };
}

async function timedMs(act: () => Promise<unknown>): Promise<number> {
  writeOut();
  const fromMs = performance.now();
  await act();
  return performance.now() - fromMs;
}

/** Into the page cache, and until it is durable. */
async function copy({ cluster, config }: Bench): Promise<{ copyMs: number; durableCopyMs: number }> {
  const [node = ''] = NODES;
  const from = path.join(cluster.agents.poolDirectory(node), 'replicas', replicaOn(config, node), 'data');
  const to = path.join(cluster.agents.directory, 'copy');
  const run = promisify(execFile);
  let copyMs = 0;
  const durableCopyMs = await timedMs(async () => {
    copyMs = await timedMs(() => run('cp', ['--reflink=never', from, to]));
    await run('sync', [to]);
  });
  await run('rm', [to]);
  return { copyMs, durableCopyMs };
}

/** Its replica goes, and an empty one is made in its place. What is given back makes it a member, and ends when that is in sync. */
async function replace({ cluster, config: { uid, name }, sizeBytes }: Bench): Promise<() => Promise<void>> {
  const { leader } = cluster;
  const config = await leader.config(uid);
  const old = config.shards[0]?.members.find(({ node }) => node === REPLACED);
  if (old === undefined) throw new Error(`no replica on ${REPLACED}`);
  const replica = newReplicaId(systemRandom);
  await leader.change(uid, (known) => withMembers(known, (one) => (one.replica === old.replica ? { ...one, leaving: true } : one)));
  await until('it has left', async () => !isInSync(await leader.config(uid), old.replica));
  await leader.change(uid, (known) => withMembers(known, (one) => (one.replica === old.replica ? null : one)));
  const place = { volume: uid, pool: 'default' };
  const tasks = [
    await leader.file(REPLACED, { kind: 'delete-replica', ...place, replica: old.replica }),
    await leader.file(REPLACED, { kind: 'create-replica', ...place, replica, sizeBytes, volumeName: name }),
  ];
  for (const task of tasks) await leader.ended(task);
  return async () => {
    await leader.change(uid, (known) => ({
      ...known,
      shards: known.shards.map((shard) => ({ ...shard, members: [...shard.members, { ...old, replica }] })),
    }));
    await until('it is in sync', async () => isInSync(await leader.config(uid), replica), BOUND_MS);
  };
}

const isInSync = ({ shards }: VolumeConfig, replica: ReplicaId): boolean => shards.some(({ inSync }) => inSync.includes(replica));

const withMembers = (config: VolumeConfig, change: (member: Member) => Member | null): VolumeConfig => ({
  ...config,
  shards: config.shards.map((shard) => ({ ...shard, members: shard.members.flatMap((member) => change(member) ?? []) })),
});

/** From when the agent is registered until the replica is in sync; its primary has to notice, too. What changed lies in whole extents: stamps know no less. */
async function delta({ cluster, config, socketPath, sizeBytes }: Bench): Promise<number> {
  // What was copied or written just before is still in the logs, and would be compared again.
  await sleep(SETTLE_MS);
  const process = cluster.process(REPLACED);
  await process.kill('SIGKILL');
  await cluster.untilInSync(config, NODES.length - 1);
  const changedBytes = Math.round((sizeBytes * CHANGED_PART) / MIB) * MIB;
  const load = [
    '--rw=randwrite',
    '--bs=1m',
    '--iodepth=4',
    '--randrepeat=0',
    `--size=${sizeBytes}`,
    `--io_size=${changedBytes}`,
    '--end_fsync=1',
  ];
  await runFio(nbdTarget(socketPath), load, 'write');
  await cluster.startNode(REPLACED, 'off');
  return timedMs(() => cluster.untilInSync(config, NODES.length, BOUND_MS));
}

/** p99 of reads and of writes, in milliseconds. */
async function clients({ socketPath, sizeBytes, options }: Bench): Promise<Clients> {
  const load = (direction: string) => [`--rw=rand${direction}`, ...CLIENTS, ...timed(options.seconds, sizeBytes)];
  const results = await Promise.all(
    (['read', 'write'] as const).map((direction) => runFio(nbdTarget(socketPath), load(direction), direction)),
  );
  const [read = 0, write = 0] = results.map(({ p99Microseconds }) => p99Microseconds / 1_000);
  return { read, write };
}

function linesOf(rounds: readonly Round[], sizeBytes: number): Line[] {
  const median = (pick: (round: Round) => number): number => spreadOf(rounds.map(pick)).median;
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`;
  const size = `${sizeBytes / 2 ** 30} GiB`;
  const plain = (what: string, measured: string): Line => ({ what, measured, wanted: '', isMet: null });
  const goal = (what: string, measured: string, wanted: string, isMet: boolean): Line => ({ what, measured, wanted, isMet });
  const full = median(({ fullMs }) => fullMs);
  const ofDurable = median(({ durableCopyMs, fullMs }) => durableCopyMs / fullMs);
  const ofCopy = median(({ copyMs, fullMs }) => copyMs / fullMs);
  const ofFull = median(({ deltaMs, fullMs }) => deltaMs / fullMs);
  const p99 = (of: keyof Clients) => {
    const times = median(({ p99: { before, during } }) => during[of] / before[of]);
    const range = `${median(({ p99: { before } }) => before[of]).toFixed(2)} ms before, ${median(({ p99: { during } }) => during[of]).toFixed(2)} ms during`;
    return goal(`p99 of ${of}s meanwhile (500 a second)`, `${times.toFixed(2)} x (${range})`, `<= ${GOALS.p99} x`, times <= GOALS.p99);
  };
  return [
    plain(`cp of ${size}, into the page cache`, seconds(median(({ copyMs }) => copyMs))),
    plain('the same, durable (a resync is)', seconds(median(({ durableCopyMs }) => durableCopyMs))),
    plain(`full resync of ${size}`, `${seconds(full)}, ${Math.round(median((round) => round.cpuMicrosecondsPerMib))} us CPU a MiB`),
    goal('its speed, to that of a durable cp', `${ofDurable.toFixed(2)} x`, `>= ${GOALS.ofCopy} x`, ofDurable >= GOALS.ofCopy),
    goal('its speed, to that of a cp into the page cache', `${ofCopy.toFixed(2)} x`, `>= ${GOALS.ofCopy} x`, ofCopy >= GOALS.ofCopy),
    plain('full resync beside clients', seconds(median(({ besideClientsMs }) => besideClientsMs))),
    p99('read'),
    p99('write'),
    goal(
      'resync after 1 % was changed, to a full one',
      `${(ofFull * 100).toFixed(1)} % (${seconds(median(({ deltaMs }) => deltaMs))})`,
      `<= ${GOALS.ofFull * 100} %`,
      ofFull <= GOALS.ofFull,
    ),
  ];
}
