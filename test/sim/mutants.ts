/**
 * Shows that the checkers can fail, and that they fail for a reason: each mutant (a rule broken in a copy of the sources) is simulated until something is
 * violated, and each situation that mutants are put into is simulated with no rule broken, in which nothing may be. Prints both tables, and on standard error how far it is.
 * Exit code 1: a mutant lived or does not fit the source any more, or a control was violated.
 *
 *     JOBS=2 CONTROLS=50 node test/sim/mutants.ts [name of a mutant, or of a control with - for what is between its words…]
 */
import { availableParallelism } from 'node:os';
import { controls, MUTANTS } from './mutants/list.ts';
import type { Mutant, Trial } from './mutants/mutant.ts';
import { judge, type Verdict } from './mutants/trial.ts';

const CONTROL_SEEDS = 50;
const TELL_EVERY_MS = 15_000;

class Progress {
  readonly #all: number;
  readonly #startedAtMs = performance.now();
  readonly #running = new Map<Trial, number>();
  #ended = 0;

  constructor(all: number) {
    this.#all = all;
  }

  get seconds(): number {
    return Math.round((performance.now() - this.#startedAtMs) / 1_000);
  }

  held(trial: Trial): void {
    this.#running.set(trial, (this.#running.get(trial) ?? 0) + 1);
  }

  begun(trial: Trial): void {
    this.#running.set(trial, 0);
  }

  ended(trial: Trial): void {
    this.#running.delete(trial);
    this.#ended++;
  }

  get line(): string {
    const running = [...this.#running].map(([{ name, seedsMax }, seeds]) => `${name} ${seeds} of ${seedsMax} seeds`);
    return `${this.#ended} of ${this.#all} after ${this.seconds} s; ${running.join(', ')}`;
  }
}

/** How it is asked for: `half isolated` is half-isolated. */
const asWord = (name: string): string => name.replaceAll(/[ ,]+/g, '-');

const cell = (text: string): string => text.slice(0, 160).replaceAll('|', '/');

/** What is wrong with it; null: it is as it should be. */
const wrongWithMutant = ({ violated, problem, seeds }: Verdict): string | null =>
  problem ?? (violated === null ? `lives after ${seeds} seeds` : null);
const wrongWithControl = ({ violated, problem }: Verdict): string | null => problem ?? violated;

function mutantRow({ name, rule, seedsMax, situation }: Mutant, verdict: Verdict): string {
  const wrong = wrongWithMutant(verdict);
  const [, checker = '', said = ''] = /^seed \d+: (\w+) violated: (.*)$/.exec(verdict.violated ?? '') ?? [];
  const seen =
    wrong === null ? `${verdict.seeds} of ${seedsMax} | ${checker} | ${cell(said)}` : `${seedsMax} | | NOT CAUGHT: ${cell(wrong)}`;
  return `| ${name} | ${rule} | ${situation} | ${seen} |`;
}

function controlRow({ name, seedsMax }: Trial, verdict: Verdict): string {
  const wrong = wrongWithControl(verdict);
  return `| ${name} | ${wrong === null ? `${verdict.seeds} seeds, all held` : `${seedsMax} seeds, VIOLATED: ${cell(wrong)}`} |`;
}

/** So many at a time, a row for each that has ended. */
async function workOff<Each extends Trial>(
  trials: readonly Each[],
  jobs: number,
  progress: Progress,
  row: (trial: Each, verdict: Verdict) => string,
): Promise<void> {
  const waiting = [...trials];
  const work = async () => {
    for (let trial = waiting.shift(); trial; trial = waiting.shift()) {
      const one = trial;
      progress.begun(one);
      const verdict = await judge(one, () => progress.held(one));
      progress.ended(one);
      process.stdout.write(`${row(one, verdict)}\n`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
}

async function main(names: readonly string[]): Promise<number> {
  const isChosen = ({ name }: Trial) => names.length === 0 || names.includes(asWord(name));
  const mutants = MUTANTS.filter(isChosen);
  const unbroken = controls(Number(process.env.CONTROLS || CONTROL_SEEDS)).filter((control) => control.seedsMax > 0 && isChosen(control));
  const jobs = Math.max(1, Number(process.env.JOBS || availableParallelism()));
  const progress = new Progress(mutants.length + unbroken.length);
  const telling = setInterval(() => process.stderr.write(`${progress.line}\n`), TELL_EVERY_MS);
  let [living, violated] = [0, 0];
  process.stdout.write('| mutant | rule broken | situation | seeds | checker | it said |\n|---|---|---|---|---|---|\n');
  await workOff(mutants, jobs, progress, (one, verdict) => {
    if (wrongWithMutant(verdict) !== null) living++;
    return mutantRow(one, verdict);
  });
  process.stdout.write(`\n| control | no rule broken |\n|---|---|\n`);
  await workOff(unbroken, jobs, progress, (one, verdict) => {
    if (wrongWithControl(verdict) !== null) violated++;
    return controlRow(one, verdict);
  });
  clearInterval(telling);
  const summary = `${mutants.length} mutants, ${living} not caught; ${unbroken.length} controls, ${violated} violated`;
  process.stdout.write(`\n${summary}; in ${progress.seconds} s with JOBS=${jobs}\n`);
  return living + violated === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
