/**
 * How long nobody leads: from the moment that the leading operator is stopped, killed, stands still or is cut off until another has raised the generation in etcd, which is
 * when its first transaction could be made. `make bench-takeover REPETITIONS=20`. Two operators over real etcd and kube-apiserver on this machine, without agents.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { env as environment, exit } from 'node:process';
import { Etcd3 } from 'etcd3';
import { keysOf } from '../../core/keys.ts';
import { type Cluster, startCluster } from '../../tools/local/cluster.ts';
import { CLUSTER_NAME, operatorProcess } from '../../tools/local/layout.ts';
import { Routes } from '../support/operator/routes.ts';
import { quantileOf } from './statistics.ts';

type Leader = { generation: number; holder: string };
/** `harm` gives what mends it. */
type Way = { name: string; harm: (operator: string) => Promise<() => unknown>; goalMs: number };

const process = (operator: string) => cluster.process(operatorProcess(operator));
const signalled =
  (signal: NodeJS.Signals) =>
  async (operator: string): Promise<() => unknown> => {
    await process(operator).kill(signal);
    return () => (signal === 'SIGSTOP' ? process(operator).kill('SIGCONT') : process(operator).start());
  };
/** Nothing is refused, nothing is answered. */
async function cutOff(operator: string): Promise<() => unknown> {
  routes.cut(operator, ['etcd', 'apiserver'], 'both');
  return () => routes.mend();
}

const WAYS: readonly Way[] = [
  { name: 'asked to stop (SIGTERM)', harm: signalled('SIGTERM'), goalMs: 2_000 },
  { name: 'killed (kill -9)', harm: signalled('SIGKILL'), goalMs: 12_000 },
  { name: 'stands still (SIGSTOP)', harm: signalled('SIGSTOP'), goalMs: 12_000 },
  { name: 'cut off from etcd and the API server', harm: cutOff, goalMs: 12_000 },
];
const BOUND_MS = 60_000;
const REPETITIONS = Number(environment.REPETITIONS || '5');
const say = (line: string): void => console.error(line);

/** Hears of each new generation when etcd says it. */
class Turns {
  readonly #client: Etcd3;
  #last: Leader = { generation: 0, holder: '' };
  #heard: () => void = () => undefined;

  constructor({ etcd: { endpoints, tls } }: Cluster) {
    const credentials = { rootCertificate: readFileSync(tls.ca), certChain: readFileSync(tls.cert), privateKey: readFileSync(tls.key) };
    this.#client = new Etcd3({ hosts: endpoints, credentials });
  }

  async open(): Promise<void> {
    const { leader } = keysOf(CLUSTER_NAME);
    const watcher = await this.#client.watch().key(leader).create();
    watcher.on('put', ({ value }) => {
      this.#last = JSON.parse(value.toString()) as Leader;
      this.#heard();
    });
    const standing = await this.#client.get(leader).string();
    if (standing !== null) this.#last = JSON.parse(standing) as Leader;
  }

  get last(): Leader {
    return this.#last;
  }

  next(above: number): Promise<Leader> {
    return new Promise((resolve, reject) => {
      const bound = setTimeout(() => reject(new Error(`nobody led within ${BOUND_MS} ms`)), BOUND_MS);
      this.#heard = () => {
        if (this.#last.generation <= above) return;
        clearTimeout(bound);
        resolve(this.#last);
      };
      this.#heard();
    });
  }

  close(): void {
    this.#client.close();
  }
}

async function once(turns: Turns, { harm }: Way): Promise<number> {
  const { generation, holder } = turns.last;
  const operator = holder.split('_')[0] ?? '';
  const beganMs = performance.now();
  const heard = turns.next(generation).then(() => performance.now() - beganMs);
  const mend = await harm(operator);
  const tookMs = await heard;
  await mend();
  await cluster.waitUntilReady(operatorProcess(operator));
  return tookMs;
}

const directory = await mkdtemp(path.join(tmpdir(), 'hf-takeover-'));
const routes = new Routes();
const operatorRoute: Routes['of'] = (...of) => routes.of(...of);
const cluster = await startCluster({ directory: path.join(directory, 'c'), nodes: 0, operators: 2, operatorRoute });
const turns = new Turns(cluster);
try {
  await turns.open();
  await turns.next(0);
  console.log(`| the leader is | p50 | p99 | goal | |\n|---|---:|---:|---:|---|`);
  for (const way of WAYS) {
    const tookMs: number[] = [];
    for (let count = 0; count < REPETITIONS; count++) {
      tookMs.push(await once(turns, way));
      say(`${way.name}: ${Math.round(tookMs.at(-1) ?? 0)} ms`);
    }
    const p99 = quantileOf(tookMs, 0.99);
    const cells = [quantileOf(tookMs, 0.5), p99, way.goalMs].map((ms) => `${Math.round(ms)} ms`);
    console.log(`| ${[way.name, ...cells, p99 < way.goalMs ? 'met' : '**missed**'].join(' | ')} |`);
  }
  console.log(`\n${REPETITIONS} repetitions each.`);
} finally {
  turns.close();
  await cluster.stop();
  routes.close();
  await rm(directory, { recursive: true, force: true });
}
// Connections through the relays that were cut may still be waiting for their ends, which are gone.
exit();
