/**
 * What scenes of `make test-alerts` play on: a local cluster, a Prometheus with the rules as they are shipped but for their patience, and waiting for alerts. Whoever
 * is not expected to fire must not: a page for nothing is a fault like a missing one.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { silentLog } from '../../core/log.ts';
import type { Store } from '../../core/store.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { loadCertificates } from '../../edge/tls.ts';
import type { VolumeSpec } from '../../operator/generated/volume.ts';
import { DemoVolume } from '../../tools/demo/volume.ts';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { World, type WorldOptions } from '../e2e/world.ts';
import { RUNBOOKS_DIRECTORY, readRules, ruleFiles } from '../support/monitoring/alerts.ts';
import { type FiringAlert, type Labels, Prometheus } from './prometheus.ts';

export type Say = (line: string) => void;
export type Expected = { alert: string; labels?: Labels };
/** `environments`: of the agents of some nodes, beside what all have. */
export type StageOptions = WorldOptions & { nodes: number; environments?: Record<string, Record<string, string>> };

/** For everything that happens: how long it may take is others' matter. */
export const BOUND_MS = 120_000;
const SCRAPE_MS = 1_000;
/** Instead of minutes: longer than what is away for a moment only, on a machine that is busy. */
const PATIENCE = '5s';
const FIRES_BOUND_MS = 120_000;
/** An alert that nobody expects is one when it stays. */
const UNEXPECTED_BOUND_MS = 20_000;
const QUIET_MS = 8_000;
const COMMAND_MS = 20_000;
const LINES_MAX = 14;
const LINE_CHARACTERS_MAX = 170;
const STORE_LEASE_SECONDS = 5;

export class Stage {
  readonly world: World;
  readonly prometheus: Prometheus;
  readonly say: Say;
  /** Alerts that fired here. */
  readonly fired = new Set<string>();
  readonly #writes: boolean;
  /** What fires now, and may. */
  #standing = new Set<string>();

  private constructor(world: World, prometheus: Prometheus, say: Say, writes: boolean) {
    this.world = world;
    this.prometheus = prometheus;
    this.say = say;
    this.#writes = writes;
  }

  static async open({ nodes, environments, ...options }: StageOptions, say: Say, writes: boolean): Promise<Stage> {
    const world = await World.open(nodes, (node) => ({ environment: environments?.[node] ?? {} }), { hasApiServerEtcd: true, ...options });
    const directory = path.join(world.directory, 'prometheus');
    mkdirSync(directory);
    const prometheus = await Prometheus.start({
      directory,
      cluster: world.cluster,
      scrapeEveryMs: SCRAPE_MS,
      ruleFiles: [impatient(directory)],
    });
    await prometheus.untilScraped(BOUND_MS);
    return new Stage(world, prometheus, say, writes);
  }

  async close(): Promise<void> {
    await this.prometheus.stop();
    await this.world.close();
  }

  /** Healthy, under a name of its own. */
  async volume(name: string, replicas: number, node = '', spec: Partial<VolumeSpec> = {}): Promise<DemoVolume> {
    const volume = new DemoVolume(this.world.cluster.kubectl, name);
    await volume.create('16Mi', replicas, node === '' ? spec : { ...spec, attachTo: node });
    if (node !== '') await volume.untilServedBy(node, BOUND_MS);
    await volume.untilHealthy(replicas, BOUND_MS);
    return volume;
  }

  /** All of them, and nobody else. What is caused is looked at as its runbook says. */
  async fire(...expected: Expected[]): Promise<void> {
    for (const { alert } of expected) this.#standing.add(alert);
    await waitFor(`${expected.map(({ alert }) => alert).join(', ')} to fire`, FIRES_BOUND_MS, async () => {
      const firing = await this.#firing();
      const missing = expected.filter(({ alert, labels = {} }) => !firing.some((one) => isOf(one, alert, labels)));
      return missing.length === 0 ? { value: true } : { reason: `what is told is ${described(await this.prometheus.alerts())}` };
    });
    await this.#nobodyElse();
    for (const { alert } of expected) {
      this.say(`  fires: ${alert}`);
      if (this.#writes && !this.fired.has(alert)) this.#look(alert);
      this.fired.add(alert);
    }
  }

  /** What may fire from now on, and need not: it depends on who is quicker. */
  allow(...alerts: string[]): void {
    for (const alert of alerts) this.#standing.add(alert);
  }

  /** After what caused them has ended. */
  async end(...alerts: string[]): Promise<void> {
    await waitFor(`${alerts.join(', ')} to end`, FIRES_BOUND_MS, async () => {
      const left = (await this.#firing()).filter(({ labels }) => alerts.some((alert) => labels.alertname === `Holdfast${alert}`));
      return left.length === 0 ? { value: true } : { reason: described(left) };
    });
    for (const alert of alerts) this.#standing.delete(alert);
  }

  /** For longer than any patience here, nothing is told that was not before. */
  async quiet(): Promise<void> {
    const untilMs = performance.now() + QUIET_MS;
    while (performance.now() < untilMs) await this.#nobodyElse();
  }

  /** By a command of the runbook's reader. */
  kubectl(words: string[]): Promise<string> {
    return this.world.cluster.kubectl(words);
  }

  async withStore<Result>(work: (store: Store) => Promise<Result>): Promise<Result> {
    const { endpoints, tls } = this.world.cluster.etcd;
    const certificates = await loadCertificates(tls, silentLog);
    const connection = connectStore({ endpoints, certificates, leaseTtlSeconds: STORE_LEASE_SECONDS }, silentLog);
    try {
      return await work(connection.store);
    } finally {
      await connection.close();
      certificates.close();
    }
  }

  async #firing(): Promise<FiringAlert[]> {
    return (await this.prometheus.alerts()).filter(({ state }) => state === 'firing');
  }

  async #nobodyElse(): Promise<void> {
    await waitFor('no other alert to fire', UNEXPECTED_BOUND_MS, async () => {
      const others = (await this.#firing()).filter(({ labels }) => !this.#standing.has((labels.alertname ?? '').replace(/^Holdfast/, '')));
      return others.length === 0 ? { value: true } : { reason: described(others) };
    });
  }

  /** Puts what its commands answer now into the runbook; one that this cluster cannot answer stays without. */
  #look(alert: string): void {
    const name = alert.replace(/(?<!^)([A-Z])/g, '-$1').toLowerCase();
    const file = path.join(RUNBOOKS_DIRECTORY, `${name}.md`);
    const text = readFileSync(file, 'utf8');
    const answered = text.replace(/```console\n([\s\S]*?)```/, (_, block: string) => {
      const commands = block.split('\n').filter((line) => line.startsWith('$ '));
      return `\`\`\`console\n${commands.map((command) => `${command}\n${this.#answerOf(command.slice(2))}`).join('')}\`\`\``;
    });
    writeFileSync(file, answered);
  }

  #answerOf(command: string): string {
    const env = { ...process.env, KUBECONFIG: this.world.cluster.kubeconfig, PATH: `${CHECKOUT}/bin:${process.env.PATH}`, NO_COLOR: '1' };
    try {
      const output = execFileSync('sh', ['-c', command], { env, timeout: COMMAND_MS, stdio: ['ignore', 'pipe', 'ignore'] }).toString();
      const lines = output.trimEnd().replaceAll(this.world.directory, '/run').split('\n');
      return lines.length === 1 && lines[0] === '' ? '' : `${shortened(lines).join('\n')}\n`;
    } catch {
      return '';
    }
  }
}

function shortened(lines: string[]): string[] {
  const kept = lines
    .slice(0, LINES_MAX)
    .map((line) => (line.length > LINE_CHARACTERS_MAX ? `${line.slice(0, LINE_CHARACTERS_MAX)}…` : line));
  return lines.length > LINES_MAX ? [...kept, `… (${lines.length - LINES_MAX} more)`] : kept;
}

const isOf = ({ labels }: FiringAlert, alert: string, wanted: Labels): boolean =>
  labels.alertname === `Holdfast${alert}` && Object.entries(wanted).every(([label, value]) => labels[label] === value);

const described = (alerts: readonly FiringAlert[]): string =>
  alerts.length === 0 ? 'nothing' : alerts.map(({ labels, state }) => `${state} ${JSON.stringify(labels)}`).join('; ');

/** As they are shipped, but for `for`. */
function impatient(directory: string): string {
  const groups = ruleFiles().flatMap((file) => readRules(file).groups);
  const rules = groups.map((group) => ({ ...group, rules: group.rules.map((rule) => ({ ...rule, for: PATIENCE })) }));
  const file = path.join(directory, 'rules.yaml');
  writeFileSync(file, stringify({ groups: rules }));
  return file;
}
