/**
 * The demo's work where nothing can be mounted: an ext4 image with real files is copied in, and behind it blocks of 4 KiB, each of a pattern of
 * its own, are written and flushed one by one by qemu-io, which acknowledges each.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { LocalClusterError } from '../local/errors.ts';
import { CHECKOUT } from '../local/layout.ts';
import { waitFor } from '../local/wait.ts';
import { run } from './run.ts';
import { onLines, troubleOf, type Verdict, type Work } from './work.ts';

const BLOCK_BYTES = 4096;
const IMAGE_BYTES = 64 * 1024 * 1024;
/** Blocks that the writer goes over before it begins again: more than it can write in the time. */
const BLOCKS_MAX = 100_000;
const ENDS_BOUND_MS = 15_000;
/** Commands given to qemu-io ahead of its answers. */
const AHEAD = 4;

const address = (socket: string): string => `nbd+unix:///?socket=${socket}`;
const patternOf = (number: number): number => (number % 251) + 1;
const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export class ImageWork implements Work {
  readonly unit = 'writes';
  readonly description: string;
  readonly acknowledged = new Map<number, string>();
  readonly #directory: string;
  #imageDigest = '';
  #writer: ChildProcess | null = null;
  #trouble: () => string | null = () => null;

  constructor(directory: string, why: string) {
    this.#directory = directory;
    this.description = `ext4 image copied in, blocks written and flushed (nothing is mounted: ${why})`;
  }

  get trouble(): string | null {
    return this.#trouble();
  }

  async prepare(socket: string): Promise<void> {
    const image = path.join(this.#directory, 'image');
    writeFileSync(image, '');
    truncateSync(image, IMAGE_BYTES);
    await run('mke2fs', '-q', '-t', 'ext4', '-d', path.join(CHECKOUT, 'core'), image);
    this.#imageDigest = this.#digestOfImage(image);
    await run('nbdcopy', '--flush', image, address(socket));
    rmSync(image);
  }

  async begin(socket: string): Promise<void> {
    let given = this.acknowledged.size;
    const writer = spawn('qemu-io', ['-f', 'raw', `nbd:unix:${socket}`], { stdio: ['pipe', 'pipe', 'pipe'] });
    writer.stdin.on('error', () => undefined); // it ends when the volume does; what it acknowledged until then counts
    const give = () => {
      for (; given < this.acknowledged.size + AHEAD && given < BLOCKS_MAX; given++) {
        writer.stdin.write(`write -P ${patternOf(given + 1)} ${IMAGE_BYTES + given * BLOCK_BYTES} ${BLOCK_BYTES}\nflush\nlength\n`);
      }
    };
    let isWritten = false;
    onLines(writer.stdout, (line) => {
      if (line.includes(`wrote ${BLOCK_BYTES}/${BLOCK_BYTES}`)) isWritten = true;
      // `length` answers after a flush that worked or not: only one without an error before it counts.
      if (line.includes('failed') || line.includes('error')) isWritten = false;
      if (!/^(qemu-io> )*[0-9.]+ [KMG]?i?B/.test(line) || !isWritten) return;
      isWritten = false;
      const number = this.acknowledged.size + 1;
      this.acknowledged.set(number, digestOf(Buffer.alloc(BLOCK_BYTES, patternOf(number))));
      give();
    });
    this.#writer = writer;
    this.#trouble = troubleOf(writer);
    give();
  }

  async end(): Promise<void> {
    const writer = this.#writer;
    this.#writer = null;
    if (!writer) return;
    writer.kill('SIGKILL');
    await waitFor('the end of the writer', ENDS_BOUND_MS, async () =>
      writer.exitCode !== null || writer.signalCode !== null ? { value: true } : { reason: 'it still runs' },
    );
  }

  async check(socket: string): Promise<Verdict> {
    const copy = path.join(this.#directory, 'copy');
    await run('nbdcopy', address(socket), copy);
    try {
      if (this.#digestOfImage(copy) !== this.#imageDigest) throw new LocalClusterError('The file system image is not what was copied in.');
      truncateSync(copy, IMAGE_BYTES + BLOCKS_MAX * BLOCK_BYTES);
      const lost = [...this.acknowledged].filter(([number, digest]) => digestOf(this.#block(copy, number)) !== digest);
      return { lost: lost.map(([number]) => number), soundness: 'the image is unchanged' };
    } finally {
      rmSync(copy, { force: true });
    }
  }

  #block(file: string, number: number): Buffer {
    return this.#read(file, IMAGE_BYTES + (number - 1) * BLOCK_BYTES, BLOCK_BYTES);
  }

  #digestOfImage(file: string): string {
    return digestOf(this.#read(file, 0, IMAGE_BYTES));
  }

  #read(file: string, offsetBytes: number, lengthBytes: number): Buffer {
    const descriptor = openSync(file, 'r');
    try {
      const bytes = Buffer.alloc(lengthBytes);
      readSync(descriptor, bytes, 0, lengthBytes, offsetBytes);
      return bytes;
    } finally {
      closeSync(descriptor);
    }
  }
}
