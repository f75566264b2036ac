/**
 * `make test-chaos MINUTES=20 SEED=7`: a whole cluster with several members of etcd, and volumes that are written to, while anything of it is killed, stopped, cut
 * off or full, by a seed. Then all faults end, and everything must be as if nothing had happened. Exit code 0: it is; 1: it is not, and the directory with the logs
 * stays; 2: it could not run. Which values clients saw in between is `make test-history`'s business.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CHECKOUT, DEFAULT_POOL, nodeName, nodeNames, poolDirectory } from '../../tools/local/layout.ts';
import { printer, printFailure } from '../../tools/local/progress.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { commandWords } from '../../tools/test/words.ts';
import { Writer } from '../e2e/writer.ts';
import { episodes } from '../history/faults.ts';
import { Nemesis } from '../history/nemesis.ts';
import { Recorder } from '../history/recorder.ts';
import { type HistoryVolume, HistoryWorld, REPLICAS } from '../history/world.ts';
import { SeededRandom } from '../support/seededRandom.ts';
import { FioWriter } from './fioWriter.ts';
import { configOf, leftOver, strayReplicas, unequalReplicas } from './rest.ts';
import { type ChaosSettings, chaosSettings, WEIGHTS } from './settings.ts';
import { SmallDisk } from './smallDisk.ts';
import { Spoiler } from './spoil.ts';
import { TaskWatch } from './taskWatch.ts';

const EXIT_WRONG = 1;
const EXIT_COULD_NOT_RUN = 2;
const EXIT_INTERRUPTED = 130;
const SEED_MAX = 1_000_000;
const VOLUME_BYTES = 16 * 1024 * 1024;
/** Two cores are to show what faults do, not what starvation does: about 80 writes a second over 20 volumes. */
const WRITERS = { writers: 2, blocksEach: 100, paceMs: 500 };
const SMALL_DISK_BYTES = 1024 * 1024 * 1024;
const AT_ONCE = 5;
const WRITES_PER_SECOND_MIN = 5;
const LEASE_MS = 1_500;
const TOGETHER = 2;
const HEALTHY_BOUND_MS = 180_000;
/** Five agents and all else start at once on two cores. */
const MADE_BOUND_MS = 120_000;
const SERVED_BOUND_MS = 60_000;
const GONE_BOUND_MS = 120_000;
const LOOK_MS = 1_000;
/** What is spoilt on purpose is not waited for. */
const SPOILT_BOUND_MS = 15_000;
/** fio goes on for as long as faults do, though it begins while others are being made. */
const MAKING_MS = 30_000;
/** After the faults every writer must get so many more through. */
const MORE_WRITES = 5;

type Say = (line: string) => void;
type Run = {
  settings: ChaosSettings;
  directory: string;
  world: HistoryWorld;
  say: Say;
  disk: SmallDisk;
  poolOf: (node: string) => string;
  problems: string[];
  /** What must end with the run, however that ends: else the program would not. */
  endings: (() => unknown)[];
  spoiler: Spoiler | null;
};
/** Ours, or fio. */
type AnyWriter = Pick<Writer, 'acknowledged' | 'untilMore' | 'end' | 'faults'>;
type Written = { volume: HistoryVolume; writer: AnyWriter; node: string };

async function main(): Promise<number> {
  const settings = chaosSettings({ ...process.env, ...commandWords() }, () => 1 + Math.floor(Math.random() * SEED_MAX));
  const started = performance.now();
  const say: Say = (line) => process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
  process.stdout.write(`SEED=${settings.seed} ${JSON.stringify(settings)}\n`);
  const directory = mkdtempSync(path.join(tmpdir(), 'hf-chaos-'));
  const disk = new SmallDisk(path.join(directory, 'small'), SMALL_DISK_BYTES);
  if (!disk.mount()) say('only root may mount a small disk: no disk is ever full in this run');
  let problems: string[];
  try {
    problems = await inWorld(settings, directory, disk, say);
  } finally {
    disk.unmount();
  }
  return tell(settings, directory, problems);
}

async function inWorld(settings: ChaosSettings, directory: string, disk: SmallDisk, say: Say): Promise<string[]> {
  const { nodes, etcdMembers } = settings;
  const crowded = nodeName(nodes - 1);
  const inCluster = path.join(directory, 'c');
  const world = await HistoryWorld.open({
    ...{ directory: inCluster, nodes, etcdMembers, sources: CHECKOUT, leaseMs: LEASE_MS, onProgress: printer(process.stderr) },
    agentEnvironment: (node): Record<string, string> => (node === crowded ? { POOLS: `${DEFAULT_POOL}=${disk.directory}` } : {}),
  });
  const poolOf = (node: string): string => (node === crowded ? disk.directory : poolDirectory(inCluster, node, DEFAULT_POOL));
  const spoiler = settings.spoil ? new Spoiler(world, poolOf, say) : null;
  const run: Run = { settings, directory, world, say, disk, poolOf, problems: [], endings: [], spoiler };
  try {
    await wholeRun(run);
  } catch (error) {
    run.problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    for (const end of run.endings) await end();
    for (const file of world.logFiles()) cpSync(path.join(inCluster, file), path.join(directory, 'logs', file.replaceAll('/', '-')));
    await world.close();
  }
  return spoiler === null ? run.problems : spoiler.untold(run.problems);
}

async function wholeRun(run: Run): Promise<void> {
  const { world, problems, say } = run;
  const tasks = await TaskWatch.open(world.cluster);
  run.endings.push(() => tasks.close());
  const all = await makeVolumes(run);
  say(`${all.length} volumes are Healthy and written to`);
  const nemesis = await underFaults(run, all);
  problems.push(...nemesis.crashes);
  await becomesWell(run, all);
  await keepsWhatWasWritten(run, all);
  await restsAlike(run, all, tasks);
  await leavesNothing(run, all);
  tellTotals(run, all, tasks, nemesis);
}

/** What happened, and what would make a run that found nothing worth nothing. */
function tellTotals({ world, problems, settings }: Run, all: Written[], tasks: TaskWatch, nemesis: Nemesis): void {
  const writes = all.reduce((sum, { writer }) => sum + writer.acknowledged, 0);
  const kinds = [...nemesis.done].sort(([, one], [, other]) => other - one).map(([kind, count]) => `${kind} ${count}`);
  const rows: [string, string | number][] = [
    ['faults', kinds.join(', ')],
    ['writes acknowledged and read back', writes],
    ['tasks filed, each ended once', tasks.filed],
    ['moves under faults', nemesis.failovers],
    ['connections between agents that could be cut', world.relays.connections],
  ];
  process.stdout.write(`\n${rows.map(([name, value]) => `${name.padEnd(46)}${value}`).join('\n')}\n\n`);
  if (world.relays.connections === 0) problems.push('no agent reached another through a relay, so no cut has cut anything');
  const wanted = (settings.durationMs / 1000) * WRITES_PER_SECOND_MIN;
  if (writes < wanted) problems.push(`only ${writes} writes were acknowledged, ${wanted} at least were to be: this run shows nothing`);
  if (tasks.filed < settings.volumes * REPLICAS) problems.push(`only ${tasks.filed} tasks were heard of`);
}

async function makeVolumes(run: Run): Promise<Written[]> {
  const { settings, world } = run;
  const indexes = Array.from({ length: settings.volumes }, (_, index) => index);
  return await inTurns(indexes, async (index) => {
    const node = nodeNames(settings.nodes)[index % settings.nodes] ?? '';
    const volume = await world.volume(`chaos-${index}`, index, VOLUME_BYTES, node, MADE_BOUND_MS);
    return { volume, node, writer: index < settings.fio ? byFio(run, volume, node) : byUs(run, volume) };
  });
}

function byUs({ world, endings }: Run, { name }: HistoryVolume): Writer {
  const writer = new Writer(name, world.socketsOf(name), WRITERS);
  endings.push(() => writer.end());
  writer.begin();
  return writer;
}

function byFio({ world, settings, directory, endings }: Run, volume: HistoryVolume, node: string): FioWriter {
  const socketOn = (where: string): string => world.cluster.socket(where, volume.name);
  const servedAt = async (): Promise<string | null> => {
    const served = await world.servedBy(volume);
    return served && socketOn(served);
  };
  const writer = new FioWriter(path.join(directory, volume.name), servedAt, settings.durationMs + MAKING_MS);
  endings.push(writer.close);
  writer.begin(socketOn(node));
  return writer;
}

async function underFaults({ settings, world, say, disk, endings, spoiler }: Run, all: Written[]): Promise<Nemesis> {
  const wanted = { durationMs: settings.durationMs, together: TOGETHER, kinds: [], weights: WEIGHTS };
  const schedule = episodes(new SeededRandom(settings.seed), { ...wanted, nodes: settings.nodes, volumes: settings.volumes });
  const attachedTo = all.map(({ node }) => node);
  const volumes = all.map(({ volume }) => volume);
  const nemesis = new Nemesis(world, volumes, attachedTo, new Recorder(), say, (meanwhile) => disk.fill(meanwhile));
  endings.push(() => nemesis.end());
  const isOver = new AbortController();
  const time = delay(settings.durationMs, null, { signal: isOver.signal }).catch(() => null); // the list came to its end: sooner
  const running = nemesis.run(schedule);
  await spoiler?.underFaults();
  await Promise.race([running, time]);
  isOver.abort();
  nemesis.end();
  await running;
  await nemesis.heal();
  for (const [index, one] of all.entries()) one.node = attachedTo[index] ?? one.node;
  say('all faults are over');
  return nemesis;
}

async function becomesWell({ say, problems, spoiler }: Run, all: Written[]): Promise<void> {
  await spoiler?.beforeWell(all.at(-1)?.node ?? ''); // a volume with a writer of our own
  const endMs = performance.now() + (spoiler ? SPOILT_BOUND_MS : HEALTHY_BOUND_MS);
  await inTurns(all, async ({ volume, writer, node }) => {
    try {
      await volume.resource.untilServedBy(node, Math.max(LOOK_MS, endMs - performance.now()));
      await volume.resource.untilHealthy(REPLICAS, Math.max(LOOK_MS, endMs - performance.now()));
      await writer.untilMore(MORE_WRITES);
    } catch (error) {
      problems.push(`${volume.name} is not well again: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
  await spoiler?.afterWell();
  say('looked whether all volumes are Healthy and take writes');
}

async function keepsWhatWasWritten({ world, say, problems, spoiler }: Run, all: Written[]): Promise<void> {
  await inTurns(all, async ({ volume, writer, node }) => {
    await writer.end();
    await spoiler?.beforeReadBack(volume.name, world.cluster.socket(node, volume.name));
    const faults = await writer.faults(world.cluster.socket(node, volume.name)).catch((error: unknown) => [String(error)]);
    problems.push(...faults.map((fault) => `${volume.name} ${fault}`));
  });
  say('read back every acknowledged write');
}

async function restsAlike({ world, say, problems, poolOf, spoiler }: Run, all: Written[], tasks: TaskWatch): Promise<void> {
  const configs = await inTurns(all, async ({ volume }) => {
    await volume.resource.attachTo('');
    await volume.resource.until('detached', SERVED_BOUND_MS, (status) => !status.attachment && !status.primary);
    return await configOf(world, volume);
  });
  await spoiler?.beforeRest(configs);
  for (const config of configs) problems.push(...(await unequalReplicas(config, poolOf)));
  problems.push(...(await strayReplicas(world, configs, poolOf)), ...tasks.problems());
  say('compared all replicas, and tasks with what they made');
}

async function leavesNothing({ world, say, problems, poolOf, spoiler }: Run, all: Written[]): Promise<void> {
  await spoiler?.beforeGone();
  await inTurns(all, ({ volume }) => volume.resource.delete());
  try {
    await waitFor(
      'Nothing to be left of any volume',
      spoiler ? SPOILT_BOUND_MS : GONE_BOUND_MS,
      async () => {
        const left = await leftOver(world, poolOf);
        return left.length === 0 ? { value: undefined } : { reason: `there are still ${left.join(', ')}` };
      },
      LOOK_MS,
    );
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
  say('deleted all volumes');
}

/** A few at a time: each asks through a kubectl of its own. */
async function inTurns<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (let index = 0; index < items.length; index += AT_ONCE)
    results.push(...(await Promise.all(items.slice(index, index + AT_ONCE).map(work))));
  return results;
}

function tell({ seed, durationMs, nodes, volumes, fio, etcdMembers }: ChaosSettings, directory: string, problems: string[]): number {
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  if (problems.length === 0) {
    rmSync(directory, { recursive: true, force: true });
    process.stdout.write(`SEED=${seed}: all held\n`);
    return 0;
  }
  const again = `SEED=${seed} MINUTES=${durationMs / 60_000} NODES=${nodes} VOLUMES=${volumes} FIO=${fio} ETCD_MEMBERS=${etcdMembers}`;
  process.stdout.write(
    `NOT all held: ${problems.length} problems; logs are in ${directory}/logs. The same again: make test-chaos ${again}\n`,
  );
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
