/**
 * GlusterFS, replica 3: a real glusterd with three bricks, in a network namespace of its own, for it takes no loopback address. Its client is gfapi within fio
 * (no FUSE in between, its fastest way), so fio's processor time counts as its own. Write-behind and the read caches are off: they would acknowledge what no
 * brick has, and answer reads from the client's memory, which nobody else here does.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { until } from '../../support/until.ts';
import type { Target } from '../fio.ts';
import { type Running, Server, type System } from './system.ts';

const NAMESPACE = `hf-bench-${process.pid}`;
/** Of the block that is kept for documentation: nobody's. */
const ADDRESS = '192.0.2.1';
const VOLUME = 'bench';
const COPIES = 3;
const INSIDE = ['ip', 'netns', 'exec', NAMESPACE];
const OPTIONS: readonly (readonly [string, string])[] = [
  ...['write-behind', 'quick-read', 'read-ahead', 'io-cache', 'stat-prefetch', 'open-behind', 'readdir-ahead'].map(
    (name): readonly [string, string] => [`performance.${name}`, 'off'],
  ),
  ['performance.client-io-threads', 'on'],
  ['cluster.self-heal-daemon', 'off'],
  ['client.event-threads', '2'],
  ['server.event-threads', '2'],
];
const DAEMON_BOUND_MS = 30_000;

const run = async (words: readonly string[]): Promise<string> => {
  const [file = '', ...rest] = words;
  return (await promisify(execFile)(file, rest)).stdout;
};

export class Gluster implements System {
  readonly name = 'gluster';
  readonly version: string;
  readonly #directory: string;
  #isMade = false;
  #daemon: Server | null = null;

  constructor(directory: string, version: string) {
    this.version = version;
    this.#directory = path.join(directory, 'gluster');
  }

  async start(): Promise<Running> {
    if (!this.#isMade) await this.#makeNamespace();
    this.#daemon = new Server([
      ...INSIDE,
      'glusterd',
      '--no-daemon',
      '--volfile',
      this.#file('glusterd.vol'),
      '--log-file',
      this.#file('glusterd.log'),
    ]);
    await until(
      'glusterd answers',
      () =>
        this.#gluster('volume', 'list').then(
          () => true,
          () => false,
        ),
      DAEMON_BOUND_MS,
    );
    if (!this.#isMade) await this.#makeVolume();
    this.#isMade = true;
    await this.#gluster('volume', 'start', VOLUME, 'force');
    await until('the bricks run', async () => (await this.#pids()).length >= COPIES, DAEMON_BOUND_MS);
    const target: Target = {
      prefix: INSIDE,
      engine: ['--ioengine=gfapi_async', `--volume=${VOLUME}`, `--brick=${ADDRESS}`, '--filename=data'],
    };
    return { target, socketPath: null, pids: await this.#pids(), countsClient: true };
  }

  async stop(): Promise<void> {
    if (this.#daemon === null) return;
    await this.#gluster('volume', 'stop', VOLUME, 'force').catch(() => undefined);
    await this.#daemon.stop();
    this.#daemon = null;
    for (const pid of await this.#pids('')) process.kill(pid, 'SIGKILL');
  }

  async remove(): Promise<void> {
    await this.stop();
    await run(['ip', 'netns', 'delete', NAMESPACE]).catch(() => undefined);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #file(name: string): string {
    return path.join(this.#directory, name);
  }

  #gluster(...words: string[]): Promise<string> {
    return run([...INSIDE, 'gluster', '--mode=script', ...words]);
  }

  async #makeNamespace(): Promise<void> {
    await run(['ip', 'netns', 'add', NAMESPACE]);
    await run([...INSIDE, 'ip', 'link', 'set', 'lo', 'up']);
    await run([...INSIDE, 'ip', 'address', 'add', `${ADDRESS}/32`, 'dev', 'lo']);
    for (const name of ['work', 'run', 'brick-0', 'brick-1', 'brick-2']) mkdirSync(this.#file(name), { recursive: true });
    const options = [
      'type mgmt/glusterd',
      `option working-directory ${this.#file('work')}`,
      `option run-directory ${this.#file('run')}`,
      'option transport-type socket',
    ];
    writeFileSync(this.#file('glusterd.vol'), ['volume management', ...options.map((line) => `  ${line}`), 'end-volume', ''].join('\n'));
  }

  async #makeVolume(): Promise<void> {
    const bricks = Array.from({ length: COPIES }, (_, index) => `${ADDRESS}:${this.#file(`brick-${index}`)}`);
    await this.#gluster('volume', 'create', VOLUME, 'replica', String(COPIES), ...bricks, 'force');
    for (const [option, value] of OPTIONS) await this.#gluster('volume', 'set', VOLUME, option, value);
  }

  /** What runs in the namespace and is called so. */
  async #pids(name = 'glusterfsd'): Promise<number[]> {
    const inside = (await run(['ip', 'netns', 'pids', NAMESPACE])).split('\n').filter(Boolean).map(Number);
    const running = readdirSync('/proc');
    return inside.filter((pid) => running.includes(String(pid)) && readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith(name));
  }
}
