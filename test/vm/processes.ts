/** What runs in the emulated machine beside the scenes: the holder, a volume's server, somebody who writes. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { HolderClient } from '../../agent/csi/edge/holderClient.ts';

const execute = promisify(execFile);
/** Emulated, everything takes its time. */
const WAIT_MS_MAX = 60_000;
const LOOK_EVERY_MS = 50;
export const HOLDER_SOCKET = '/run/holdfast-holder/holder.sock';

/** What a program says; its words when it fails. */
export async function run(program: string, ...words: string[]): Promise<string> {
  const { stdout } = await execute(program, words, { timeout: WAIT_MS_MAX });
  return stdout.trim();
}

export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; waitedMs < WAIT_MS_MAX; waitedMs += LOOK_EVERY_MS) {
    if (await isSo()) return;
    await sleep(LOOK_EVERY_MS);
  }
  throw new Error(`not within ${WAIT_MS_MAX / 1_000} s: ${what}`);
}

/** A program of ours that is started, killed and started again. */
export class Service {
  readonly #words: readonly string[];
  readonly #environment: NodeJS.ProcessEnv;
  #child: ChildProcess | null = null;

  constructor(words: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.#words = words;
    this.#environment = environment;
  }

  start(): void {
    this.#child = spawn(process.execPath, [...this.#words], { stdio: 'inherit', env: { ...process.env, ...this.#environment } });
  }

  /** It lives on. */
  signal(signal: 'SIGSTOP' | 'SIGUSR2'): void {
    this.#child?.kill(signal);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (this.#child === null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
    this.#child = null;
  }
}

export class Holder {
  readonly #service = new Service(['agent/holder/main.ts'], { NODE_NAME: 'guest', LOG_LEVEL: 'info' });
  readonly client = new HolderClient(HOLDER_SOCKET);

  async start(): Promise<void> {
    this.#service.start();
    await until('the holder answers', () =>
      this.client.all().then(
        () => true,
        () => false,
      ),
    );
  }

  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    return this.#service.end(signal);
  }
}

export class Server {
  readonly socket: string;
  readonly #service: Service;

  constructor(name: string, uid: string, file: string) {
    this.socket = `/run/${name}.sock`;
    this.#service = new Service(['test/vm/server.ts', name, uid, file, this.socket]);
  }

  async start(): Promise<void> {
    await run('rm', '-f', this.socket);
    this.#service.start();
    await until('the server listens', () => existsSync(this.socket));
  }

  /** Connections stay, and nothing is answered any more. */
  stall(): void {
    this.#service.signal('SIGSTOP');
  }

  /** Every write is answered late, so that there are always some without an answer. */
  becomeSlow(): void {
    this.#service.signal('SIGUSR2');
  }

  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    return this.#service.end(signal);
  }
}

type Told = { written: number; longestMs: number; checked?: boolean; error?: string };

export class Load {
  readonly #child: ChildProcess;
  told: Told = { written: 0, longestMs: 0 };

  constructor(file: string) {
    this.#child = spawn(process.execPath, ['test/vm/load.ts', file], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no pipe');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.told = JSON.parse(line) as Told;
    });
  }

  /** More is written than was; milliseconds until then. */
  async goesOn(): Promise<number> {
    const { written } = this.told;
    const beganMs = performance.now();
    await until('more is written', () => {
      if (this.told.error !== undefined) throw new Error(`whoever writes got an error: ${this.told.error}`);
      return this.told.written > written + 1;
    });
    return Math.round(performance.now() - beganMs);
  }

  /** It reads back what it wrote. */
  async endWell(): Promise<Told> {
    this.#child.kill('SIGTERM');
    const told = await this.#ended();
    if (told.checked !== true) throw new Error(`whoever writes did not find it again: ${told.error}`);
    return told;
  }

  /** It must get an error, and soon. */
  async fails(): Promise<string> {
    const told = await this.#ended();
    if (told.error === undefined) throw new Error('whoever writes got no error');
    return told.error;
  }

  async #ended(): Promise<Told> {
    if (this.#child.exitCode === null) await once(this.#child, 'close', { signal: AbortSignal.timeout(WAIT_MS_MAX) });
    return this.told;
  }
}
