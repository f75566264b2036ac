/**
 * Shows that the checkers can fail: for each mutant a copy of the sources is changed, outside of the checkout, and simulated until something is
 * violated. Prints the table. Exit code 1: a mutant lived, or does not fit the source any more. node test/sim/mutants.ts [name…]
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MUTANTS, type Mutant } from './mutants/list.ts';

const CHECKOUT = path.resolve(import.meta.dirname, '../..');
const COPIED = ['agent', 'core', 'test/sim', 'test/support', 'package.json'];
const STEPS = 20_000;
/** A mutant that makes a run endless is caught by the clock. */
const TIMEOUT_MS = 600_000;

type Verdict = { mutant: Mutant; isCaught: boolean; told: string };

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

function judge(mutant: Mutant): Verdict {
  const directory = copySources();
  try {
    const misfit = mutate(directory, mutant);
    if (misfit) return { mutant, isCaught: false, told: misfit };
    const run = spawnSync(process.execPath, ['test/sim/run.ts'], {
      cwd: directory,
      env: { ...process.env, SEED: '1', RUNS: String(mutant.seedsMax), STEPS: String(STEPS), UNTIL_VIOLATED: '1' },
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    });
    const first = run.stdout.split('\n').find((line) => line.startsWith('seed ')) ?? '';
    const isOver = run.stdout.includes(' runs from seed ');
    const why = isOver ? `lives after ${mutant.seedsMax} seeds` : `broken off: ${run.signal ?? run.status} ${run.stderr.slice(0, 200)}`;
    return { mutant, isCaught: first !== '', told: first || why };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function main(names: readonly string[]): number {
  let living = 0;
  process.stdout.write('| mutant | rule broken | seeds allowed | caught by |\n|---|---|---|---|\n');
  for (const mutant of MUTANTS) {
    if (names.length > 0 && !names.includes(mutant.name)) continue;
    const { isCaught, told } = judge(mutant);
    if (!isCaught) living++;
    process.stdout.write(
      `| ${mutant.name} | ${mutant.rule} | ${mutant.seedsMax} | ${isCaught ? '' : 'NOT CAUGHT: '}${told.slice(0, 140)} |\n`,
    );
  }
  return living === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
