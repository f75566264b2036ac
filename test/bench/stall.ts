/** How long a writer stands still when a replica goes: its process killed, or its machine gone without a word. */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VolumeConfig } from '../../core/config.ts';
import { DEFAULT_SETTINGS } from '../../core/settings.ts';
import { nbdTarget, runFio, timed } from './fio.ts';
import type { Line } from './report.ts';
import { quantileOf } from './statistics.ts';
import { HoldfastCluster, NODES } from './systems/holdfast.ts';

const KILLS = 10;
const VANISHINGS = 3;
const VICTIM = 'node-c';
const BEFORE_MS = 1_500;
const AFTER_SECONDS = 2;
const MS_PER_SECOND = 1_000;
const KILL_MS_MAX = 100;
const VANISH_MARGIN_MS = 200;
const P99 = 0.99;

type Gone = { readonly back: () => Promise<void> | void };

export async function measureStalls(sizeBytes: number, environment: Readonly<Record<string, string>>): Promise<Line[]> {
  const cluster = await HoldfastCluster.open(environment);
  try {
    await cluster.start('off');
    const config = await cluster.leader.createVolume('stall', NODES, sizeBytes);
    const socketPath = await cluster.serve(config);
    const load = ['--rw=randwrite', '--bs=4k', '--iodepth=1'];
    await runFio(nbdTarget(socketPath), ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${sizeBytes}`, '--end_fsync=1'], 'write');

    /** The longest that one write took while a replica went. */
    const stallMs = async (seconds: number, go: () => Promise<Gone> | Gone): Promise<number> => {
      const goes = sleep(BEFORE_MS).then(go);
      const writes = runFio(nbdTarget(socketPath), [...load, ...timed(seconds, sizeBytes)], 'write');
      const [gone, writing] = await Promise.allSettled([goes, writes]);
      if (gone.status === 'rejected') throw gone.reason;
      await gone.value.back();
      if (writing.status === 'rejected') throw writing.reason;
      const { longestMilliseconds } = writing.value;
      await cluster.untilInSync(config, NODES.length);
      return longestMilliseconds;
    };
    const times = async (count: number, act: () => Promise<number>): Promise<number[]> => {
      const found: number[] = [];
      while (found.length < count) found.push(await act());
      return found;
    };
    const { replicaTimeoutMs } = DEFAULT_SETTINGS;
    const vanishSeconds = Math.ceil((BEFORE_MS + replicaTimeoutMs) / MS_PER_SECOND) + AFTER_SECONDS;
    const none = await times(3, () => stallMs(AFTER_SECONDS, () => ({ back: () => undefined })));
    const killed = await times(KILLS, () => stallMs(BEFORE_MS / MS_PER_SECOND + AFTER_SECONDS, () => kill(cluster)));
    const vanished = await times(VANISHINGS, () => stallMs(vanishSeconds, () => vanish(cluster, config)));
    return linesOf({ none, killed, vanished, replicaTimeoutMs });
  } finally {
    await cluster.remove();
  }
}

async function kill(cluster: HoldfastCluster): Promise<Gone> {
  await cluster.process(VICTIM).kill('SIGKILL');
  return {
    back: async () => {
      await cluster.startNode(VICTIM, 'off');
    },
  };
}

/** Packets to and from its replicas are dropped, on loopback, by rules that go again. */
async function vanish(cluster: HoldfastCluster, { uid }: VolumeConfig): Promise<Gone> {
  const members = (await cluster.leader.config(uid)).shards.flatMap((shard) => shard.members);
  const pools = members.filter(({ node }) => node === VICTIM).map(({ pool }) => pool);
  const machine = await cluster.agents.machine(VICTIM);
  const addresses = machine?.pools.filter(({ name }) => pools.includes(name)).map(({ address }) => address ?? '') ?? [];
  const ports = addresses.map((address) => address.slice(address.lastIndexOf(':') + 1));
  const rules = ports.flatMap((port) => [
    ['INPUT', '-i', 'lo', '-p', 'tcp', '--dport', port, '-j', 'DROP'],
    ['INPUT', '-i', 'lo', '-p', 'tcp', '--sport', port, '-j', 'DROP'],
  ]);
  if (rules.length === 0) throw new Error(`${VICTIM} does not say where its pools answer`);
  const change = (how: string) => {
    for (const rule of rules) execFileSync('iptables', [how, ...rule]);
  };
  change('-I');
  return { back: () => change('-D') };
}

type Stalls = { none: readonly number[]; killed: readonly number[]; vanished: readonly number[]; replicaTimeoutMs: number };

function linesOf({ none, killed, vanished, replicaTimeoutMs }: Stalls): Line[] {
  const all = (values: readonly number[]) => values.map((value) => Math.round(value)).join(', ');
  const vanishMsMax = replicaTimeoutMs + VANISH_MARGIN_MS;
  return [
    { what: 'longest write of a writer (4k, QD1), nothing happens', measured: `${all(none)} ms`, wanted: '', isMet: null },
    {
      what: `the same, a replica’s agent is killed (${killed.length} times), p99 of these`,
      measured: `${Math.round(quantileOf(killed, P99))} ms (${all(killed)})`,
      wanted: `< ${KILL_MS_MAX} ms`,
      isMet: quantileOf(killed, P99) < KILL_MS_MAX,
    },
    {
      what: 'the same, a replica’s packets are dropped',
      measured: `${all(vanished)} ms`,
      wanted: `< ${vanishMsMax} ms (replicaTimeoutMs + ${VANISH_MARGIN_MS})`,
      isMet: Math.max(...vanished) < vanishMsMax,
    },
  ];
}
