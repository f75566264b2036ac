/**
 * How long a writer waits when a replica's agent is killed: kill -9 of one of the two that are not the primary, in turns, each back in sync before the next.
 * Must never count a write that was not under way when it happened, or after.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Options } from './options.ts';
import type { Line } from './report.ts';
import { quantileOf, spreadOf } from './statistics.ts';
import { HoldfastCluster, NODES } from './systems/holdfast.ts';
import { Writer } from './writer.ts';

const KILLS_A_REPETITION = 10;
const VOLUME_BYTES = 256 * 1024 * 1024;
/** Whatever the kill does to a writer begins at once: the connection breaks. */
const WATCH_MS = 1_000;
const STALL_MS_MAX = 100;

type Say = (line: string) => void;

export async function measureKill(options: Options, say: Say): Promise<Line[]> {
  const cluster = await HoldfastCluster.open(options.agentEnvironment);
  try {
    await cluster.start('off');
    const config = await cluster.leader.createVolume('kill', NODES, VOLUME_BYTES);
    const writer = await Writer.open(await cluster.serve(config), config.name, VOLUME_BYTES);
    const usual: number[] = [];
    const stalls: number[] = [];
    for (let kill = 0; kill < KILLS_A_REPETITION * options.repetitions; kill++) {
      const node = NODES[1 + (kill % 2)] ?? '';
      usual.push(await watched(writer, async () => undefined));
      stalls.push(await watched(writer, () => cluster.process(node).kill('SIGKILL')));
      say(
        `kill ${kill + 1}, ${node}: the writer waited ${stalls.at(-1)?.toFixed(1)} ms; ${usual.at(-1)?.toFixed(1)} ms in the second before`,
      );
      await cluster.startNode(node, 'off');
      await cluster.untilInSync(config, NODES.length);
    }
    await writer.stop();
    return [
      lineOf('a replica is killed: longest wait of a writer, p99 of', stalls, STALL_MS_MAX),
      lineOf('the same with nobody killed, p99 of', usual),
    ];
  } finally {
    await cluster.stop();
    await cluster.remove();
  }
}

async function watched(writer: Writer, act: () => Promise<unknown>): Promise<number> {
  const sinceMs = performance.now();
  await act();
  await sleep(WATCH_MS);
  return writer.longestSince(sinceMs);
}

/** `wantedMs`: the goal, if it is one. */
function lineOf(what: string, waitsMs: readonly number[], wantedMs?: number): Line {
  const p99 = quantileOf(waitsMs, 0.99);
  const { median } = spreadOf(waitsMs);
  return {
    what: `${what} ${waitsMs.length}`,
    measured: `${Math.round(p99)} ms (median ${Math.round(median)})`,
    wanted: wantedMs === undefined ? '' : `< ${wantedMs} ms`,
    isMet: wantedMs === undefined ? null : p99 < wantedMs,
  };
}
