/**
 * A real Prometheus that scrapes a local cluster as one in Kubernetes would: over mutual TLS, each agent under the name of its node. Listens on loopback, keeps all
 * in the directory that it is given, and ends with whoever started it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import type { Cluster } from '../../tools/local/cluster.ts';
import { agentProcess, operatorProcess } from '../../tools/local/layout.ts';
import { ADDRESS, findFreePort } from '../../tools/local/ports.ts';
import { type Awaited, waitFor } from '../../tools/local/wait.ts';

const START_BOUND_MS = 30_000;
const CALL_MS = 10_000;
const STOP_MS = 10_000;
const MS_PER_SECOND = 1000;

export type Labels = Record<string, string>;
export type Sample = { labels: Labels; points: [seconds: number, value: number][] };
export type FiringAlert = { labels: Labels; state: 'pending' | 'firing'; annotations: Labels };

export type PrometheusOptions = { directory: string; cluster: Cluster; scrapeEveryMs: number; ruleFiles: readonly string[] };

export class Prometheus {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once('exit', () => resolve()));
    process.once('exit', this.#kill);
  }

  static async start(options: PrometheusOptions): Promise<Prometheus> {
    const { directory } = options;
    mkdirSync(directory, { recursive: true });
    const config = path.join(directory, 'prometheus.yml');
    writeFileSync(config, stringify(configOf(options)));
    const address = `${ADDRESS}:${await findFreePort(new Set())}`;
    const words = [
      `--config.file=${config}`,
      `--storage.tsdb.path=${path.join(directory, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=warn',
    ];
    const logFile = path.join(directory, 'log');
    const log = openSync(logFile, 'a');
    const child = spawn('prometheus', words, { stdio: ['ignore', log, log] });
    let trouble = '';
    child.once('error', (error) => {
      trouble = error.message;
    });
    const prometheus = new Prometheus(`http://${address}`, child);
    await waitFor('Prometheus to be ready', START_BOUND_MS, async () => {
      if (trouble !== '' || child.exitCode !== null) throw new Error(`Prometheus ended: ${trouble} ${readFileSync(logFile, 'utf8')}`);
      return answers(`${prometheus.url}/-/ready`);
    });
    return prometheus;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const bound = setTimeout(this.#kill, STOP_MS);
    await this.#ended;
    clearTimeout(bound);
    process.removeListener('exit', this.#kill);
  }

  /** What it was, from then until now; throws what Prometheus says of a query that it does not take. */
  async range(query: string, sinceMs: number, stepSeconds: number): Promise<Sample[]> {
    const now = Date.now() / MS_PER_SECOND;
    const words = new URLSearchParams({ query, start: String(sinceMs / MS_PER_SECOND), end: String(now), step: String(stepSeconds) });
    const { result } = (await this.#ask(`query_range?${words}`)) as { result: { metric: Labels; values: [number, string][] }[] };
    return result.map(({ metric, values }) => ({ labels: metric, points: values.map(([at, value]) => [at, Number(value)]) }));
  }

  async alerts(): Promise<FiringAlert[]> {
    return ((await this.#ask('alerts')) as { alerts: FiringAlert[] }).alerts;
  }

  /** Scraped without an error, all of them. */
  async untilScraped(boundMs: number): Promise<void> {
    await waitFor('everything to be scraped', boundMs, async () => {
      const { activeTargets } = (await this.#ask('targets?state=active')) as { activeTargets: { health: string; lastError: string }[] };
      const bad = activeTargets.filter(({ health }) => health !== 'up');
      return bad.length === 0 && activeTargets.length > 0 ? { value: true } : { reason: bad.map(({ lastError }) => lastError).join('; ') };
    });
  }

  async #ask(what: string): Promise<unknown> {
    const response = await fetch(`${this.url}/api/v1/${what}`, { signal: AbortSignal.timeout(CALL_MS) });
    const answer = (await response.json()) as { status: string; data: unknown; error?: string };
    if (answer.status !== 'success') throw new Error(`${decodeURIComponent(what)}: ${answer.error ?? response.status}`);
    return answer.data;
  }

  readonly #kill = (): void => {
    this.#child.kill('SIGKILL');
  };
}

async function answers(url: string): Promise<Awaited<true>> {
  try {
    const { status } = await fetch(url, { signal: AbortSignal.timeout(CALL_MS) });
    return status === 200 ? { value: true } : { reason: `it answers ${status}` };
  } catch (error) {
    return { reason: String(error) };
  }
}

function configOf({ cluster, scrapeEveryMs, ruleFiles }: PrometheusOptions): object {
  const { ca, cert, key } = cluster.administrator;
  const job = (name: string, targets: object[]): object => ({
    job_name: name,
    scheme: 'https',
    tls_config: { ca_file: ca, cert_file: cert, key_file: key, server_name: 'localhost' },
    static_configs: targets,
  });
  const target = (url: string, labels: Labels): object => ({ targets: [new URL(url).host], labels });
  return {
    global: { scrape_interval: `${scrapeEveryMs}ms`, scrape_timeout: `${scrapeEveryMs}ms`, evaluation_interval: `${scrapeEveryMs}ms` },
    rule_files: [...ruleFiles],
    scrape_configs: [
      job(
        'holdfast-agent',
        cluster.nodes.map((node) => target(cluster.url(agentProcess(node)), { node })),
      ),
      job(
        'holdfast-operator',
        cluster.operators.map((operator) => target(cluster.url(operatorProcess(operator)), {})),
      ),
    ],
  };
}
