/**
 * A client that is none of ours: fio writes at random and verifies what it wrote, behind nbdkit's retry filter, which connects again and sends again what was not
 * answered, as a kernel's client does. So an answer with an error, a write that came to nothing or came late, and one that is gone are all found by fio.
 * Must never know what went on: it sees one device, and it is the socket's link that follows the volume.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { renameSync, rmSync, symlinkSync } from 'node:fs';

const BLOCKS_BYTES = 8 * 1024 * 1024;
const LOOK_MS = 200;
/** Of it, fio may be late: what it waits for at its end is answered when the last fault is over. */
const LATE_MS = 180_000;
const OUTPUT_CHARACTERS_MAX = 4_000;
/** A second between tries: longer than any fault lasts, and than what follows it. */
const RETRIES = 600;
/** Of a first connection, which the filter does not try again: the agent may be restarting just then. */
const CONNECT_SECONDS = 60;

/** Where the volume is served; null while nobody says so. */
type ServedAt = () => Promise<string | null>;

export class FioWriter {
  /** It counts by itself, and says nothing until it ends. */
  readonly acknowledged = 0;
  readonly #link: string;
  readonly #servedAt: ServedAt;
  readonly #endMs: number;
  readonly #durationMs: number;
  #child: ChildProcess | null = null;
  #ended: Promise<string[]> = Promise.resolve(['fio was not started']);
  #looking: NodeJS.Timeout | null = null;
  #target = '';

  /** `link`: a path for the link; its directory is the caller's. */
  constructor(link: string, servedAt: ServedAt, durationMs: number) {
    this.#link = link;
    this.#servedAt = servedAt;
    this.#durationMs = durationMs;
    this.#endMs = performance.now() + durationMs + LATE_MS;
  }

  begin(socket: string): void {
    this.#follow(socket);
    this.#looking = setInterval(() => void this.#look(), LOOK_MS);
    const seconds = Math.ceil(this.#durationMs / 1000);
    const work = `--rw=randwrite --bs=4k --size=${BLOCKS_BYTES} --iodepth=4 --rate_iops=15 --time_based --runtime=${seconds}`;
    const verify = '--verify=crc32c --verify_fatal=1 --verify_state_save=0 --verify_backlog=64';
    const fio = `fio --name=chaos --ioengine=nbd --uri="$uri" ${work} ${verify}`;
    const retry = [
      '--filter=retry',
      'nbd',
      `socket=${this.#link}`,
      `retries=${RETRIES}`,
      'retry-delay=1',
      'retry-exponential=no',
      `retry=${CONNECT_SECONDS}`,
    ];
    const child = spawn('nbdkit', ['-U', '-', ...retry, '--run', fio], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.#child = child;
    process.once('exit', this.close);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text: Buffer) => {
        output = (output + text.toString()).slice(-OUTPUT_CHARACTERS_MAX);
      });
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => resolve([`fio could not be started: ${error.message}`]));
      child.once('close', (code) => resolve(code === 0 && /err= *0/.test(output) ? [] : [`fio ended with ${code}: ${output}`]));
    });
  }

  /** It has no number that could be waited for; whether it came to its end is asked by `faults`. */
  untilMore(): Promise<void> {
    return Promise.resolve();
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  /** Waits for its end: all that it wrote was verified. */
  async faults(): Promise<string[]> {
    const late = new AbortController();
    const isLate = new Promise<string[]>((resolve) => {
      const timer = setTimeout(
        () => resolve([`fio has not come to its end ${LATE_MS / 1000} s late`]),
        Math.max(0, this.#endMs - performance.now()),
      );
      late.signal.addEventListener('abort', () => clearTimeout(timer));
    });
    try {
      return await Promise.race([this.#ended, isLate]);
    } finally {
      late.abort();
      this.close();
    }
  }

  readonly close = (): void => {
    process.off('exit', this.close);
    if (this.#looking !== null) clearInterval(this.#looking);
    this.#looking = null;
    if (this.#child?.pid !== undefined && this.#child.exitCode === null) process.kill(-this.#child.pid, 'SIGKILL');
    this.#child = null;
    rmSync(this.#link, { force: true });
  };

  async #look(): Promise<void> {
    const socket = await this.#servedAt();
    if (socket !== null && this.#looking !== null) this.#follow(socket);
  }

  /** In one step: nobody finds no link. */
  #follow(socket: string): void {
    if (socket === this.#target) return;
    this.#target = socket;
    const next = `${this.#link}.next`;
    rmSync(next, { force: true });
    symlinkSync(socket, next);
    renameSync(next, this.#link);
  }
}
