/**
 * The simulator's command line: SEED=1 RUNS=100 STEPS=20000 node test/sim/run.ts. With TRACE=1 it tells every event of note; OPTIONS='{"shards":3}' takes that from the seed; with
 * UNTIL_VIOLATED=1 it stops at the first seed that fails; with TELL_HELD=1 it says so of each that does not.
 * Exit code: 0 all held, 1 an invariant was violated, 3 something crashed, 4 the volume did not get well.
 */
import { messageOf } from '../../core/errors.ts';
import { exitCodeOf } from './exitCodes.ts';
import { drawOptions, type SimOptions } from './options.ts';
import { runSeed, type Worlds } from './seedRun.ts';
import type { Outcome } from './simulate.ts';

function numberFrom(name: string, fallback: number): number {
  const value = Number(process.env[name] ?? fallback);
  if (!Number.isInteger(value) || value < 0) throw new Error(`${name} must be a whole number, not ${process.env[name]}`);
  return value;
}

function tell(outcome: Outcome): void {
  const { violation } = outcome;
  if (!violation) return;
  process.stdout.write(`seed ${outcome.options.seed}: ${violation.checker} violated: ${violation.message}\n`);
  if (violation.checker === 'crash') process.stdout.write(`${violation.stack}\n`);
}

/** The run's exit code. */
async function runOne(seed: number, steps: number, isAlone: boolean, isTraced: boolean): Promise<number> {
  const options: SimOptions = { ...drawOptions(seed, steps), ...JSON.parse(process.env.OPTIONS ?? '{}') };
  if (isAlone) process.stdout.write(`${JSON.stringify(options)}\n`);
  const worlds = (process.env.WORLDS ?? 'both') as Worlds;
  const outcome = await runSeed(options, isTraced ? (line) => process.stdout.write(`${line}\n`) : null, worlds);
  const { traceHash, events, virtualMs, answered, epochs, violation } = outcome;
  if (isAlone)
    process.stdout.write(
      `trace ${traceHash}, ${events} events, ${virtualMs} ms, ${answered} answers, ${epochs} epochs, ${outcome.blindBlocks} blocks lost sight of\n`,
    );
  tell(outcome);
  if (isAlone) process.stdout.write(`faults: ${JSON.stringify(outcome.faults)}\n`);
  return violation ? exitCodeOf(violation) : 0;
}

async function main(): Promise<number> {
  const first = numberFrom('SEED', 1);
  const runs = numberFrom('RUNS', 1);
  const steps = numberFrom('STEPS', 20_000);
  const isTraced = numberFrom('TRACE', 0) > 0;
  const tellsHeld = numberFrom('TELL_HELD', 0) > 0;
  const stopsAtFirst = numberFrom('UNTIL_VIOLATED', 0) > 0;
  const exitCodes: number[] = [];
  for (let seed = first; seed < first + runs; seed++) {
    exitCodes.push(await runOne(seed, steps, runs === 1, isTraced));
    if (tellsHeld && exitCodes.at(-1) === 0) process.stdout.write('held\n');
    if (stopsAtFirst && exitCodes.at(-1) !== 0) break;
  }
  const failures = exitCodes.filter((code) => code !== 0);
  process.stdout.write(`${exitCodes.length} runs from seed ${first} of ${steps} steps: ${failures.length} failed\n`);
  return failures[0] ?? 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 2;
}
