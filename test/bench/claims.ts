/**
 * `make bench-claims`: what a claim costs until a pod can use it, and many claims at once, through the driver's own sockets, on a whole local cluster. Nobody stands between
 * (no sidecars, no kubelet). Judges by the goals, leaves nothing behind.
 */
import { closeSync, existsSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { VolumeObject } from '../../operator/api.ts';
import { printer } from '../../tools/local/progress.ts';
import { type CsiClient, csiClient, mounted } from '../csi/client.ts';
import { CsiCluster } from '../csi/cluster.ts';
import { again, Pod } from '../csi/pod.ts';
import { commit, load, machine } from './machine.ts';
import { type ClaimOptions, parseClaimOptions } from './options.ts';
import { type Line, lineTable, table } from './report.ts';
import { quantileOf } from './statistics.ts';

const USABLE_GOAL_MS = 2_000;
const AT_ONCE_GOAL_MS = 60_000;
const CAPABILITY = mounted('ext4');
const REPLICAS = 3;

const STEPS = ['CreateVolume', 'ControllerPublishVolume', 'NodeStageVolume', 'NodePublishVolume', 'a file is written and flushed'] as const;
type Step = (typeof STEPS)[number];
type Times = Readonly<Record<Step, number>>;

const say = (line: string): void => console.error(line);
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`;
const totalOf = (times: Times): number => Object.values(times).reduce((sum, ms) => sum + ms, 0);

class Bench {
  readonly #csi: CsiCluster;
  readonly #options: ClaimOptions;
  readonly #directory: string;
  readonly #clients = new Map<string, CsiClient>();

  constructor(csi: CsiCluster, options: ClaimOptions, directory: string) {
    this.#csi = csi;
    this.#options = options;
    this.#directory = directory;
  }

  /** One after the other, on each node in turn. */
  async untilUsable(): Promise<Times[]> {
    const found: Times[] = [];
    for (let count = 0; count < this.#options.claims; count++) {
      const times = await this.#claim(`bench-${count}`, this.#nodeOf(count));
      found.push(times);
      say(`${count + 1}: usable after ${seconds(totalOf(times))} (${STEPS.map((step) => Math.round(times[step])).join(' + ')} ms)`);
    }
    return found;
  }

  async #claim(name: string, node: string): Promise<Times> {
    const times: Partial<Record<Step, number>> = {};
    const timed = async <Answer>(step: Step, act: () => Promise<Answer>): Promise<Answer> => {
      const begunMs = performance.now();
      const answer = await act();
      times[step] = performance.now() - begunMs;
      return answer;
    };
    const volumeId = await timed('CreateVolume', () => this.#create(name, this.#options.sizeBytes));
    const pod = new Pod(this.#client(node), node, volumeId, CAPABILITY, this.#directory);
    const context = await timed('ControllerPublishVolume', () => pod.attach());
    await timed('NodeStageVolume', () => pod.stage(context));
    await timed('NodePublishVolume', () => pod.publish({ readonly: false }));
    await timed('a file is written and flushed', async () => writeDurably(path.join(pod.target, 'first')));
    await pod.stop();
    await again(() => this.#client(node).controller.deleteVolume({ volumeId }));
    return times as Times;
  }

  /** All at once: each is made and then attached, on each node as many as on the others. */
  async manyAtOnce(): Promise<{ boundMs: number; attachedMs: number; problems: string[] }> {
    const names = Array.from({ length: this.#options.atOnce }, (_, index) => `many-${index}`);
    const begunMs = performance.now();
    let boundMs = 0;
    const ids = await Promise.all(
      names.map(async (name, index) => {
        const volumeId = await this.#create(name, this.#options.sizeAtOnceBytes);
        boundMs = Math.max(boundMs, performance.now() - begunMs);
        const node = this.#nodeOf(index);
        await new Pod(this.#client(node), node, volumeId, CAPABILITY, this.#directory).attach();
        return volumeId;
      }),
    );
    const attachedMs = performance.now() - begunMs;
    return { boundMs, attachedMs, problems: await this.#wrong(ids) };
  }

  /** Each is there once, attached where it was asked for and served nowhere else, with all its replicas. */
  async #wrong(ids: readonly string[]): Promise<string[]> {
    const { cluster } = this.#csi;
    const { items } = JSON.parse(await cluster.kubectl(['get', 'volumes', '--output=json'])) as { items: VolumeObject[] };
    const problems = new Set(ids).size === ids.length ? [] : ['two claims were given one volume'];
    if (items.length !== ids.length) problems.push(`${ids.length} volumes were asked for, and ${items.length} are there`);
    for (const [index, id] of ids.entries()) {
      const volume = items.find(({ metadata }) => metadata.name === id);
      const where = cluster.nodes.filter((node) => existsSync(cluster.socket(node, id)));
      if (where.join() !== this.#nodeOf(index)) problems.push(`${id} is served on [${where.join(', ')}], asked was ${this.#nodeOf(index)}`);
      const replicas = volume?.status?.replicas?.filter(({ state }) => state === 'InSync').length ?? 0;
      if (replicas !== REPLICAS) problems.push(`${id} has ${replicas} replicas in sync`);
    }
    return problems;
  }

  async #create(name: string, sizeBytes: number): Promise<string> {
    const request = { name, capacityRange: { requiredBytes: sizeBytes }, volumeCapabilities: [CAPABILITY], parameters: {} };
    const { volume } = await again(() => this.#client(this.#nodeOf(0)).controller.createVolume(request));
    return volume?.volumeId ?? '';
  }

  #nodeOf(index: number): string {
    const { nodes } = this.#csi.cluster;
    return nodes[index % nodes.length] ?? '';
  }

  #client(node: string): CsiClient {
    const known = this.#clients.get(node) ?? csiClient(this.#csi.controller(), this.#csi.node(node));
    this.#clients.set(node, known);
    return known;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }
}

/** Whoever is answered could go on after a power loss. */
function writeDurably(file: string): void {
  const descriptor = openSync(file, 'w');
  writeSync(descriptor, 'usable\n');
  fsyncSync(descriptor);
  closeSync(descriptor);
}

function usableTable(found: readonly Times[]): string {
  const row = (title: string, of: (times: Times) => number): string[] => {
    const values = found.map(of);
    return [title, ...[0.5, 0.9, 1].map((part) => `${Math.round(quantileOf(values, part))} ms`)];
  };
  return table(['', 'p50', 'p90', 'most'], [row('until it is usable', totalOf), ...STEPS.map((step) => row(step, (times) => times[step]))]);
}

async function run(bench: Bench, { claims, sizeBytes, atOnce, sizeAtOnceBytes }: ClaimOptions): Promise<void> {
  const found = await bench.untilUsable();
  const { boundMs, attachedMs, problems } = await bench.manyAtOnce();
  for (const problem of problems) say(`WRONG: ${problem}`);
  const p50Ms = quantileOf(found.map(totalOf), 0.5);
  const lines: Line[] = [
    {
      what: `CreateVolume to a usable mount, ${sizeBytes / 2 ** 30} GiB, p50 of ${claims}`,
      measured: seconds(p50Ms),
      wanted: `< ${seconds(USABLE_GOAL_MS)}`,
      isMet: p50Ms < USABLE_GOAL_MS,
    },
    {
      what: `${atOnce} claims at once, ${sizeAtOnceBytes / 2 ** 30} GiB each, until all are bound`,
      measured: seconds(boundMs),
      wanted: `< ${seconds(AT_ONCE_GOAL_MS)}`,
      isMet: boundMs < AT_ONCE_GOAL_MS && problems.length === 0,
    },
    {
      what: 'the same, until all are attached',
      measured: `${seconds(attachedMs)}, ${problems.length === 0 ? 'each once' : `${problems.length} problems`}`,
      wanted: `< ${seconds(AT_ONCE_GOAL_MS)}`,
      isMet: attachedMs < AT_ONCE_GOAL_MS && problems.length === 0,
    },
  ];
  console.log([usableTable(found), '', lineTable(lines)].join('\n'));
  if (problems.length > 0) process.exitCode = 1;
}

const options = parseClaimOptions(process.env);
const directory = mkdtempSync(path.join(tmpdir(), 'hf-claims-'));
console.log(`Commit ${commit()}, ${new Date().toISOString()}, load before: ${load()}\n\n${machine(directory)}\n`);
const csi = await CsiCluster.start({ onProgress: printer(process.stderr) });
const bench = new Bench(csi, options, directory);
try {
  await run(bench, options);
} finally {
  bench.close();
  await csi.stop();
  rmSync(directory, { recursive: true, force: true });
}
