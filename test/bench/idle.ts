/**
 * What agents cost while nobody asks them for anything: memory and processor time with no volumes, with volumes that nobody uses, and with volumes that are
 * served and have a client each that says nothing. All primaries are on one node: the worst there is. Must never measure what a start still does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { VolumeConfig } from '../../core/config.ts';
import { BLOCK_BYTES } from '../../core/extent.ts';
import { HandNbdClient } from '../support/nbdClient.ts';
import { cpuMicroseconds, residentBytes } from './cpu.ts';
import type { Options } from './options.ts';
import type { Line } from './report.ts';
import { HoldfastCluster, NODES } from './systems/holdfast.ts';

const VOLUMES = 100;
const VOLUME_BYTES = 64 * 1024 * 1024;
/** How many are made at the same time. */
const AT_ONCE = 10;
const WINDOW_MS = 20_000;
/** What a start, or the making of volumes, leaves to be done and to be collected. */
const SETTLE_MS = 20_000;
const MIB = 1024 * 1024;
const RESIDENT_MIB_MAX = 250;
const CORE_PERCENT_MAX = 1;

type Say = (line: string) => void;

export async function measureIdle(options: Options, say: Say): Promise<Line[]> {
  const cluster = await HoldfastCluster.open(options.agentEnvironment);
  const clients: HandNbdClient[] = [];
  try {
    await cluster.start('on');
    const lines = [...(await look(cluster, 'no volumes', false, say))];
    const volumes = await inTurns(VOLUMES, (index) => cluster.leader.createVolume(`idle-${index}`, NODES, VOLUME_BYTES));
    lines.push(...(await look(cluster, `${VOLUMES} volumes x ${NODES.length} replicas, detached`, true, say)));
    clients.push(...(await inTurns(VOLUMES, (index) => serveOne(cluster, volumes[index] as VolumeConfig))));
    lines.push(...(await look(cluster, `the same, all served on ${NODES[0]} to a client each`, true, say)));
    return lines;
  } finally {
    for (const each of clients) each.close();
    await cluster.stop();
    await cluster.remove();
  }
}

async function inTurns<Made>(count: number, make: (index: number) => Promise<Made>): Promise<Made[]> {
  const made: Made[] = [];
  for (let from = 0; from < count; from += AT_ONCE) {
    const indexes = Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, index) => from + index);
    made.push(...(await Promise.all(indexes.map(make))));
  }
  return made;
}

/** To a client that has written, and says nothing more. */
async function serveOne(cluster: HoldfastCluster, config: VolumeConfig): Promise<HandNbdClient> {
  const client = await HandNbdClient.open(await cluster.serve(config), config.name);
  for (const answer of [await client.write(0, Buffer.alloc(BLOCK_BYTES, 1)), await client.flush()])
    if (answer.outcome !== 'replied' || answer.error !== 0) throw new Error(`${config.name} does not answer as it should`);
  return client;
}

async function look(cluster: HoldfastCluster, what: string, isGoal: boolean, say: Say): Promise<Line[]> {
  await sleep(SETTLE_MS);
  const before = NODES.map((node) => cpuMicroseconds([pidOf(cluster, node)]));
  await sleep(WINDOW_MS);
  return NODES.flatMap((node, index) => {
    const pid = pidOf(cluster, node);
    const corePercent = (cpuMicroseconds([pid]) - (before[index] ?? 0)) / (WINDOW_MS * 10);
    const residentMib = residentBytes(pid) / MIB;
    say(`${what}, ${node}: ${Math.round(residentMib)} MiB, ${corePercent.toFixed(2)} % of a core`);
    return [
      line(
        `${what}: ${node}, resident`,
        `${Math.round(residentMib)} MiB`,
        isGoal && `< ${RESIDENT_MIB_MAX} MiB`,
        residentMib < RESIDENT_MIB_MAX,
      ),
      line(
        `${what}: ${node}, CPU`,
        `${corePercent.toFixed(2)} %`,
        isGoal && `< ${CORE_PERCENT_MAX} % of a core`,
        corePercent < CORE_PERCENT_MAX,
      ),
    ];
  });
}

const line = (what: string, measured: string, wanted: string | false, isMet: boolean): Line => ({
  what,
  measured,
  wanted: wanted || '',
  isMet: wanted ? isMet : null,
});

const pidOf = (cluster: HoldfastCluster, node: string): number => cluster.process(node).child.pid ?? 0;
