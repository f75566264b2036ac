/**
 * A real etcd of its own for a test: on free loopback ports, in a directory of its own, that can be killed, stopped, continued and started again on
 * the same ports and data. Must leave nothing behind: `remove` ends the process and the directory.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TlsFiles } from '../../edge/tls.ts';
import { findFreePort } from '../../tools/local/ports.ts';
import { findPrograms } from '../../tools/local/programs.ts';
import { stopWhole } from './stopped.ts';
import { until } from './until.ts';

const LOOPBACK = '127.0.0.1';
const READY_MS_MAX = 20_000;
const LOG_TAIL_CHARACTERS = 2_000;

let program: Promise<string> | null = null;

/** A test that broke off in its hooks leaves none running. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** HOLDFAST_TEST_ETCD, else the one that `make up` uses, built when it is not there yet. */
function etcdProgram(): Promise<string> {
  const given = process.env.HOLDFAST_TEST_ETCD;
  program ??= given ? Promise.resolve(given) : findPrograms(() => undefined).then(({ etcd }) => etcd);
  return program;
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await findFreePort(ports));
  return [...ports];
}

type Member = { name: string; client: number; peer: number; metrics: number };

export class EtcdProcess {
  readonly url: string;
  readonly #member: Member;
  readonly #members: readonly Member[];
  readonly #tls: TlsFiles | null;
  readonly #directory: string;
  readonly #more: readonly string[];
  #child: ChildProcess | null = null;

  constructor(
    member: Member,
    members: readonly Member[],
    tls: TlsFiles | null,
    directory: string,
    host = LOOPBACK,
    more: readonly string[] = [],
  ) {
    this.#member = member;
    this.#members = members;
    this.#tls = tls;
    this.#directory = directory;
    this.#more = more;
    this.url = `${tls === null ? 'http' : 'https'}://${host}:${member.client}`;
  }

  async start(): Promise<void> {
    const log = openSync(path.join(this.#directory, 'log'), 'a');
    const child = spawn(await etcdProgram(), this.#flags(), { stdio: ['ignore', log, log] });
    this.#child = child;
    closeSync(log);
    await once(child, 'spawn');
    running.add(child);
    child.once('exit', () => running.delete(child));
  }

  /** Resolves when it answers from a quorum. */
  async isReady(): Promise<void> {
    await until(
      `etcd ${this.#member.name} is ready: ${this.#logTail()}`,
      async () => {
        if (this.#child?.exitCode !== null) throw new Error(`etcd ${this.#member.name} ended: ${this.#logTail()}`);
        const answer = await fetch(`http://127.0.0.1:${this.#member.metrics}/health`).catch(() => null);
        return answer?.ok === true;
      },
      READY_MS_MAX,
    );
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** It answers nothing more, and its connections stay open. Returns when every thread of it has stopped: until then one may still answer. */
  stop(): void {
    if (this.#child !== null) stopWhole(this.#child);
  }

  continue(): void {
    this.#child?.kill('SIGCONT');
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
    await this.isReady();
  }

  /** All data is gone, as after a restore from a backup of before everything. Only when it does not run. */
  async forget(): Promise<void> {
    await rm(path.join(this.#directory, 'data'), { recursive: true, force: true });
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #logTail(): string {
    return readFileSync(path.join(this.#directory, 'log'), 'utf8').slice(-LOG_TAIL_CHARACTERS);
  }

  #flags(): string[] {
    const { name, peer, metrics } = this.#member;
    const peerUrl = (member: Member) => `http://127.0.0.1:${member.peer}`;
    const tls = this.#tls;
    const tlsFlags =
      tls === null ? [] : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`, `--trusted-ca-file=${tls.ca}`, '--client-cert-auth'];
    return [
      `--name=${name}`,
      `--data-dir=${path.join(this.#directory, 'data')}`,
      `--listen-client-urls=${this.url}`,
      `--advertise-client-urls=${this.url}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      `--listen-metrics-urls=http://127.0.0.1:${metrics}`,
      `--initial-cluster=${this.#members.map((member) => `${member.name}=${peerUrl(member)}`).join(',')}`,
      '--log-level=error',
      '--unsafe-no-fsync', // the tests kill processes, not machines
      ...tlsFlags,
      ...this.#more,
    ];
  }
}

/** Members of one cluster, ready. The caller removes every one. */
export async function startEtcd(
  options: { members?: number; tls?: TlsFiles; host?: string; flags?: readonly string[] } = {},
): Promise<EtcdProcess[]> {
  const ports = await freePorts(3 * (options.members ?? 1));
  const members: Member[] = [];
  for (let index = 0; index * 3 < ports.length; index++) {
    const [client = 0, peer = 0, metrics = 0] = ports.slice(index * 3, index * 3 + 3);
    members.push({ name: `etcd-${index}`, client, peer, metrics });
  }
  const processes: EtcdProcess[] = [];
  for (const member of members) {
    const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-etcd-'));
    processes.push(new EtcdProcess(member, members, options.tls ?? null, directory, options.host, options.flags));
  }
  for (const one of processes) await one.start();
  await Promise.all(processes.map((one) => one.isReady()));
  return processes;
}

/** The one member of a cluster of one; its clients find it at `host`. */
export async function startSingleEtcd(tls?: TlsFiles, host = LOOPBACK): Promise<EtcdProcess> {
  const [single] = await startEtcd(tls === undefined ? { host } : { tls, host });
  if (single === undefined) throw new Error('no etcd was started');
  return single;
}
