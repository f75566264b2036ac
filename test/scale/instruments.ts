/** What is read off from outside while a run goes on: the programs' own metrics, their processor time and memory as the kernel counts them. Must never ask for much. */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { KubeConnection } from '../../edge/kube/connection.ts';
import type { TlsFiles } from '../../edge/tls.ts';
import type { Cluster } from '../../tools/local/cluster.ts';
import { API_SERVER, ETCD, operatorProcess, type ProcessName } from '../../tools/local/layout.ts';
import { cpuMicroseconds, residentBytes } from '../bench/cpu.ts';

const PATIENCE_MS = 20_000;
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/;

export type Sample = { name: string; labels: string; value: number };

export function parseSamples(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = LINE.exec(line) ?? [];
    if (name !== undefined) samples.push({ name, labels, value: Number(value) });
  }
  return samples;
}

/** The sum over all of that name whose labels hold all these words. */
export function sumOf(samples: readonly Sample[], name: string, ...words: readonly string[]): number {
  let sum = 0;
  for (const one of samples) if (one.name === name && words.every((word) => one.labels.includes(word))) sum += one.value;
  return sum;
}

function read(url: string, { ca, cert, key }: TlsFiles): Promise<string> {
  const tls = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
  return new Promise((resolve, reject) => {
    const call = request(url, { ...tls, agent: false, timeout: PATIENCE_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(chunks).toString()));
    });
    call.on('timeout', () => call.destroy(new Error(`${url} gives no answer`)));
    call.on('error', reject);
    call.end();
  });
}

/** Processor time and memory of one or several processes. */
export type Usage = { cpuMs: number; residentBytes: number; mostBytes: number };

function mostBytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

export function usageOf(pids: readonly number[]): Usage {
  const sum = (of: (pid: number) => number): number => pids.reduce((total, pid) => total + of(pid), 0);
  return { cpuMs: cpuMicroseconds(pids) / 1_000, residentBytes: sum(residentBytes), mostBytes: sum(mostBytes) };
}

export type Snapshot = {
  atMs: number;
  leader: string;
  usage: Record<string, Usage>;
  etcd: Sample[];
  apiServer: Sample[];
};

export class Instruments {
  readonly #cluster: Cluster;
  readonly #kube: KubeConnection;

  constructor(cluster: Cluster, kube: KubeConnection) {
    this.#cluster = cluster;
    this.#kube = kube;
  }

  async operator(name: string): Promise<Sample[]> {
    return parseSamples(await read(`${this.#cluster.url(operatorProcess(name))}/metrics`, this.#cluster.administrator));
  }

  /** `leader` is told, so that the others are followers. */
  usage(leader: string, fleet: readonly number[]): Record<string, Usage> {
    const followers = this.#cluster.operators.filter((name) => name !== leader).map(operatorProcess);
    return {
      leader: usageOf(this.#pids(operatorProcess(leader))),
      follower: usageOf(this.#pids(...followers)),
      etcd: usageOf(this.#pids(ETCD)),
      apiServer: usageOf(this.#pids(API_SERVER)),
      agents: usageOf(fleet),
      thisProgram: usageOf([process.pid]),
    };
  }

  async take(leader: string, fleet: readonly number[]): Promise<Snapshot> {
    const [endpoint = ''] = this.#cluster.etcd.endpoints;
    const etcd = parseSamples(await read(`${endpoint}/metrics`, this.#cluster.administrator));
    const response = await this.#kube.send('GET', '/metrics', undefined, AbortSignal.timeout(PATIENCE_MS));
    const apiServer = parseSamples(await response.body.text());
    return { atMs: performance.now(), leader, usage: this.usage(leader, fleet), etcd, apiServer };
  }

  #pids(...names: readonly ProcessName[]): number[] {
    return names.flatMap((name) => this.#cluster.process(name).pid ?? []);
  }
}
