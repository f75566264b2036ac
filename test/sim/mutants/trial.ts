/** One trial: a copy of the sources outside of the checkout, changed, and simulated there by a process of its own until something is violated or all seeds have held. */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Trial } from './mutant.ts';

const CHECKOUT = path.resolve(import.meta.dirname, '../../..');
const COPIED = ['agent', 'core', 'edge', 'operator', 'test/sim', 'test/support', 'package.json'];
const STEPS = 20_000;
/** One that makes a run endless is caught by the clock. */
const TIMEOUT_MS = 900_000;

/** `violated`: what the first seed said in which anything was; null: nothing was. `problem`: why that is not known. */
export type Verdict = { violated: string | null; problem: string | null; seeds: number };

function copySources(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'mutants-'));
  mkdirSync(path.join(directory, 'test'));
  for (const name of COPIED) cpSync(path.join(CHECKOUT, name), path.join(directory, name), { recursive: true });
  symlinkSync(path.join(CHECKOUT, 'node_modules'), path.join(directory, 'node_modules'));
  return directory;
}

/** Null: applied. Else which change does not fit. */
function change(directory: string, { changes }: Trial): string | null {
  for (const { file, find, replace } of changes) {
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

/** `held`: told after each seed in which nothing was violated. */
export async function judge(trial: Trial, held: () => void): Promise<Verdict> {
  const directory = copySources();
  try {
    const problem = change(directory, trial);
    return problem ? { violated: null, problem, seeds: 0 } : await simulated(directory, trial, held);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function simulated(directory: string, { seedsMax, worlds, options }: Trial, held: () => void): Promise<Verdict> {
  const environment = { SEED: '1', RUNS: String(seedsMax), STEPS: String(STEPS), UNTIL_VIOLATED: '1', WORLDS: worlds };
  const run = spawn(process.execPath, ['test/sim/run.ts'], {
    cwd: directory,
    env: { ...process.env, ...environment, OPTIONS: JSON.stringify(options), TELL_HELD: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: TIMEOUT_MS,
  });
  let seeds = 0;
  let rest = '';
  let violated: string | null = null;
  let isOver = false;
  const heard = (line: string) => {
    if (line === 'held') held();
    else if (line.startsWith('seed ')) violated ??= line;
    if (line === 'held' || line.startsWith('seed ')) seeds++;
    isOver ||= line.includes(' runs from seed ');
  };
  run.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(heard);
  });
  return new Promise((resolve) => {
    run.once('close', (code, signal) => {
      const problem = violated !== null || isOver ? null : `broken off: ${signal ?? code}`;
      resolve({ violated, problem, seeds });
    });
  });
}
