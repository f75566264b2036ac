/**
 * The emulated machine: started, watched, ended. Its own clock says nothing of how long something takes here, so each line is shown with the seconds that have passed
 * and those that it has computed. Must never end one that is only slow: what counts is what it has computed since it last said something.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from './parts.ts';

const MEMORY_MIB = 3072;
const MINUTES_MAX = 40;
/** Waiting costs it nothing, so that one that computes and says nothing for so long goes round in circles. The longest that is not is its start: 20 s. */
const SILENT_COMPUTED_SECONDS_MAX = 180;
/** Nobody who waits is left to wonder. */
const TELL_SILENCE_SECONDS = 60;
const LOOK_EVERY_MS = 1_000;
const SAMPLES = 5;
const LAST_WORDS_MS = 20_000;
const ANSWER_MS_MAX = 5_000;
/** Of the kernel's clock in /proc. */
const TICKS_PER_SECOND = 100;
/** What the last line of a guest says that found all well. */
const WELL = 'guest ended with 0';

export type Machine = { kernel: string; image: string; directory: string; append: string };

/** What it says on its serial line is shown; whether all was well. */
export async function boot({ kernel, image, directory, append }: Machine): Promise<boolean> {
  // Its time is what it has computed, not what has passed here: however busy this machine is, nothing there is late; and what it sleeps costs nothing.
  const time = ['-accel', 'tcg,thread=single', '-icount', 'shift=1,sleep=off'];
  const machine = ['-machine', 'q35', ...time, '-cpu', 'max', '-smp', '1', '-m', `${MEMORY_MIB}`, '-nodefaults'];
  const monitor = path.join(directory, 'monitor');
  const words = ['-no-reboot', '-display', 'none', '-serial', 'stdio', '-monitor', `unix:${monitor},server,nowait`];
  // At an NMI, which is asked for where it goes round in circles, the kernel says what it was at, and ends.
  const kernelWords = `console=ttyS0 panic=-1 unknown_nmi_panic rdinit=/init ${append}`;
  const started = [...machine, ...words, '-kernel', kernel, '-initrd', image, '-append', kernelWords];
  const child = spawn(findProgram('qemu-system-x86_64'), started, { stdio: ['ignore', 'pipe', 'inherit'] });
  const end = () => child.kill('SIGKILL');
  process.once('SIGINT', end);
  try {
    return await watched(child, monitor);
  } finally {
    process.off('SIGINT', end);
    end();
  }
}

async function watched(child: ChildProcess, monitor: string): Promise<boolean> {
  const watch = new Watch(child);
  let isWell = false;
  let isRunning = true;
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  }).finally(() => {
    isRunning = false;
  });
  if (child.stdout === null) throw new Error('no pipe');
  createInterface({ input: child.stdout }).on('line', (line) => {
    watch.says(line);
    isWell ||= line.includes(WELL);
  });
  while (isRunning) {
    await Promise.race([ended, sleep(LOOK_EVERY_MS)]);
    const trouble = watch.trouble();
    if (trouble === null) continue;
    watch.tells(`FAILED: ${trouble}`);
    await explain(watch, monitor);
    child.kill('SIGKILL');
    await ended;
    return false;
  }
  await ended;
  watch.tells('ended');
  return isWell;
}

class Watch {
  readonly #child: ChildProcess;
  readonly #beganMs = performance.now();
  #computedSeconds = 0;
  /** When it last said something. */
  #spoke = { atSeconds: 0, computedSeconds: 0 };
  #toldSeconds = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  says(line: string): void {
    this.tells(line);
    this.#spoke = { atSeconds: this.#passedSeconds, computedSeconds: this.#computedSeconds };
    this.#toldSeconds = this.#passedSeconds;
  }

  tells(line: string): void {
    this.#look();
    process.stdout.write(
      `${this.#passedSeconds.toFixed(0).padStart(4)} s, computed ${this.#computedSeconds.toFixed(0).padStart(4)} s: ${line}\n`,
    );
  }

  /** Null: it may go on. */
  trouble(): string | null {
    this.#look();
    const silentSeconds = this.#passedSeconds - this.#spoke.atSeconds;
    const computedSeconds = this.#computedSeconds - this.#spoke.computedSeconds;
    if (computedSeconds > SILENT_COMPUTED_SECONDS_MAX) return `it has computed ${computedSeconds.toFixed(0)} s and said nothing`;
    if (this.#passedSeconds > MINUTES_MAX * 60) return `not done within ${MINUTES_MAX} minutes`;
    if (this.#passedSeconds - this.#toldSeconds < TELL_SILENCE_SECONDS) return null;
    this.#toldSeconds = this.#passedSeconds;
    this.tells(`(nothing said for ${silentSeconds.toFixed(0)} s, in which it could compute ${computedSeconds.toFixed(0)} s)`);
    return null;
  }

  get #passedSeconds(): number {
    return (performance.now() - this.#beganMs) / 1_000;
  }

  /** The processor's time of all its threads. */
  #look(): void {
    try {
      const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
      const [, , , , , , , , , , , user, system] = stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number);
      this.#computedSeconds = ((user ?? 0) + (system ?? 0)) / TICKS_PER_SECOND;
    } catch {
      // It has ended: what it had computed before is the last that is known.
    }
  }
}

/** Where it is, some times, and what its kernel says of itself at an NMI. */
async function explain(watch: Watch, monitor: string): Promise<void> {
  for (let sample = 0; sample < SAMPLES; sample++) {
    const answer = await asked(monitor, 'info status', 'info registers').catch(String);
    watch.tells(answer.match(/VM status: \w+|RIP=\w+|HLT=\d/g)?.join(' ') ?? answer.trim());
    await sleep(LOOK_EVERY_MS);
  }
  await asked(monitor, 'nmi').catch((error: unknown) => watch.tells(String(error)));
  await sleep(LAST_WORDS_MS);
}

/** All that its monitor says to these commands. */
function asked(monitor: string, ...commands: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    const socket = connect(monitor);
    socket.setTimeout(ANSWER_MS_MAX, () => socket.destroy(new Error(`its monitor does not answer: ${said}`)));
    socket.on('data', (chunk) => {
      said += chunk.toString();
      // A prompt before each command, and one behind the last.
      if (said.split('(qemu)').length > commands.length + 1) socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(said));
    socket.write(commands.map((command) => `${command}\n`).join(''));
  });
}
