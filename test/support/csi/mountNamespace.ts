/** A mount namespace of the test's own, and the machine's mounts as seen and made in it. All that is mounted there goes with it. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Mounts } from '../../../agent/csi/ports.ts';

/** Each of them asked there, one after the other. */
export type MountsInside = { [Name in keyof Mounts]: (...values: Parameters<Mounts[Name]>) => Promise<Awaited<ReturnType<Mounts[Name]>>> };

export class MountNamespace {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    const program = [process.execPath, path.join(import.meta.dirname, 'mountsInside.ts')];
    this.#child = spawn('unshare', ['--mount', '--propagation', 'private', '--', ...program]);
    this.#child.stderr.pipe(process.stderr);
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  readonly mounts = new Proxy({} as MountsInside, {
    get:
      (_, name: string) =>
      (...values: unknown[]) =>
        this.#ask(name, values),
  });

  /** Its output. Rejects unless it ended with 0. */
  run(program: string, ...words: string[]): Promise<string> {
    return this.#ask('run', [program, ...words]) as Promise<string>;
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
  }

  /** As an agent dies: what it runs goes on. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.signalCode === null) await once(this.#child, 'exit');
  }

  async #ask(what: string, values: unknown[]): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify([what, ...values])}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`the mount namespace is gone, asked: ${what}`);
    const { result, error } = JSON.parse(value) as { result?: unknown; error?: string };
    if (error !== undefined) throw new Error(error);
    return result;
  }
}
