/**
 * The parts of `make test`: which commands, in which order, and how long each may take. Runs one and counts what passed in it; a part that brings no
 * counts of its own is one test. What cannot run has failed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CHECKOUT } from '../local/layout.ts';
import type { Counts } from './reporter.ts';

export type Stage = { name: string; command: string[]; timeoutMs: number; counting?: boolean };

const MINUTE_MS = 60_000;
/** What mocha's process may take to end after its last test; one that does not has left something open. */
const END_BOUND_MS = 30_000;
const RESULT_POLL_MS = 1_000;
const LAST_LINES = 25;
const LAST_LENGTH = 8_192;

const BIN = path.join(CHECKOUT, 'node_modules/.bin');
const MOCHA = ['mocha', '--forbid-only', '--forbid-pending', '--reporter', path.join(CHECKOUT, 'tools/test/reporter.ts')];

/** Several files at once, each with parts of its own. What has real parts mostly waits, for processes to start and leases to run out. */
const jobs = (count: number): string[] => ['--parallel', '--jobs', String(count)];

export const STAGES: readonly Stage[] = [
  { name: 'style and mistakes', command: ['biome', 'check', '.'], timeoutMs: 2 * MINUTE_MS },
  { name: 'rooms', command: ['node', 'tools/lint/rooms.ts'], timeoutMs: MINUTE_MS },
  { name: 'types', command: ['tsc', '--noEmit'], timeoutMs: 3 * MINUTE_MS },
  { name: 'docs', command: ['node', 'tools/docs/main.ts'], timeoutMs: MINUTE_MS },
  { name: 'generated files', command: ['node', 'tools/generate/types.ts', '--check'], timeoutMs: MINUTE_MS },
  { name: 'unit tests', command: [...MOCHA, ...jobs(2), 'test/unit/**/*.test.ts'], timeoutMs: 10 * MINUTE_MS, counting: true },
  {
    // Prints the base of its fresh seeds first, and the command that replays a failure.
    name: 'simulator',
    command: ['node', 'test/sim/soak.ts', 'FIXED=60', 'MINUTES=2'],
    timeoutMs: 15 * MINUTE_MS,
  },
  {
    name: 'with real parts',
    command: [...MOCHA, ...jobs(2), 'test/integration/**/*.test.ts', 'test/e2e/**/*.test.ts'],
    timeoutMs: 45 * MINUTE_MS,
    counting: true,
  },
  // Helm is built the first time, four minutes.
  { name: 'chart', command: [...MOCHA, 'test/chart/**/*.test.ts'], timeoutMs: 15 * MINUTE_MS, counting: true },
  { name: 'fuzz', command: ['node', 'test/fuzz/run.ts'], timeoutMs: 5 * MINUTE_MS },
  { name: 'history under faults', command: ['node', 'test/history/run.ts'], timeoutMs: 15 * MINUTE_MS },
  { name: 'chaos', command: ['node', 'test/chaos/run.ts', 'MINUTES=1', 'VOLUMES=8'], timeoutMs: 15 * MINUTE_MS },
  { name: 'csi-sanity', command: ['node', 'test/csi/sanity.ts'], timeoutMs: 15 * MINUTE_MS },
  { name: 'postgres', command: ['node', 'test/csi/postgres.ts', 'SECONDS=8'], timeoutMs: 15 * MINUTE_MS },
  { name: 'monitoring', command: ['node', 'test/monitoring/run.ts'], timeoutMs: 10 * MINUTE_MS },
  { name: 'demo', command: ['node', 'tools/demo/demo.ts'], timeoutMs: 15 * MINUTE_MS },
];

export async function runStage(stage: Stage): Promise<Counts> {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-test-'));
  const result = path.join(directory, 'counts.json');
  try {
    const words = stage.counting ? [...stage.command, '--reporter-option', `result=${result}`] : stage.command;
    const output = { text: '' };
    const endedWell = await run(words, stage.timeoutMs, output, stage.counting ? result : undefined);
    if (!stage.counting) {
      return endedWell
        ? { passed: 1, failed: 0, failures: [] }
        : { passed: 0, failed: 1, failures: [`${stage.name}\n${lastLines(output)}`] };
    }
    const counts = existsSync(result) ? (JSON.parse(readFileSync(result, 'utf8')) as Counts) : { passed: 0, failed: 0, failures: [] };
    // Failed without a failed test: it could not load, was killed, or did not end.
    return !endedWell && counts.failed === 0 ? { ...counts, failed: 1, failures: [`${stage.name}\n${lastLines(output)}`] } : counts;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What a part said last: kept where nobody watches a terminal, for the end of the whole run. */
type Output = { text: string };

const lastLines = (output: Output): string => output.text.trimEnd().split('\n').slice(-LAST_LINES).join('\n');

function follow(child: ChildProcess, output: Output): void {
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => {
      process.stdout.write(bytes);
      output.text = (output.text + bytes.toString()).slice(-LAST_LENGTH);
    });
  }
}

/** In a process group of its own, so that whatever it started ends with it when it takes too long or we are interrupted. */
async function run(words: string[], timeoutMs: number, output: Output, result: string | undefined): Promise<boolean> {
  const [program = '', ...rest] = words;
  const child = spawn(path.join(BIN, program), rest, {
    cwd: CHECKOUT,
    stdio: process.stdout.isTTY ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, PATH: `${BIN}${path.delimiter}${process.env.PATH ?? ''}` },
  });
  follow(child, output);
  const endGroup = (): void => killGroup(child);
  process.once('exit', endGroup);
  const timer = setTimeout(() => tooLong(child, `did not end within ${timeoutMs / MINUTE_MS} minutes`), timeoutMs);
  const watch = result === undefined ? undefined : watchEnd(child, result);
  try {
    return (await exitCode(child)) === 0;
  } finally {
    clearTimeout(timer);
    clearInterval(watch);
    process.removeListener('exit', endGroup);
    killGroup(child);
  }
}

function exitCode(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.stdout.write(`${error.message}\n`);
      resolve(null);
    });
    child.once('exit', resolve);
  });
}

function watchEnd(child: ChildProcess, result: string): NodeJS.Timeout {
  let resultSinceMs: number | undefined;
  return setInterval(() => {
    if (resultSinceMs === undefined && existsSync(result)) {
      resultSinceMs = performance.now();
    } else if (resultSinceMs !== undefined && performance.now() - resultSinceMs > END_BOUND_MS) {
      tooLong(child, `has left something open: its process did not end within ${END_BOUND_MS / 1000} s after the last test`);
    }
  }, RESULT_POLL_MS);
}

function tooLong(child: ChildProcess, what: string): void {
  process.stdout.write(`This part ${what}; it is killed.\n`);
  killGroup(child);
}

function killGroup(child: ChildProcess): void {
  if (child.pid !== undefined) {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      return; // nobody is left in it
    }
  }
}
