/**
 * `make test-history`: real processes, real sockets, faults by a seed, clients that note what they asked and were told, and a judge that is none of ours:
 * Porcupine. Exit code 0: every block behaved as one register, and the volumes are healthy again; 1: not, or too little happened to say so, and the
 * directory with history, picture and logs stays; 2: it could not run.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { nodeName } from '../../tools/local/layout.ts';
import { findHistoryChecker } from '../../tools/local/programs.ts';
import { printer, printFailure } from '../../tools/local/progress.ts';
import { SeededRandom } from '../support/seededRandom.ts';
import { HistoryClient, readAll, type Target, volumeBytes } from './client.ts';
import { episodes } from './faults.ts';
import { Nemesis } from './nemesis.ts';
import { Recorder } from './recorder.ts';
import { type RunSettings, runSettings } from './settings.ts';
import { copySources, mutantNamed } from './sources.ts';
import { type HistoryVolume, HistoryWorld, REPLICAS } from './world.ts';

const EXIT_WRONG = 1;
const EXIT_COULD_NOT_RUN = 2;
const EXIT_INTERRUPTED = 130;
/** Fewer answers than this a second, over the whole run, is a run that has shown nothing. */
const ANSWERS_PER_SECOND_MIN = 5;
const HEALTHY_BOUND_MS = 90_000;
const SERVED_BOUND_MS = 60_000;
const CHECK_BOUND_S = 180;
const SEED_MAX = 1_000_000;

type Run = {
  settings: RunSettings;
  directory: string;
  recorder: Recorder;
  random: SeededRandom;
  say: (line: string) => void;
};

async function main(): Promise<number> {
  const settings = runSettings(process.env, () => 1 + Math.floor(Math.random() * SEED_MAX));
  const mutant = mutantNamed(settings.mutant);
  const directory = mkdtempSync(path.join(tmpdir(), 'hf-history-'));
  const started = performance.now();
  const say = (line: string): void => {
    process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
  };
  process.stdout.write(`SEED=${settings.seed} ${JSON.stringify(settings)}\n`);
  if (mutant) process.stdout.write(`MUTANT ${mutant.name}: broken is "${mutant.rule}"; this run is meant to fail\n`);
  const checker = await findHistoryChecker(printer(process.stderr));
  copySources(path.join(directory, 'src'), mutant);
  const run = { settings, directory, recorder: new Recorder(), random: new SeededRandom(settings.seed), say };
  const problems = await inWorld(run);
  run.recorder.write(path.join(directory, 'history.jsonl'));
  problems.push(...judge(checker, directory));
  return tell(run, problems);
}

/** What was wrong, but for what clients saw: that is the judge's. */
async function inWorld(run: Run): Promise<string[]> {
  const { directory, settings } = run;
  const world = await HistoryWorld.open({
    directory: path.join(directory, 'c'),
    nodes: settings.nodes,
    sources: path.join(directory, 'src'),
    leaseMs: settings.leaseMs,
    onProgress: printer(process.stderr),
  });
  const problems: string[] = [];
  try {
    problems.push(...(await underFaults(run, world)));
  } catch (error) {
    problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    for (const file of world.logFiles())
      cpSync(path.join(world.cluster.directory, file), path.join(directory, 'logs', file.replaceAll('/', '-')));
    await world.close();
  }
  return problems;
}

async function underFaults(run: Run, world: HistoryWorld): Promise<string[]> {
  const { settings, recorder, random, say } = run;
  const volumes = await makeVolumes(run, world);
  const targets: Target[] = volumes.map(({ name, salt }) => ({
    ...{ volume: name, salt, borders: settings.borders },
    sockets: world.socketsOf(name),
  }));
  const clients = targets.flatMap((target, volume) =>
    Array.from(
      { length: settings.clients },
      (_, index) => new HistoryClient(volume * settings.clients + index, target, recorder, new SeededRandom(random.below(2 ** 31))),
    ),
  );
  const schedule = episodes(new SeededRandom(settings.seed), settings);
  const attached = volumes.map((_, index) => nodeName(index % settings.nodes));
  const nemesis = new Nemesis(world, volumes, attached, recorder, say);
  const work = clients.map((client) => client.run());
  await Promise.race([nemesis.run(schedule), delay(settings.durationMs)]);
  nemesis.end();
  await nemesis.heal();
  say('healed');
  const problems = await finalReads(run, world, volumes, targets, nemesis);
  for (const client of clients) client.end();
  await Promise.all(work);
  return [...problems, ...nemesis.crashes, ...vacuity(run, nemesis, world.relays.connections)];
}

async function makeVolumes({ settings, random }: Run, world: HistoryWorld): Promise<HistoryVolume[]> {
  const volumes: HistoryVolume[] = [];
  for (let index = 0; index < settings.volumes; index++) {
    const salt = random.below(2 ** 31);
    volumes.push(await world.volume(`history-${index}`, salt, volumeBytes(settings.borders), nodeName(index % settings.nodes)));
  }
  return volumes;
}

/** Healthy again, with clients still at work; then every block through each node that holds a replica, which is where it reads from. */
async function finalReads(run: Run, world: HistoryWorld, volumes: HistoryVolume[], targets: Target[], nemesis: Nemesis): Promise<string[]> {
  const problems: string[] = [];
  for (const [index, volume] of volumes.entries()) {
    const target = targets[index];
    if (target === undefined) continue;
    try {
      await volume.resource.untilHealthy(REPLICAS, HEALTHY_BOUND_MS);
      for (const node of await world.holders(volume)) {
        await nemesis.attach(index, node);
        await world.untilServedBy(volume, node, SERVED_BOUND_MS);
        await readAll(run.settings.volumes * run.settings.clients, target, world.cluster.socket(node, volume.name), run.recorder);
        run.say(`${volume.name}: read whole on ${node}`);
      }
    } catch (error) {
      problems.push(`${volume.name} did not come back: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return problems;
}

/** What would make a run that found nothing worth nothing. */
function vacuity({ recorder: { totals }, settings, say }: Run, nemesis: Nemesis, connections: number): string[] {
  say(`clients: ${JSON.stringify(totals)}, failovers: ${nemesis.failovers}, connections between agents: ${connections}`);
  const wanted = (ANSWERS_PER_SECOND_MIN * settings.durationMs) / 1000;
  const answered = totals.reads + totals.writes;
  return [
    ...(answered < wanted ? [`only ${answered} requests were answered, ${wanted} at least were to be: this run shows nothing`] : []),
    ...(connections === 0 ? ['no agent reached another through a relay, so no cut has cut anything: do they advertise 127.0.1.x?'] : []),
  ];
}

function judge(checker: string, directory: string): string[] {
  const words = [
    '-timeout',
    `${CHECK_BOUND_S}s`,
    '-picture',
    path.join(directory, 'violation.html'),
    path.join(directory, 'history.jsonl'),
  ];
  const { status } = spawnSync(checker, words, { stdio: ['ignore', 'inherit', 'inherit'] });
  return status === 0 ? [] : [`the history was not found to be linearizable (exit code ${status}, see above)`];
}

function tell({ settings, directory }: Run, problems: string[]): number {
  rmSync(path.join(directory, 'src'), { recursive: true, force: true });
  if (problems.length === 0) {
    process.stdout.write(`SEED=${settings.seed}: all held${settings.isKept ? `; ${directory}` : ''}\n`);
    if (!settings.isKept) rmSync(directory, { recursive: true, force: true });
    return 0;
  }
  mkdirSync(directory, { recursive: true });
  writeFileSync(path.join(directory, 'problems.txt'), problems.join('\n\n'));
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  process.stdout.write(`SEED=${settings.seed}: NOT all held; history, picture and logs are in ${directory}\n`);
  return EXIT_WRONG;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(EXIT_INTERRUPTED)); // the cluster's guard takes it away
}
try {
  process.exitCode = await main();
} catch (error) {
  printFailure(error);
  process.exitCode = EXIT_COULD_NOT_RUN;
}
