/** A program of ours as a process, with what it logs. Ended by the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const CHECKOUT = path.resolve(import.meta.dirname, '../..');

export class ProgramProcess {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | string>;
  /** All that it wrote, to both outputs. */
  output = '';

  constructor(main: string, environment: Readonly<Record<string, string>>) {
    const env = { PATH: process.env.PATH, ...environment };
    this.#child = spawn(process.execPath, ['--disable-warning=DEP0123', main], { cwd: CHECKOUT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        this.output += bytes.toString();
      });
    }
    this.ended = once(this.#child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  }

  /** How often it logged this message. */
  said(message: string): number {
    return this.output.split(`"message":"${message}"`).length - 1;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    this.#child.kill(signal);
    return this.ended;
  }
}
