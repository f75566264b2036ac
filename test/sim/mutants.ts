/**
 * Shows that the checkers can fail: for each mutant a copy of the sources is changed, outside of the checkout, and simulated until something is
 * violated. Prints the table. Exit code 1: a mutant lived, or does not fit the source any more. JOBS=2 node test/sim/mutants.ts [name…]
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { MUTANTS } from './mutants/list.ts';
import type { Mutant } from './mutants/mutant.ts';

const CHECKOUT = path.resolve(import.meta.dirname, '../..');
const COPIED = ['agent', 'core', 'operator', 'test/sim', 'test/support', 'package.json'];
const STEPS = 20_000;
/** A mutant that makes a run endless is caught by the clock. */
const TIMEOUT_MS = 900_000;

type Verdict = { isCaught: boolean; told: string };

function copySources(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'mutants-'));
  mkdirSync(path.join(directory, 'test'));
  for (const name of COPIED) cpSync(path.join(CHECKOUT, name), path.join(directory, name), { recursive: true });
  symlinkSync(path.join(CHECKOUT, 'node_modules'), path.join(directory, 'node_modules'));
  return directory;
}

/** Null: applied. Else which change does not fit. */
function mutate(directory: string, mutant: Mutant): string | null {
  for (const { file, find, replace } of mutant.changes) {
    const name = path.join(directory, file);
    const source = readFileSync(name, 'utf8');
    if (source.split(find).length !== 2) return `${file} does not have exactly once: ${find}`;
    writeFileSync(
      name,
      source.replace(find, () => replace),
    );
  }
  return null;
}

async function judge(mutant: Mutant): Promise<Verdict> {
  const directory = copySources();
  try {
    const misfit = mutate(directory, mutant);
    return misfit ? { isCaught: false, told: misfit } : await simulated(directory, mutant);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function simulated(directory: string, { seedsMax, worlds, options }: Mutant): Promise<Verdict> {
  const run = spawn(process.execPath, ['test/sim/run.ts'], {
    cwd: directory,
    env: {
      ...process.env,
      SEED: '1',
      RUNS: String(seedsMax),
      STEPS: String(STEPS),
      UNTIL_VIOLATED: '1',
      WORLDS: worlds,
      OPTIONS: JSON.stringify(options),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: TIMEOUT_MS,
  });
  let output = '';
  run.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return new Promise((resolve) => {
    run.once('close', (code, signal) => {
      const first = output.split('\n').find((line) => line.startsWith('seed '));
      const isOver = output.includes(' runs from seed ');
      const why = isOver ? `lives after ${seedsMax} seeds` : `broken off: ${signal ?? code}`;
      resolve({ isCaught: first !== undefined, told: first ?? why });
    });
  });
}

async function main(names: readonly string[]): Promise<number> {
  const startedAtMs = performance.now();
  const waiting = names.length === 0 ? [...MUTANTS] : names.flatMap((name) => MUTANTS.filter((mutant) => mutant.name === name));
  const all = waiting.length;
  let living = 0;
  process.stdout.write('| mutant | rule broken | seeds allowed | caught by |\n|---|---|---|---|\n');
  const work = async () => {
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
      const { isCaught, told } = await judge(mutant);
      if (!isCaught) living++;
      const cell = `${isCaught ? '' : 'NOT CAUGHT: '}${told.slice(0, 140).replaceAll('|', '/')}`;
      process.stdout.write(`| ${mutant.name} | ${mutant.rule} | ${mutant.seedsMax} | ${cell} |\n`);
    }
  };
  const jobs = Math.max(1, Number(process.env.JOBS || availableParallelism()));
  await Promise.all(Array.from({ length: jobs }, work));
  const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
  process.stdout.write(`\n${all} mutants, ${living} not caught, in ${seconds} s with JOBS=${jobs}\n`);
  return living === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
