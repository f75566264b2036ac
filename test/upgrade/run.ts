/**
 * `make test-upgrade FROM=7d73216`: a cluster of the version before, upgraded to this checkout one program at a time and rolled back the same way, under fio that verifies and
 * under writers that remember. Exit code 0: no I/O error, nothing lost, every volume Healthy after each step, replicas equal at the end; 1: not; 2: it could not run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LocalClusterError } from '../../tools/local/errors.ts';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { FioRounds, faultsOf, Rolling, type Say } from './roll.ts';
import { sourcesOfCommit } from './sources.ts';

const EXIT_WRONG = 1;
const EXIT_COULD_NOT_RUN = 2;
const FIO_ROUND_MS = 15_000;
/** The new version and the old one serve for a while before the way back. */
const BETWEEN_MS = Number(process.env.SECONDS || '10') * 1_000;

/** From `before` to `after`: operators, then agents, the one that serves the first. */
async function roll(rolling: Rolling, under: Under, to: string, say: Say): Promise<void> {
  const volumes = [under.verified.volume, under.marked.volume];
  for (const name of [...rolling.operators, ...rolling.agents]) {
    const startedMs = performance.now();
    await rolling.to(name, to, volumes);
    await under.marked.writer.untilMore(50);
    say(`${name} replaced, all Healthy after ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
    // Of two versions, both ways: who leads and who serves are of different ones in the middle.
    if (name === rolling.agents[0]) await rolling.works('node-b');
  }
}

type Under = Awaited<ReturnType<typeof load>>;

async function load(rolling: Rolling, directory: string) {
  const verified = await rolling.volume('64Mi', 'node-a');
  const marked = await rolling.volume('64Mi', 'node-b');
  const fio = new FioRounds(path.join(directory, 'fio.sock'), verified.socket, FIO_ROUND_MS);
  const writer = rolling.world.writer(marked.volume);
  fio.begin();
  writer.begin();
  return { verified: { ...verified, fio }, marked: { ...marked, writer } };
}

async function upgraded(rolling: Rolling, before: string, directory: string, say: Say): Promise<string[]> {
  const under = await load(rolling, directory);
  say('two volumes are served and written to');
  await roll(rolling, under, CHECKOUT, say);
  say(`upgraded; the schema is ${JSON.stringify(await rolling.schema())}`);
  await delay(BETWEEN_MS);
  await roll(rolling, under, before, say);
  say('rolled back');
  const { verified, marked } = under;
  const problems = await verified.fio.end();
  problems.push(...(await faultsOf(marked.writer, marked.socket)));
  for (const { volume } of [verified, marked]) problems.push(...(await rolling.unequal(volume)));
  say(`${verified.fio.rounds} rounds of fio verified, ${marked.writer.acknowledged} writes read back, replicas compared`);
  return problems;
}

async function main(): Promise<number> {
  const started = performance.now();
  const say: Say = (line) => process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
  const directory = mkdtempSync(path.join(tmpdir(), 'hf-upgrade-'));
  let rolling: Rolling | null = null;
  try {
    const before = path.join(directory, 'before');
    const commit = sourcesOfCommit(process.env.FROM || '7d73216', before);
    say(`from ${commit} to this checkout and back`);
    rolling = await Rolling.open(before);
    const problems = await upgraded(rolling, before, directory, say);
    for (const problem of problems) say(problem);
    process.stdout.write(problems.length === 0 ? 'Nothing was lost, and nobody saw an error.\n' : `${problems.length} things are wrong.\n`);
    return problems.length === 0 ? 0 : EXIT_WRONG;
  } catch (error) {
    process.stderr.write(`${error instanceof LocalClusterError ? error.message : (error as Error).stack}\n${rolling?.world.logs ?? ''}\n`);
    return rolling === null ? EXIT_COULD_NOT_RUN : EXIT_WRONG;
  } finally {
    await rolling?.world.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

process.exit(await main());
