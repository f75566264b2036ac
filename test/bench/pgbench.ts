/**
 * `make bench-pgbench`: PostgreSQL on a mounted volume, TPC-B like, on Holdfast and beside it on qemu's quorum and on one plain copy, each mounted by the same code as
 * a claim (`mountedVolume.ts`). One system at a time, in rotating order; the same database, copied onto each. Judges by the goal, leaves nothing behind.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { growingExportOf } from '../../agent/nbd/negotiate.ts';
import { Database, findPostgres } from '../csi/database.ts';
import { cpuMicroseconds } from './cpu.ts';
import type { SystemName } from './goals.ts';
import { commit, load, machine, versionOf } from './machine.ts';
import { untilQuiet } from './measure.ts';
import { MountedVolume } from './mountedVolume.ts';
import { type PgbenchOptions, parsePgbenchOptions } from './options.ts';
import { rotated } from './statistics.ts';
import { Holdfast, HoldfastVolume, VOLUME } from './systems/holdfast.ts';
import { Quorum } from './systems/quorum.ts';
import { SingleCopy } from './systems/single.ts';
import type { Running, System } from './systems/system.ts';
import { parseTransactions, type TransactionSample, transactionGoal, transactionTable } from './transactions.ts';

const say = (line: string): void => console.error(line);

function makeSystems(directory: string, { systems, sizeBytes, agentEnvironment }: PgbenchOptions): System[] {
  const nbdkit = versionOf('nbdkit') ?? '';
  const volume = new HoldfastVolume(sizeBytes, agentEnvironment);
  // The holder asks for the export that grows.
  const exported = growingExportOf(VOLUME);
  const make: Partial<Record<SystemName, () => System>> = {
    single: () => new SingleCopy(directory, sizeBytes, nbdkit),
    quorum: () => new Quorum(directory, sizeBytes, `${versionOf('qemu-nbd')}, ${nbdkit}`, exported),
    holdfast: () => new Holdfast('holdfast', volume, 'this commit'),
    'holdfast-tls': () => new Holdfast('holdfast-tls', volume, 'this commit'),
  };
  return systems.flatMap((name) => make[name]?.() ?? []);
}

class Bench {
  readonly #options: PgbenchOptions;
  readonly #directory: string;
  readonly #bin = findPostgres();
  readonly #volumes = new Map<string, MountedVolume>();

  constructor(options: PgbenchOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
  }

  /** The database that each gets a copy of. */
  async prepare(): Promise<void> {
    const template = this.#database('template', this.#make('template/mount'));
    template.create(this.#options.scale);
    await template.stop();
  }

  async turn(system: System): Promise<TransactionSample> {
    const running = await system.start();
    try {
      await untilQuiet(running);
      return await this.#onVolume(system.name, running);
    } finally {
      await system.stop();
    }
  }

  async #onVolume(name: SystemName, running: Running): Promise<TransactionSample> {
    const volume = this.#volumeOf(name);
    try {
      await volume.mount(running.socketPath ?? '');
      chmodSync(volume.path, 0o755);
      this.#fill(volume);
      const database = this.#database(name, volume.path);
      database.start();
      try {
        return await this.#measure(database, running, volume);
      } finally {
        await database.stop();
      }
    } finally {
      await volume.unmount();
    }
  }

  async #measure(database: Database, { pids }: Running, volume: MountedVolume): Promise<TransactionSample> {
    const { warmUpSeconds, seconds, clients } = this.#options;
    await database.measure(warmUpSeconds, clients);
    // What came before is written out, and no checkpoint of it falls into what is measured.
    database.query('CHECKPOINT');
    this.#writeOut(volume);
    const before = [cpuMicroseconds(pids), cpuMicroseconds(volume.pids)] as const;
    const transactions = parseTransactions(await database.measure(seconds, clients));
    return {
      ...transactions,
      systemCpuMicroseconds: cpuMicroseconds(pids) - before[0],
      deviceCpuMicroseconds: cpuMicroseconds(volume.pids) - before[1],
    };
  }

  /** With and without TLS it is the same volume. */
  #volumeOf(name: SystemName): MountedVolume {
    const own = name === 'holdfast-tls' ? 'holdfast' : name;
    const known = this.#volumes.get(own) ?? new MountedVolume(this.#make(`on-${own}`), this.#options.sizeBytes);
    this.#volumes.set(own, known);
    return known;
  }

  #fill({ path: mount }: MountedVolume): void {
    // What is there is this system's own, from the repetition before.
    if (existsSync(path.join(mount, 'data'))) return;
    execFileSync('cp', ['--archive', path.join(this.#directory, 'template/mount/data'), mount]);
    execFileSync('sync', ['--file-system', mount]);
  }

  /** Of the two file systems that matter: `sync` would wait for every other one of the machine, and for ever where a device of somebody else hangs. */
  #writeOut({ path: mount }: MountedVolume): void {
    execFileSync('sync', ['--file-system', mount, this.#directory]);
  }

  #database(name: string, mount: string): Database {
    return new Database(this.#bin, mount, this.#make(`${name}-work`));
  }

  #make(name: string): string {
    const directory = path.join(this.#directory, name);
    mkdirSync(directory, { recursive: true });
    // PostgreSQL's own user passes through it.
    for (const one of [path.dirname(directory), directory]) chmodSync(one, 0o755);
    if (name === 'template/mount') execFileSync('chown', ['postgres:postgres', directory]);
    return directory;
  }
}

async function run(options: PgbenchOptions, directory: string): Promise<void> {
  const systems = makeSystems(directory, options);
  const samples = new Map<SystemName, TransactionSample[]>(systems.map(({ name }) => [name, []]));
  const bench = new Bench(options, directory);
  try {
    await bench.prepare();
    for (let repetition = 0; repetition < options.repetitions; repetition++) {
      for (const system of rotated(systems, repetition)) {
        const sample = await bench.turn(system);
        samples.get(system.name)?.push(sample);
        say(
          `${repetition + 1} ${system.name}: ${Math.round(sample.perSecond)} transactions a second, ${sample.latencyMs} ms, load ${load()}`,
        );
      }
    }
  } finally {
    for (const system of systems) await system.remove();
  }
  console.log([transactionTable(samples), '', transactionGoal(samples)].join('\n'));
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
const options = parsePgbenchOptions(process.env);
const directory = mkdtempSync(path.join(tmpdir(), 'hf-pgbench-'));
chmodSync(directory, 0o755);
try {
  const { scale, clients, repetitions, seconds, warmUpSeconds, sizeBytes } = options;
  console.log(`Commit ${commit()}, ${new Date().toISOString()}, load before: ${load()}\n\n${machine(directory)}\n`);
  console.log(
    `${versionOf(path.join(findPostgres(), 'postgres'))}, pgbench TPC-B like, scale ${scale}, ${clients} clients: ${repetitions} repetitions of ${seconds} s, each behind ${warmUpSeconds} s of warm-up and a checkpoint; volumes of ${sizeBytes / 2 ** 20} MiB, ext4, by nbdkit's retry filter, nbdfuse and a loop device.\n`,
  );
  await run(options, directory);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
