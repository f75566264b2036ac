/**
 * The simulator's command line: SEED=1 RUNS=100 STEPS=20000 node test/sim/run.ts. With TRACE=1 it tells every event of note.
 * Exit code: 0 all held, 1 an invariant was violated, 3 something crashed, 4 the volume did not get well.
 */
import { messageOf } from '../../core/errors.ts';
import { drawOptions } from './options.ts';
import { type Outcome, simulate } from './simulate.ts';

const EXIT = { crash: 3, liveness: 4, violated: 1 };

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

function main(): number {
  const first = numberFrom('SEED', 1);
  const runs = numberFrom('RUNS', 1);
  const steps = numberFrom('STEPS', 20_000);
  const isTraced = numberFrom('TRACE', 0) > 0;
  let exitCode = 0;
  let failures = 0;
  for (let seed = first; seed < first + runs; seed++) {
    const options = drawOptions(seed, steps);
    if (runs === 1) process.stdout.write(`${JSON.stringify(options)}\n`);
    const outcome = simulate(options, isTraced ? (line) => process.stdout.write(`${line}\n`) : null);
    const { traceHash, events, virtualMs, answered, epochs, violation } = outcome;
    if (runs === 1) process.stdout.write(`trace ${traceHash}, ${events} events, ${virtualMs} ms, ${answered} answers, ${epochs} epochs\n`);
    tell(outcome);
    if (!violation) continue;
    failures++;
    exitCode = violation.checker === 'crash' ? EXIT.crash : violation.checker === 'liveness' ? EXIT.liveness : EXIT.violated;
  }
  process.stdout.write(`${runs} runs from seed ${first} of ${steps} steps: ${failures} failed\n`);
  return exitCode;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 2;
}
