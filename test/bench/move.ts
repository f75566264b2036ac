/**
 * How long a writer waits when its volume's primary is moved on purpose: `spec.attachTo` goes from one node to the other and back, under one client that writes 4 KiB
 * at a time and goes to whichever node serves; it must be answered no error. `make bench-move REPETITIONS=20`. Three replicas, mutual TLS, on this machine; what the client
 * itself needs to notice and to connect again is part of it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DemoVolume } from '../../tools/demo/volume.ts';
import { startCluster } from '../../tools/local/cluster.ts';
import { StallWriter } from './stallWriter.ts';
import { quantileOf } from './statistics.ts';

const GOAL_MS = 500;
const NODES = ['node-a', 'node-b'];
const REPETITIONS = Number(process.env.REPETITIONS || '20');
const BOUND_MS = 30_000;
const BETWEEN_MS = 500;

const directory = await mkdtemp(path.join(tmpdir(), 'hf-move-'));
const cluster = await startCluster({ directory: path.join(directory, 'c'), nodes: 3, operators: 1 });
try {
  const volume = new DemoVolume(cluster.kubectl, 'moving');
  await volume.create('256Mi', 3, { attachTo: 'node-a' });
  await volume.untilServedBy('node-a', BOUND_MS);
  await volume.untilHealthy(3, BOUND_MS);
  const writer = new StallWriter(
    volume.name,
    NODES.map((node) => cluster.socket(node, volume.name)),
  );
  writer.begin();
  const stalls: number[] = [];
  for (let count = 1; count <= REPETITIONS; count++) {
    await sleep(BETWEEN_MS);
    writer.takeWorstMs();
    const to = NODES[count % NODES.length] ?? '';
    await volume.attachTo(to);
    await volume.untilServedBy(to, BOUND_MS);
    await sleep(BETWEEN_MS);
    stalls.push(writer.takeWorstMs());
    console.error(`to ${to}: ${Math.round(stalls.at(-1) ?? 0)} ms`);
  }
  await writer.end();
  const p99 = quantileOf(stalls, 0.99);
  console.log('| a writer waits for a planned move | p50 | p99 | goal | errors answered | |\n|---|---:|---:|---:|---:|---|');
  const cells = [quantileOf(stalls, 0.5), p99, GOAL_MS].map((ms) => `${Math.round(ms)} ms`);
  const isMet = p99 < GOAL_MS && writer.errors === 0;
  console.log(`| ${[`${REPETITIONS} moves`, ...cells, writer.errors, isMet ? 'met' : '**missed**'].join(' | ')} |`);
  if (process.env.LOGS) for (const each of cluster.processes) console.log(each.name, each.logFile);
  if (process.env.LOGS) await sleep(Number(process.env.LOGS) * 1_000);
} finally {
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
}
