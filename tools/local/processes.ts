/**
 * The processes of a local cluster: start one in a session of its own, know it again, end it.
 *
 * A process is ours if its environment carries the mark that we started it with, which names its directory. That needs no record that could be
 * torn by a crash, a process that got the number of a dead one is never taken for it, and whatever one of ours left behind is found too.
 * A number from a pid file alone is never signalled.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { errorCode, LocalClusterError } from './errors.ts';
import { readIfThere, writeWhole } from './files.ts';
import { CHECKOUT, type ProcessName } from './layout.ts';
import { waitFor } from './wait.ts';

/** Started in `directory`, or else in this checkout. */
export type Launch = { file: string; arguments: string[]; environment: Record<string, string>; directory?: string };

const MARK = 'HOLDFAST_PROCESS';
const TERMINATE_BOUND_MS = 10_000;
const KILL_BOUND_MS = 10_000;
/** A process without an environment is looked at so often: few are without one for good. One that was just started, for longer. */
const LOOK_MS = 2;
const LOOKS_MAX = 50;
const OWN_LOOKS_MAX = 1_000;
const LOG_TAIL_LINES = 20;
const LOG_TAIL_LINE_CHARACTERS = 400;

/** One process of a cluster, running or not. What it is told on its command line is the business of `launch`. */
export class LocalProcess {
  readonly name: ProcessName;
  readonly directory: string;
  readonly logFile: string;
  readonly #launch: Launch;

  constructor(clusterDirectory: string, name: ProcessName, launch: Launch) {
    this.name = name;
    this.directory = path.join(clusterDirectory, name);
    this.logFile = path.join(this.directory, 'log');
    this.#launch = launch;
  }

  /** The number of the process while it runs. */
  get pid(): number | undefined {
    const pid = Number(readIfThere(path.join(this.directory, 'pid')) ?? 0);
    return pid > 0 && markOf(pid, OWN_LOOKS_MAX) === this.directory ? pid : undefined;
  }

  /** Starts it if it does not run; says whether it had to. Waits for nothing. */
  start(): boolean {
    if (this.pid !== undefined) {
      return false;
    }
    const { file, arguments: words, environment, directory = CHECKOUT } = this.#launch;
    mkdirSync(this.directory, { recursive: true });
    const log = openSync(this.logFile, 'a');
    try {
      const child = spawn(file, words, {
        cwd: directory,
        detached: true,
        stdio: ['ignore', log, log],
        env: { PATH: process.env.PATH, HOME: process.env.HOME, ...environment, [MARK]: this.directory },
      });
      child.on('error', () => undefined); // without a pid, which is told below
      child.unref();
      if (child.pid === undefined) {
        throw new LocalClusterError(`${this.name} could not be started: ${file} is missing or may not be executed.`);
      }
      writeWhole(path.join(this.directory, 'pid'), `${child.pid}\n`);
    } finally {
      closeSync(log);
    }
    return true;
  }

  /** Sends a signal if it runs. After one that ends it for sure or on request (SIGKILL, SIGTERM), waits until it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const pid = this.pid;
    if (pid === undefined) {
      return;
    }
    sendSignal(pid, signal);
    if (signal === 'SIGKILL' || signal === 'SIGTERM') {
      await waitUntilGone([pid], this.directory, signal === 'SIGKILL' ? KILL_BOUND_MS : TERMINATE_BOUND_MS);
    }
  }

  /** Asks it to end, and ends it if it does not. */
  async stop(): Promise<void> {
    const pid = this.pid;
    if (pid !== undefined) {
      await endProcesses([pid], this.directory);
    }
  }

  /** The last lines of its log, to be shown when it fails. */
  logTail(): string {
    const lines = (readIfThere(this.logFile) ?? '').trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    return `the end of ${this.logFile}:\n${lines.map((line) => `  ${line.slice(0, LOG_TAIL_LINE_CHARACTERS)}\n`).join('')}`;
  }
}

/** SIGTERM to all at once, a bounded wait, then SIGKILL: what hangs must not be able to stay. */
export async function endProcesses(pids: number[], directory: string): Promise<void> {
  for (const pid of pids) {
    sendSignal(pid, 'SIGTERM');
  }
  resumeProcesses(pids);
  try {
    await waitUntilGone(pids, directory, TERMINATE_BOUND_MS);
  } catch (error) {
    if (!(error instanceof LocalClusterError)) {
      throw error;
    }
    await killProcesses(pids, directory);
  }
}

export async function killProcesses(pids: number[], directory: string): Promise<void> {
  for (const pid of pids.filter((candidate) => isMarked(candidate, directory))) {
    sendSignal(pid, 'SIGKILL');
  }
  await waitUntilGone(pids, directory, KILL_BOUND_MS);
}

/** A suspended process sees no signal but SIGKILL. */
export function resumeProcesses(pids: number[]): void {
  for (const pid of pids) {
    sendSignal(pid, 'SIGCONT');
  }
}

/** Every running process that was started for this directory or one below it, known or left behind by one that was. */
export function findProcesses(directory: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => isMarked(pid, directory));
}

function isMarked(pid: number, directory: string): boolean {
  const mark = markOf(pid);
  return mark !== undefined && (mark === directory || mark.startsWith(`${directory}/`));
}

/**
 * The mark in the environment that a process was started with; nothing for one that is gone, a zombie, or somebody else's. `spawn` answers when the kernel has
 * given up the old program, a little before it has laid out the new one: for that moment, tens of milliseconds on a busy machine, a process of ours has a program and no
 * environment, and must not be taken for one that has ended.
 */
function markOf(pid: number, looksMax = LOOKS_MAX): string | undefined {
  for (let look = 1; ; look++) {
    const environment = readOf(() => readFileSync(`/proc/${pid}/environ`, 'utf8'));
    if (environment !== '' || look >= looksMax || !hasProgram(pid)) {
      const variables = environment?.split('\0');
      return variables?.find((variable) => variable.startsWith(`${MARK}=`))?.slice(MARK.length + 1);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS);
  }
}

/** One that ends has none any more. */
const hasProgram = (pid: number): boolean => readOf(() => readlinkSync(`/proc/${pid}/exe`)) !== undefined;

/** Nothing for one that is gone, or somebody else's. */
function readOf(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')) {
      return undefined;
    }
    throw error;
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') {
      throw error; // ESRCH: it ended by itself meanwhile
    }
  }
}

/**
 * Whether one of ours holds nothing any more. A process that ends gives up its memory first, and with it the mark; its sockets a moment later: who started the next one in that moment found
 * its port in use.
 */
function hasLetGo(pid: number, directory: string): boolean {
  const status = readOf(() => readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (status === undefined) return true;
  // It has ended, all its threads have, and whoever started it has not asked: that may never happen.
  if (/^State:\tZ/m.test(status) && /^Threads:\t[01]$/m.test(status)) return true;
  // Without a program it is on its way there; with one and no mark, the number is somebody else's by now.
  return hasProgram(pid) && !isMarked(pid, directory);
}

async function waitUntilGone(pids: number[], directory: string, boundMs: number): Promise<void> {
  await waitFor(`the end of ${directory}`, boundMs, () => {
    const left = pids.filter((pid) => !hasLetGo(pid, directory));
    return Promise.resolve(left.length === 0 ? { value: true } : { reason: `process ${left.join(', ')} still runs` });
  });
}
