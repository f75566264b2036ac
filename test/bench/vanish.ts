/**
 * How long a writer waits when a replica's host is gone without a word: its agent runs in a network namespace of its own, and from one moment on every frame
 * between the two is lost in both directions, etcd's too. Nothing is refused or reset, no route changes: both ends still send, to an address that nobody has.
 *
 * The rest runs in a namespace, too, made for it: this file is a program that `unshare` starts, which prints its lines as JSON.
 */
import { execFile, execFileSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DEFAULT_SETTINGS } from '../../core/settings.ts';
import { type Options, parseOptions } from './options.ts';
import type { Line } from './report.ts';
import { spreadOf } from './statistics.ts';
import { HoldfastCluster, NODES } from './systems/holdfast.ts';
import { Writer } from './writer.ts';

const VOLUME_BYTES = 256 * 1024 * 1024;
const ALLOWED_BEYOND_TIMEOUT_MS = 200;
const WATCH_MS = DEFAULT_SETTINGS.replicaTimeoutMs + 2_000;
const RETURN_BOUND_MS = 60_000;
/** A block that is kept for documentation: nobody's. */
const HERE = '192.0.2.1';
const THERE = '192.0.2.2';
const NAMESPACE = `hf-vanish-${process.pid}`;
const INSIDE = ['ip', 'netns', 'exec', NAMESPACE];
/** Locally administered, and no card's: frames to it reach nobody. */
const NOBODY = '02:00:00:00:00:01';
const OUTPUT_BYTES_MAX = 1024 * 1024;

const run = (...[file = '', ...words]: string[]): string => execFileSync(file, words, { encoding: 'utf8' });

export async function measureVanish(say: (line: string) => void): Promise<Line[]> {
  const words = ['--net', process.execPath, path.resolve(import.meta.dirname, 'vanish.ts')];
  const running = promisify(execFile)('unshare', words, { maxBuffer: OUTPUT_BYTES_MAX });
  running.child.stderr?.on('data', (text: Buffer) => say(text.toString().trimEnd()));
  return JSON.parse((await running).stdout) as Line[];
}

class Wire {
  readonly #cards: readonly { words: readonly string[]; card: string; other: string; address: string }[];

  constructor() {
    run('ip', 'link', 'set', 'lo', 'up');
    run('ip', 'netns', 'add', NAMESPACE);
    run('ip', 'link', 'add', 'here', 'type', 'veth', 'peer', 'name', 'there', 'netns', NAMESPACE);
    run('ip', 'address', 'add', `${HERE}/30`, 'dev', 'here');
    run('ip', 'link', 'set', 'here', 'up');
    run(...INSIDE, 'ip', 'link', 'set', 'lo', 'up');
    run(...INSIDE, 'ip', 'address', 'add', `${THERE}/30`, 'dev', 'there');
    run(...INSIDE, 'ip', 'link', 'set', 'there', 'up');
    const addressOf = (...words: string[]) =>
      run(...words)
        .trim()
        .split(/\s+/)[2] ?? '';
    this.#cards = [
      { words: [], card: 'here', other: THERE, address: addressOf(...INSIDE, 'ip', '-br', 'link', 'show', 'there') },
      { words: INSIDE, card: 'there', other: HERE, address: addressOf('ip', '-br', 'link', 'show', 'here') },
    ];
  }

  cut(): void {
    for (const { words, card, other } of this.#cards) this.#neighbour(words, card, other, NOBODY);
  }

  mend(): void {
    for (const { words, card, other, address } of this.#cards) this.#neighbour(words, card, other, address);
  }

  remove(): void {
    run('ip', 'netns', 'delete', NAMESPACE);
  }

  #neighbour(words: readonly string[], card: string, other: string, address: string): void {
    run(...words, 'ip', 'neigh', 'replace', other, 'lladdr', address, 'dev', card, 'nud', 'permanent');
  }
}

async function measureInside(options: Options, say: (line: string) => void): Promise<Line[]> {
  const wire = new Wire();
  const vanishing = NODES.at(-1) ?? '';
  const cluster = await HoldfastCluster.open(options.agentEnvironment, HERE);
  cluster.agents.place(vanishing, { words: INSIDE, environment: { REPLICATION_LISTEN: `${THERE}:0`, HTTP_LISTEN: `${THERE}:0` } });
  try {
    await cluster.start('off');
    const config = await cluster.leader.createVolume('vanish', NODES, VOLUME_BYTES);
    const writer = await Writer.open(await cluster.serve(config), config.name, VOLUME_BYTES);
    const stalls: number[] = [];
    for (let repetition = 0; repetition < options.repetitions; repetition++) {
      await sleep(1_000);
      const sinceMs = performance.now();
      wire.cut();
      await sleep(WATCH_MS);
      stalls.push(writer.longestSince(sinceMs));
      say(`${vanishing} vanished: the writer waited ${stalls.at(-1)?.toFixed(1)} ms`);
      wire.mend();
      await cluster.untilInSync(config, NODES.length, RETURN_BOUND_MS);
    }
    await writer.stop();
    return [lineOf(stalls)];
  } finally {
    wire.mend();
    await cluster.stop();
    await cluster.remove();
    wire.remove();
  }
}

function lineOf(stallsMs: readonly number[]): Line {
  const { median, least, most } = spreadOf(stallsMs);
  const wantedMs = DEFAULT_SETTINGS.replicaTimeoutMs + ALLOWED_BEYOND_TIMEOUT_MS;
  return {
    what: `a replica's host vanishes: longest wait of a writer, of ${stallsMs.length}`,
    measured: `${Math.round(most)} ms (median ${Math.round(median)}, least ${Math.round(least)})`,
    wanted: `< replicaTimeoutMs + ${ALLOWED_BEYOND_TIMEOUT_MS} = ${wantedMs} ms`,
    isMet: most < wantedMs,
  };
}

if (process.argv[1] === import.meta.filename)
  console.log(JSON.stringify(await measureInside(parseOptions(process.env), (line) => console.error(line))));
