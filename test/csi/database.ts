/** A real PostgreSQL in a directory, and pgbench against it: what it was told is committed is counted by pgbench's own log. Never as root, which PostgreSQL refuses. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const INSTALLED = '/usr/lib/postgresql';
const CLIENTS = 4;
const TABLE = 'CREATE TABLE IF NOT EXISTS told (run int, client int, n int, PRIMARY KEY (run, client, n))';
/** One transaction each: a client's numbers rise by one with every commit that it was told. */
const SCRIPT = String.raw`\set n :n + 1
INSERT INTO told VALUES (:run, :client_id, :n);
`;

/** Where Debian has the newest one; throws where there is none. */
export function findPostgres(): string {
  const versions = existsSync(INSTALLED) ? readdirSync(INSTALLED) : [];
  const [newest] = versions.sort((one, other) => Number(other) - Number(one));
  if (newest === undefined) throw new Error('PostgreSQL is needed and not installed: apt-get install postgresql');
  return path.join(INSTALLED, newest, 'bin');
}

const idOf = (flag: '-u' | '-g'): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));

export class Database {
  readonly #bin: string;
  readonly #data: string;
  /** Socket and logs: not on the volume. */
  readonly #work: string;
  readonly #user = { uid: idOf('-u'), gid: idOf('-g') };
  #server: ChildProcess | null = null;

  constructor(bin: string, mount: string, work: string) {
    this.#bin = bin;
    this.#data = path.join(mount, 'data');
    this.#work = work;
    chownSync(work, this.#user.uid, this.#user.gid);
  }

  create(scale: number): void {
    mkdirSync(this.#data);
    chownSync(this.#data, this.#user.uid, this.#user.gid);
    this.#run('initdb', '--pgdata', this.#data, '--data-checksums', '--auth=trust', '--no-locale', '--encoding=UTF8');
    this.start();
    this.#run('pgbench', ...this.#at, '--initialize', '--quiet', `--scale=${scale}`);
    this.query(TABLE);
  }

  /** Until it takes connections: after a crash that is after its recovery. */
  start(): void {
    const options = ['-D', this.#data, '-k', this.#work, '-c', 'listen_addresses=', '-c', 'checkpoint_timeout=30s'];
    const log = path.join(this.#work, 'postgres.log');
    this.#server = spawn('sh', ['-c', 'exec "$0" "$@" >> "$LOG" 2>&1', path.join(this.#bin, 'postgres'), ...options], {
      ...this.#user,
      stdio: 'ignore',
      env: { ...process.env, LOG: log },
    });
    for (let attempt = 0; ; attempt++) {
      try {
        this.query('SELECT 1');
        return;
      } catch (error) {
        if (attempt > 120) throw new Error(`PostgreSQL does not start: ${readFileSync(log, 'utf8').slice(-2_000)}`, { cause: error });
        execFileSync('sleep', ['0.5']);
      }
    }
  }

  stop(): Promise<void> {
    return this.#end('SIGINT');
  }

  /** As if its node were gone: nothing is written any more. */
  kill(): Promise<void> {
    for (const pid of this.#children()) killIfThere(pid);
    return this.#end('SIGKILL');
  }

  query(sql: string): string {
    return this.#run('psql', ...this.#at, '--no-psqlrc', '--tuples-only', '--no-align', '--command', sql, 'postgres').trim();
  }

  /** `told`: of each client how many commits it was told of, when it has ended. */
  write(run: number, seconds: number): Writing {
    const name = `run-${run}`;
    const script = path.join(this.#work, 'told.sql');
    writeFileSync(script, SCRIPT);
    const words = ['--no-vacuum', `--client=${CLIENTS}`, `--time=${seconds}`, '--file', script, '--define=n=0', `--define=run=${run}`];
    return new Writing(this.#bench(name, [...words, '--log', `--log-prefix=${path.join(this.#work, name)}`]), this.#work, name);
  }

  /** TPC-B like, beside: accounts, tellers, branches and history must agree in the end. */
  trade(seconds: number): Promise<string> {
    return ended(this.#bench('trade', ['--no-vacuum', '--client=2', `--time=${seconds}`]));
  }

  /** TPC-B like, with nothing beside it: what pgbench says of it. */
  async measure(seconds: number, clients: number): Promise<string> {
    const trouble = await ended(this.#bench('measure', ['--no-vacuum', `--client=${clients}`, `--time=${seconds}`]));
    const output = readFileSync(path.join(this.#work, 'measure.out'), 'utf8');
    if (trouble !== '') throw new Error(`${trouble}: ${output.slice(-2_000)}`);
    return output;
  }

  /** What is wrong; empty: nothing. */
  check(runs: ReadonlyMap<number, readonly number[]>): string[] {
    const problems: string[] = [];
    for (const [run, told] of runs) {
      if (told.some((count) => count === 0)) problems.push(`run ${run}: a client was told of no commit at all, which shows nothing`);
      for (const [client, count] of told.entries()) {
        const [found, highest] = this.query(`SELECT count(*), coalesce(max(n), 0) FROM told WHERE run = ${run} AND client = ${client}`)
          .split('|')
          .map(Number);
        // The last one may have been committed without having been told.
        if (found !== highest || (found ?? 0) < count || (found ?? 0) > count + 1)
          problems.push(`run ${run}: client ${client} was told of ${count} commits, the table has ${found} up to ${highest}`);
      }
    }
    const sums = [
      'abalance) FROM pgbench_accounts',
      'tbalance) FROM pgbench_tellers',
      'bbalance) FROM pgbench_branches',
      'delta) FROM pgbench_history',
    ];
    const found = new Set(sums.map((sum) => this.query(`SELECT coalesce(sum(${sum}`.replace(')', '), 0)')) || '0'));
    if (found.size !== 1) problems.push(`accounts, tellers, branches and history do not agree: ${[...found].join(', ')}`);
    return problems;
  }

  /** Every page's checksum; it must be stopped. */
  checkPages(): void {
    this.#run('pg_checksums', '--check', '--pgdata', this.#data);
  }

  get #at(): string[] {
    return ['--host', this.#work];
  }

  #bench(name: string, words: string[]): ChildProcess {
    const output = path.join(this.#work, `${name}.out`);
    return spawn('sh', ['-c', 'exec "$0" "$@" > "$OUT" 2>&1', path.join(this.#bin, 'pgbench'), ...this.#at, ...words, 'postgres'], {
      ...this.#user,
      stdio: 'ignore',
      env: { ...process.env, OUT: output },
    });
  }

  #run(program: string, ...words: string[]): string {
    return execFileSync(path.join(this.#bin, program), words, { ...this.#user, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  #children(): number[] {
    const pid = this.#server?.pid;
    return pid === undefined ? [] : readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null || server.exitCode !== null) return;
    const gone = new Promise<void>((resolve) => server.once('exit', () => resolve()));
    server.kill(signal);
    await gone;
  }
}

/** It may have ended by itself, its files being gone. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const ended = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code === 0 ? '' : `pgbench ended with ${code ?? signal}`));
  });

/** pgbench at work. */
export class Writing {
  readonly #work: string;
  readonly #run: string;
  /** Empty: it saw no error. */
  readonly trouble: Promise<string>;

  constructor(child: ChildProcess, work: string, run: string) {
    this.#work = work;
    this.#run = run;
    this.trouble = ended(child);
  }

  /** When it has ended: of each client, how many commits it was told of. */
  get told(): number[] {
    const counts = Array.from({ length: CLIENTS }, () => 0);
    const logs = readdirSync(this.#work).filter((name) => name.startsWith(`${this.#run}.`) && !name.endsWith('.out'));
    for (const line of logs.flatMap((name) => readFileSync(path.join(this.#work, name), 'utf8').split('\n'))) {
      const [client, , time] = line.split(' ');
      // Of one that failed it says so in place of a time.
      if (client !== undefined && client !== '' && /^\d+$/.test(time ?? '')) counts[Number(client)] = (counts[Number(client)] ?? 0) + 1;
    }
    return counts;
  }

  get output(): string {
    return readFileSync(path.join(this.#work, `${this.#run}.out`), 'utf8');
  }
}
