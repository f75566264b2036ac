/** What the benchmark asks of a system, and processes that are sure to end. Interfaces and one small class. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { until } from '../../support/until.ts';
import type { Target } from '../fio.ts';
import type { SystemName } from '../goals.ts';

export type Running = {
  readonly target: Target;
  /** Where its NBD server listens; null: it has none. */
  readonly socketPath: string | null;
  /** Whose processor time is the system's. */
  readonly pids: readonly number[];
  /** fio itself does a part of the system's work (its client is a library), so its time counts, too. */
  readonly countsClient: boolean;
};

export interface System {
  readonly name: SystemName;
  readonly version: string;
  /** Not running, with its data as the last turn left it: as long as others are measured. */
  start(): Promise<Running>;
  stop(): Promise<void>;
  /** Leaves nothing behind. */
  remove(): Promise<void>;
}

const STOP_MS_MAX = 15_000;
const started = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of started) child.kill('SIGKILL');
});

/** A server in the foreground. */
export class Server {
  readonly #child: ChildProcess;
  #output = '';

  constructor(words: readonly string[]) {
    const [file = '', ...rest] = words;
    this.#child = spawn(file, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
    started.add(this.#child);
    this.#child.once('exit', () => started.delete(this.#child));
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-2_000);
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined || this.#hasEnded) throw new Error(`${this.#child.spawnargs.join(' ')} has ended: ${this.#output}`);
    return this.#child.pid;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async untilThere(socketPath: string): Promise<void> {
    await until(socketPath, () => this.pid > 0 && existsSync(socketPath));
  }

  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    const ended = once(this.#child, 'exit');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS_MAX);
    this.#child.kill('SIGTERM');
    await ended;
    clearTimeout(timer);
  }
}
