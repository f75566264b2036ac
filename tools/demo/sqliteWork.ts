/** The demo's work as root: ext4 mounted on the volume, SQLite committing in it. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { LocalClusterError } from '../local/errors.ts';
import { waitFor } from '../local/wait.ts';
import { readLedger } from './commits.ts';
import { MountedVolume } from './mountedVolume.ts';
import { onLines, troubleOf, type Verdict, type Work } from './work.ts';

const COMMITS = path.join(import.meta.dirname, 'commits.ts');
const ENDS_BOUND_MS = 15_000;

export class SqliteWork implements Work {
  readonly unit = 'commits';
  readonly description = 'ext4 mounted, SQLite committing';
  readonly acknowledged = new Map<number, string>();
  readonly #directory: string;
  #volume: MountedVolume | null = null;
  #writer: ChildProcess | null = null;
  #trouble: () => string | null = () => null;
  #mounts = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  get trouble(): string | null {
    return this.#trouble();
  }

  async prepare(socket: string): Promise<void> {
    this.#volume = await this.#mount(socket, true);
  }

  async begin(socket: string): Promise<void> {
    this.#volume ??= await this.#mount(socket, false);
    const first = Math.max(0, ...this.acknowledged.keys()) + 1;
    const writer = spawn(process.execPath, ['--no-warnings', COMMITS, this.#database, String(first)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onLines(writer.stdout, (line) => {
      const [number, digest] = line.split(' ');
      if (digest) this.acknowledged.set(Number(number), digest);
    });
    this.#writer = writer;
    this.#trouble = troubleOf(writer);
  }

  async end(): Promise<void> {
    const writer = this.#writer;
    this.#writer = null;
    if (writer) {
      writer.kill('SIGKILL');
      await waitFor('the end of the writer', ENDS_BOUND_MS, async () =>
        writer.exitCode !== null || writer.signalCode !== null ? { value: true } : { reason: 'it still runs' },
      );
    }
    await this.#volume?.unmount();
    this.#volume = null;
  }

  async check(socket: string): Promise<Verdict> {
    this.#volume ??= await this.#mount(socket, false);
    const { verdict, digests } = readLedger(this.#database);
    if (verdict !== 'ok') throw new LocalClusterError(`SQLite finds its database damaged: ${verdict}`);
    const lost = [...this.acknowledged].filter(([number, digest]) => digests.get(number) !== digest).map(([number]) => number);
    return { lost, soundness: 'the database is sound' };
  }

  get #database(): string {
    if (!this.#volume) throw new Error('nothing is mounted');
    return path.join(this.#volume.directory, 'ledger.db');
  }

  #mount(socket: string, format: boolean): Promise<MountedVolume> {
    this.#mounts++;
    return MountedVolume.open(this.#directory, `m${this.#mounts}`, socket, { format });
  }
}
