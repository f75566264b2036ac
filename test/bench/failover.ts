/**
 * What clients feel when the primary's node dies, its agent is restarted, or the volume is moved on purpose: `make bench-failover RUNS=100`. Three agents with
 * three replicas, two operators, etcd and kube-apiserver on this machine, mutual TLS; a writer that connects again. All times are those of the writer; what
 * kubectl, the client and starting a program need is part of them. Nobody is attached elsewhere before somebody asked for it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DemoVolume } from '../../tools/demo/volume.ts';
import { type Cluster, startCluster } from '../../tools/local/cluster.ts';
import { agentProcess } from '../../tools/local/layout.ts';
import { MilestoneWatch } from './milestones.ts';
import { StallWriter } from './stallWriter.ts';
import { quantileOf } from './statistics.ts';

const REPLICAS = 3;
const BOUND_MS = 60_000;
const BETWEEN_MS = 500;
const PACE_MS = 2;
/** What is waited for with a bound, so that a run that hangs is told as one. */
const FIRST_WRITE_BOUND_MS = 60_000;
const KINDS = ['kill', 'vanish', 'move', 'term', 'crash'] as const;
type Kind = (typeof KINDS)[number];

type Scenario = { readonly title: string; readonly goals: { p50?: number; p99: number }; readonly runs: (asked: number) => number };
const few = (asked: number): number => Math.max(1, Math.ceil(asked / 5));
const SCENARIOS: Record<Kind, Scenario> = {
  kill: {
    title: 'kill -9 of all of the primary’s node, attached elsewhere at once',
    goals: { p50: 6_000, p99: 10_000 },
    runs: (asked) => asked,
  },
  vanish: { title: 'the primary’s node says nothing more (SIGSTOP), attached elsewhere', goals: { p50: 6_000, p99: 10_000 }, runs: few },
  move: { title: 'planned move', goals: { p99: 500 }, runs: (asked) => asked },
  term: { title: 'the agent of the primary is restarted (SIGTERM, start)', goals: { p99: 3_000 }, runs: few },
  crash: { title: 'the agent of the primary is killed and started again', goals: { p99: 3_000 }, runs: few },
};

type Stall = { ms: number; errors: number; parts?: Readonly<Record<string, number>> };

class Bench {
  readonly #cluster: Cluster;
  readonly #volume: DemoVolume;
  readonly #watch: MilestoneWatch;
  readonly #writer: StallWriter;
  #turn = 0;

  private constructor(cluster: Cluster, volume: DemoVolume, watch: MilestoneWatch) {
    this.#cluster = cluster;
    this.#volume = volume;
    this.#watch = watch;
    this.#writer = new StallWriter(volume.name, this.#sockets, PACE_MS);
  }

  static async open(cluster: Cluster): Promise<Bench> {
    const volume = new DemoVolume(cluster.kubectl, 'failover');
    await volume.create('256Mi', REPLICAS, { attachTo: cluster.nodes[0] ?? '' });
    await volume.untilServedBy(cluster.nodes[0] ?? '', BOUND_MS);
    await volume.untilHealthy(REPLICAS, BOUND_MS);
    const uid = await cluster.kubectl(['get', 'volume', volume.name, '--output', 'jsonpath={.metadata.uid}']);
    const bench = new Bench(cluster, volume, await MilestoneWatch.open(cluster, uid.trim()));
    bench.#writer.begin();
    return bench;
  }

  async close(): Promise<void> {
    await this.#writer.end();
    await this.#watch.close();
  }

  async once(kind: Kind): Promise<Stall> {
    await sleep(BETWEEN_MS);
    this.#writer.takeWorstMs();
    this.#writer.errors = 0;
    switch (kind) {
      case 'kill':
        return await this.#dies('SIGKILL');
      case 'vanish':
        return await this.#dies('SIGSTOP');
      case 'move':
        return await this.#moves();
      case 'term':
        return await this.#restarts('SIGTERM');
      case 'crash':
        return await this.#restarts('SIGKILL');
    }
  }

  async #dies(signal: NodeJS.Signals): Promise<Stall> {
    const [from, to] = [this.#node, this.#next];
    this.#watch.expect(from, to);
    const beganMs = performance.now();
    const gone = this.#process(from).kill(signal);
    const asked = this.#volume.attachTo(to).then(() => performance.now());
    await within(this.#writer.goTo([this.#cluster.socket(to, this.#volume.name)]), `a write on ${to}`);
    const endedMs = performance.now();
    await gone;
    const seen = this.#watch.seen;
    const [isGone, promoted, open] = [seen.gone ?? endedMs, seen.promoted ?? endedMs, seen.open ?? endedMs];
    const parts = {
      'kubectl patch': (await asked) - beganMs,
      'until etcd drops the node': isGone - beganMs,
      'until the leader promotes': promoted - isGone,
      'until the socket is open': open - promoted,
      'until a write is answered': endedMs - open,
    };
    await this.#process(from).kill('SIGKILL'); // what stands still comes back as a machine does: from its start
    this.#turn++;
    await this.#heal(from);
    return { ms: endedMs - beganMs, errors: 0, parts };
  }

  async #moves(): Promise<Stall> {
    const to = this.#next;
    await this.#volume.attachTo(to);
    await this.#volume.untilServedBy(to, BOUND_MS);
    this.#turn++;
    await sleep(BETWEEN_MS);
    return { ms: this.#writer.takeWorstMs(), errors: this.#writer.errors };
  }

  async #restarts(signal: NodeJS.Signals): Promise<Stall> {
    this.#watch.expect(this.#node, this.#node);
    const beganMs = performance.now();
    await this.#process(this.#node).kill(signal);
    const endedMs = performance.now();
    this.#process(this.#node).start();
    await within(this.#writer.nextWrite(), `a write on ${this.#node} again`);
    const { promoted, open } = this.#watch.seen;
    const nowMs = performance.now();
    const stall = { ms: this.#writer.takeWorstMs(), errors: this.#writer.errors };
    await this.#heal(this.#node);
    const parts = {
      'until the old one has ended': endedMs - beganMs,
      'until the leader promotes the new one': (promoted ?? nowMs) - endedMs,
      'until the socket is open': (open ?? nowMs) - (promoted ?? nowMs),
      'until a write is answered': nowMs - (open ?? nowMs),
    };
    return { ...stall, parts };
  }

  async #heal(node: string): Promise<void> {
    this.#process(node).start();
    await this.#cluster.waitUntilReady(agentProcess(node));
    await this.#volume.untilHealthy(REPLICAS, BOUND_MS);
    void this.#writer.goTo(this.#sockets);
    await within(this.#writer.nextWrite(), 'a write when all are back');
  }

  get #sockets(): string[] {
    return this.#cluster.nodes.map((node) => this.#cluster.socket(node, this.#volume.name));
  }

  get #node(): string {
    return this.#cluster.nodes[this.#turn % this.#cluster.nodes.length] ?? '';
  }

  get #next(): string {
    return this.#cluster.nodes[(this.#turn + 1) % this.#cluster.nodes.length] ?? '';
  }

  #process(node: string) {
    return this.#cluster.process(agentProcess(node));
  }
}

async function within(event: Promise<void>, what: string): Promise<void> {
  const given = new AbortController();
  const late = sleep(FIRST_WRITE_BOUND_MS, null, { signal: given.signal }).then(
    () => Promise.reject(new Error(`not within ${FIRST_WRITE_BOUND_MS} ms: ${what}`)),
    () => undefined,
  );
  await Promise.race([event, late]);
  given.abort();
}

const ms = (value: number): string => `${Math.round(value).toLocaleString('en')} ms`;

function lineOf({ title, goals }: Scenario, stalls: readonly Stall[]): string {
  const all = stalls.map((stall) => stall.ms);
  const [p50, p99] = [quantileOf(all, 0.5), quantileOf(all, 0.99)];
  const goal = [...(goals.p50 === undefined ? [] : [`p50 ${ms(goals.p50)}`]), `p99 ${ms(goals.p99)}`].join(', ');
  const errors = stalls.reduce((sum, stall) => sum + stall.errors, 0);
  const isMet = p50 < (goals.p50 ?? Number.POSITIVE_INFINITY) && p99 < goals.p99 && errors === 0;
  return `| ${[title, stalls.length, ms(p50), ms(p99), ms(Math.max(...all)), errors, goal, isMet ? 'met' : '**missed**'].join(' | ')} |`;
}

function partsOf({ title }: Scenario, stalls: readonly Stall[]): string[] {
  const names = Object.keys(stalls[0]?.parts ?? {});
  const values = (name: string): number[] => stalls.map(({ parts }) => parts?.[name] ?? 0);
  return names.map((name) => `| ${[title, name, ms(quantileOf(values(name), 0.5)), ms(quantileOf(values(name), 0.99))].join(' | ')} |`);
}

function print(results: ReadonlyMap<Kind, readonly Stall[]>): void {
  const measured = [...results].filter(([, stalls]) => stalls.length > 0);
  console.log('\n| a writer waits when | runs | p50 | p99 | most | errors answered | goal | |\n|---|---:|---:|---:|---:|---:|---|---|');
  for (const [kind, stalls] of measured) console.log(lineOf(SCENARIOS[kind], stalls));
  console.log('\n| of which | part | p50 | p99 |\n|---|---|---:|---:|');
  for (const [kind, stalls] of measured) for (const line of partsOf(SCENARIOS[kind], stalls)) console.log(line);
}

const asked = Number(process.env.RUNS || '10');
const kinds = KINDS.filter((kind) => !process.env.KINDS || process.env.KINDS.split(/[\s,]+/).includes(kind));
/** 0: none. What was measured by then is printed. */
const endMs = performance.now() + Number(process.env.SECONDS || '0') * 1_000;
const isOver = (): boolean => Number(process.env.SECONDS || '0') > 0 && performance.now() > endMs;
const directory = await mkdtemp(path.join(tmpdir(), 'hf-failover-'));
const cluster = await startCluster({ directory: path.join(directory, 'c'), nodes: REPLICAS, operators: 2 });
const results = new Map<Kind, Stall[]>(kinds.map((kind) => [kind, []]));
try {
  const bench = await Bench.open(cluster);
  for (const kind of kinds)
    for (let count = 0; count < SCENARIOS[kind].runs(asked) && !isOver(); count++) {
      const stall = await bench.once(kind);
      results.get(kind)?.push(stall);
      const parts = Object.entries(stall.parts ?? {}).map(([name, value]) => `${name} ${Math.round(value)}`);
      console.error(`${kind}: ${[ms(stall.ms), ...parts].join(', ')}${stall.errors > 0 ? `; ${stall.errors} errors` : ''}`);
    }
  await bench.close();
} finally {
  print(results);
  if (process.env.LOGS) for (const each of cluster.processes) console.error(each.logTail());
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
}
