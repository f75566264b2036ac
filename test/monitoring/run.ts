/**
 * `make test-monitoring`: a real Prometheus scrapes a local cluster under load, through a failover, a rebuild and tasks; then every query of every panel is asked
 * for that time. Exit code 0: each has an answer, and each metric that was seen stands in docs/metrics.md; 1: which does not. `SAVE`: a file for all answers, of
 * which pictures.ts draws pictures.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { printFailure } from '../../tools/local/progress.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { commandWords } from '../../tools/test/words.ts';
import { qemuIo, World } from '../e2e/world.ts';
import { ruleFiles } from '../support/monitoring/alerts.ts';
import { asked, shippedDashboards } from './panels.ts';
import { Prometheus, type Sample } from './prometheus.ts';
import { PICTURE_STEP_SECONDS, type Saved, type SavedPanel } from './saved.ts';

/** For each thing that happens: how long it may take is others' matter. */
const BOUND_MS = 120_000;
const SCRAPE_MS = 1_000;
const SCRAPED_BOUND_MS = 60_000;
const RATE_SECONDS = 8;
const STEP_SECONDS = 1;
/** Compared so often that a scrub ends while somebody watches. */
const SETTINGS = JSON.stringify({ scrubIntervalSeconds: 10 });
/** What is shown by the last event of all is scraped, and computed. */
const SETTLE_BOUND_MS = 30_000;
const MORE_WRITES = 100;

type Say = (line: string) => void;
type Scene = { world: World; prometheus: Prometheus; sinceMs: number };

async function made(world: World, node: string): Promise<DemoVolume> {
  const volume = world.newVolume();
  await volume.create('64Mi', 3, { attachTo: node });
  await volume.untilServedBy(node, BOUND_MS);
  await volume.untilHealthy(3, BOUND_MS);
  return volume;
}

async function live(world: World, say: Say): Promise<void> {
  const { cluster } = world;
  const databases = await made(world, 'node-a');
  const logs = await made(world, 'node-b');
  say('two volumes, written to');
  const writers = [databases, logs].map((volume) => world.writer(volume));
  for (const writer of writers) writer.begin();
  try {
    await Promise.all(writers.map((writer) => writer.untilMore(MORE_WRITES)));
    await qemuIo(cluster.socket('node-b', logs.name), 'read 0 1M', 'discard 32M 1M');

    say('the node of a primary dies: another serves');
    await cluster.process('agent/node-a').kill('SIGKILL');
    await databases.attachTo('node-b');
    await databases.untilServedBy('node-b', BOUND_MS);
    await Promise.all(writers.map((writer) => writer.untilMore(MORE_WRITES)));
    const filled = cluster.socket('node-b', databases.name);
    await qemuIo(filled, 'write -P 7 0 48M', 'flush');

    say('it comes back: its replicas are brought up to date');
    cluster.process('agent/node-a').start();
    await databases.untilHealthy(3, BOUND_MS);
    await logs.untilHealthy(3, BOUND_MS);

    say('tasks: a volume made and deleted, one that fits nowhere');
    const brief = world.newVolume();
    await brief.create('16Mi', 2);
    await brief.untilHealthy(2, BOUND_MS);
    await brief.delete();
    const homeless = world.newVolume();
    await homeless.create('16Mi', 2, { placement: { nodeSelector: { disk: 'none' }, poolTags: [], zones: 'Prefer' } });
    await homeless.until('without a place', BOUND_MS, ({ phase }) => phase === 'Pending');

    say('a volume is moved on purpose');
    await databases.attachTo('node-a');
    await databases.untilServedBy('node-a', BOUND_MS);
    await Promise.all(writers.map((writer) => writer.untilMore(MORE_WRITES)));
  } finally {
    for (const writer of writers) await writer.end();
  }
}

const isAnswer = (samples: readonly Sample[]): boolean => samples.some(({ points }) => points.some(([, value]) => Number.isFinite(value)));

/** What has no answer, in words. */
async function emptyPanels({ prometheus, sinceMs }: Scene): Promise<string[]> {
  const found: string[] = [];
  for (const { file, dashboard } of shippedDashboards()) {
    for (const { title, targets = [] } of dashboard.panels) {
      for (const { expr } of targets) {
        const samples = await prometheus.range(asked(expr, RATE_SECONDS), sinceMs, STEP_SECONDS);
        if (!isAnswer(samples)) found.push(`${file}, "${title}": ${expr}`);
      }
    }
  }
  return found;
}

async function save({ prometheus, sinceMs }: Scene, file: string): Promise<void> {
  const saved: Saved = [];
  for (const { file: name, dashboard } of shippedDashboards()) {
    const panels = await Promise.all(
      dashboard.panels.map(async ({ targets = [], ...panel }): Promise<SavedPanel> => {
        const answers = targets.map(async ({ expr, legendFormat }) => ({
          legend: legendFormat,
          samples: await prometheus.range(asked(expr, RATE_SECONDS), sinceMs, PICTURE_STEP_SECONDS),
        }));
        return { ...panel, answers: await Promise.all(answers) };
      }),
    );
    const { title, description } = dashboard;
    saved.push({ title, description, file: name, sinceMs, untilMs: Date.now(), panels });
  }
  writeFileSync(file, JSON.stringify(saved));
}

/** Names that were scraped and that docs/metrics.md does not have. */
async function undocumented({ prometheus, sinceMs }: Scene): Promise<string[]> {
  const samples = await prometheus.range('count by (__name__) ({__name__=~"holdfast_.+"})', sinceMs, STEP_SECONDS);
  const names = new Set(samples.map(({ labels }) => labels.__name__ ?? ''));
  if (names.size === 0) throw new Error('nothing was scraped');
  const text = readFileSync(path.join(CHECKOUT, 'docs/metrics.md'), 'utf8');
  const has = (name: string): boolean => text.includes(`| \`${name}\` |`);
  return [...names]
    .filter((name) => !has(name) && !has(name.replace(/_(bucket|sum|count)$/, '')))
    .map((name) => `docs/metrics.md does not have ${name}`);
}

async function run(say: Say, saveAs: string): Promise<string[]> {
  const sinceMs = Date.now();
  const world = await World.open(3, undefined, { operatorEnvironment: { SETTINGS } });
  let prometheus: Prometheus | null = null;
  try {
    say('a cluster of three nodes; Prometheus scrapes it over mutual TLS');
    const directory = path.join(world.directory, 'prometheus');
    prometheus = await Prometheus.start({ directory, cluster: world.cluster, scrapeEveryMs: SCRAPE_MS, ruleFiles: ruleFiles() });
    await prometheus.untilScraped(SCRAPED_BOUND_MS);
    const scene = { world, prometheus, sinceMs };
    await live(world, say);
    say('every query of every panel');
    const empty = await waitFor('an answer for every panel', SETTLE_BOUND_MS, async () => {
      const found = await emptyPanels(scene);
      return found.length === 0 ? { value: found } : { reason: found.join('\n') };
    }).catch((error: Error) => [error.message]);
    if (saveAs !== '') await save(scene, saveAs);
    return [...empty, ...(await undocumented(scene))];
  } catch (error) {
    say(world.logs);
    throw error;
  } finally {
    await prometheus?.stop();
    await world.close();
    rmSync(world.directory, { recursive: true, force: true });
  }
}

const say: Say = (line) => process.stdout.write(`  ${line}\n`);
try {
  const words = { ...process.env, ...commandWords() };
  const problems = await run(say, words.SAVE ?? '');
  for (const problem of problems) process.stdout.write(`NO ANSWER ${problem}\n`);
  const queries = shippedDashboards().flatMap(({ dashboard }) => dashboard.panels.flatMap(({ targets = [] }) => targets));
  if (problems.length === 0) say(`${queries.length} queries, each has an answer`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
}
