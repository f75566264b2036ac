/**
 * The simulator for as long as one likes, one worker a core: fresh seeds, counted up from a base that is printed, until something is violated or the
 * time is up.
 *
 *     node test/sim/soak.ts MINUTES=10 [JOBS=2] [SEED=base] [FIXED=60] [STEPS=20000]
 *
 * FIXED: so many runs of the seeds from 1 come first. The first violation ends it, with the command that replays it. Exit codes as of run.ts: 0 all
 * held, 1 an invariant, 3 a crash or a run without end, 4 not healthy in time; 2 cannot be run so.
 */
import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../core/errors.ts';
import { EXIT, exitCodeOf } from './exitCodes.ts';
import type { Outcome } from './simulate.ts';
import { Tally } from './tally.ts';

/** Far more than any run needs; a run without end has failed. What this process itself is held up for does not count. */
const RUN_SECONDS_MAX = 180;
const TELL_EVERY_MS = 30_000;

type Job = { seed: number; steps: number };

function numberOf(words: ReadonlyMap<string, string>, name: string, fallback: number): number {
  const value = Number(words.get(name) || process.env[name] || fallback);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name} must be a number that is not negative`);
  return value;
}

class Soak {
  readonly #steps: number;
  readonly #fixed: number;
  readonly #base: number;
  readonly #endsAtMs: number;
  readonly #startedAtMs = performance.now();
  readonly #tally = new Tally();
  #given = 0;
  #runs = 0;
  #events = 0;
  #virtualMs = 0;
  #blindBlocks = 0;
  exitCode = 0;

  constructor(words: ReadonlyMap<string, string>) {
    this.#steps = numberOf(words, 'STEPS', 20_000);
    this.#fixed = numberOf(words, 'FIXED', 0);
    // Room above it for as many seeds as anybody will ever run.
    this.#base = numberOf(words, 'SEED', 1_000_000 + randomInt(2 ** 31));
    this.#endsAtMs = this.#startedAtMs + numberOf(words, 'MINUTES', 5) * 60_000;
  }

  get beginning(): string {
    const fixed = this.#fixed > 0 ? `seeds 1 to ${this.#fixed}, then ` : '';
    return `${fixed}fresh seeds from ${this.#base}, ${this.#steps} steps each`;
  }

  next(): Job | null {
    const isFixed = this.#given < this.#fixed;
    if (this.exitCode !== 0 || (!isFixed && performance.now() > this.#endsAtMs)) return null;
    const seed = isFixed ? this.#given + 1 : this.#base + this.#given - this.#fixed;
    this.#given++;
    return { seed, steps: this.#steps };
  }

  ended(outcome: Outcome): void {
    this.#runs++;
    this.#events += outcome.events;
    this.#virtualMs += outcome.virtualMs;
    this.#blindBlocks += outcome.blindBlocks;
    this.#tally.add(outcome.faults);
    const { violation } = outcome;
    if (violation) this.failed(outcome.options.seed, exitCodeOf(violation), `${violation.checker} violated: ${violation.message}`);
  }

  failed(seed: number, exitCode: number, what: string): void {
    process.stdout.write(`seed ${seed}: ${what}\n  replay: make sim SEED=${seed} STEPS=${this.#steps} TRACE=1\n`);
    this.exitCode ||= exitCode;
  }

  summary(): string {
    const seconds = (performance.now() - this.#startedAtMs) / 1_000;
    const faults = Object.entries(this.#tally.counts).map(([kind, count]) => `${kind} ${count}`);
    const perSecond = Math.round(this.#events / seconds);
    return (
      `${this.#runs} seeds in ${Math.round(seconds)} s: ${this.#events} events, ${perSecond} a second, ${Math.round(this.#virtualMs / 60_000)} virtual minutes, ` +
      `${this.#blindBlocks} blocks lost sight of\nfaults: ${faults.join(', ')}`
    );
  }
}

/** Works off seeds one after the other. Resolves when there are no more. */
function work(soak: Soak): Promise<void> {
  return new Promise((resolve) => {
    const worker = new Worker(path.join(import.meta.dirname, 'soakWorker.ts'));
    let job: Job | null = null;
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      clearInterval(timer);
      void worker.terminate().then(() => resolve());
    };
    const giveNext = () => {
      clearInterval(timer);
      job = soak.next();
      if (!job) return end();
      const { seed } = job;
      let secondsLeft = RUN_SECONDS_MAX;
      timer = setInterval(() => {
        if (--secondsLeft > 0) return;
        soak.failed(seed, EXIT.crash, `does not end within ${RUN_SECONDS_MAX} s`);
        end();
      }, 1_000);
      worker.postMessage(job);
    };
    worker.on('message', (outcome: Outcome) => {
      soak.ended(outcome);
      giveNext();
    });
    worker.once('error', (error) => {
      soak.failed(job?.seed ?? 0, EXIT.crash, `the worker crashed: ${error.stack ?? messageOf(error)}`);
      end();
    });
    giveNext();
  });
}

async function main(): Promise<number> {
  const words = new Map(process.argv.slice(2).map((word) => [word.split('=')[0] ?? '', word.slice(word.indexOf('=') + 1)] as const));
  const soak = new Soak(words);
  const jobs = Math.max(1, Math.floor(numberOf(words, 'JOBS', availableParallelism())));
  process.stdout.write(`${soak.beginning}, ${jobs} at a time\n`);
  const telling = setInterval(() => process.stdout.write(`${soak.summary().split('\n')[0]}\n`), TELL_EVERY_MS);
  await Promise.all(Array.from({ length: jobs }, () => work(soak)));
  clearInterval(telling);
  process.stdout.write(`${soak.summary()}\n${soak.exitCode === 0 ? 'all held' : 'FAILED'}\n`);
  return soak.exitCode;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 2;
}
