/**
 * `make test-postgres`: PostgreSQL on a claim, as a pod has it, while agents die and are replaced, a replica is lost and comes back, the leader is killed, the volume
 * moves, and its node is lost. Exit code 0: no error was seen and no commit that was told is missing. SECONDS: for each disturbance.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentProcess, operatorProcess } from '../../tools/local/layout.ts';
import { printer, printFailure } from '../../tools/local/progress.ts';
import { commandWords } from '../../tools/test/words.ts';
import { type CsiClient, csiClient, mounted } from './client.ts';
import { CsiCluster } from './cluster.ts';
import { Database, findPostgres } from './database.ts';
import { again, Pod } from './pod.ts';

const BYTES = 2 * 1024 ** 3;
const SCALE = 5;
const NODES = 4;
const AWAY_MS = 4_000;
const SECONDS_DEFAULT = 15;
/** In less the database may see no more than the pause. */
const SECONDS_MIN = 6;
/** Numbers of runs, beside those of the disturbances. */
const LOST = 100;
const AFTER = 101;
const CAPABILITY = mounted('ext4');

type Disturbance = { what: string; cause(csi: CsiCluster): Promise<void> };

const restart = async (csi: CsiCluster, node: string, signal: NodeJS.Signals, awayMs = 0): Promise<void> => {
  const agent = csi.cluster.process(agentProcess(node));
  await agent.kill(signal);
  await sleep(awayMs);
  agent.start();
};

/** None of them may be seen by the database but as a pause. */
const DISTURBANCES: readonly Disturbance[] = [
  { what: 'its agent is killed', cause: (csi) => restart(csi, 'node-a', 'SIGKILL') },
  { what: 'its agent is replaced (upgrade)', cause: (csi) => restart(csi, 'node-a', 'SIGTERM') },
  { what: 'a replica is lost and comes back', cause: (csi) => restart(csi, 'node-b', 'SIGKILL', AWAY_MS) },
  {
    what: 'an operator is killed, and its agent after it',
    async cause(csi) {
      const operator = csi.cluster.process(operatorProcess('operator-0'));
      await operator.kill('SIGKILL');
      await restart(csi, 'node-a', 'SIGKILL');
      operator.start();
    },
  },
];

class Run {
  readonly #csi: CsiCluster;
  readonly #seconds: number;
  readonly #work = mkdtempSync(path.join(tmpdir(), 'hf-postgres-'));
  readonly #bin = findPostgres();
  readonly #clients = new Map<string, CsiClient>();
  readonly #told = new Map<number, readonly number[]>();
  readonly problems: string[] = [];
  readonly #begunMs = performance.now();

  constructor(csi: CsiCluster, seconds: number) {
    this.#csi = csi;
    this.#seconds = seconds;
    // PostgreSQL's own user passes through it.
    chmodSync(this.#work, 0o755);
  }

  async all(): Promise<void> {
    const begunMs = performance.now();
    const { volume } = await again(() =>
      this.#client('node-a').controller.createVolume({
        name: 'pgdata',
        capacityRange: { requiredBytes: BYTES },
        volumeCapabilities: [CAPABILITY],
        parameters: {},
      }),
    );
    const volumeId = volume?.volumeId ?? '';
    const first = await this.#pod(volumeId, 'node-a');
    this.#say(`a claim is mounted ${((performance.now() - begunMs) / 1_000).toFixed(1)} s after it was asked for`);
    const database = this.#database(first);
    database.create(SCALE);
    for (const [index, { what, cause }] of DISTURBANCES.entries()) await this.#disturb(database, index, what, cause);
    await database.stop();
    await first.stop();

    const second = await this.#pod(volumeId, 'node-b');
    const moved = this.#database(second);
    moved.start();
    this.#verify(moved, 'moved to node-b');
    await this.#loseNode(moved, second);

    const third = await this.#pod(volumeId, 'node-c');
    const last = this.#database(third);
    last.start();
    this.#verify(last, 'node-b is lost: on node-c after crash recovery');
    await this.#disturb(last, AFTER, 'nothing is disturbed', async () => undefined);
    await last.stop();
    last.checkPages();
    this.#say('every page has its checksum');
    await third.stop();
  }

  async #disturb(database: Database, run: number, what: string, cause: (csi: CsiCluster) => Promise<void>): Promise<void> {
    const writing = database.write(run, this.#seconds);
    const trading = database.trade(this.#seconds);
    await sleep((this.#seconds * 1_000) / 4);
    await cause(this.#csi);
    const troubles = [await writing.trouble, await trading].filter((trouble) => trouble !== '');
    this.#told.set(run, writing.told);
    for (const trouble of troubles) this.problems.push(`${what}: ${trouble}: ${writing.output.slice(-500)}`);
    this.#verify(database, what);
  }

  /** The machine is gone with all that ran on it: what was told until then must be there. */
  async #loseNode(database: Database, pod: Pod): Promise<void> {
    const writing = database.write(LOST, this.#seconds);
    await sleep((this.#seconds * 1_000) / 2);
    await this.#csi.cluster.process(agentProcess('node-b')).kill('SIGKILL');
    const detached = pod.detach();
    await detached;
    this.#csi.cluster.process(agentProcess('node-b')).start();
    // The device fails as soon as the agent there sees where the volume is; whoever hung in it can end then.
    await database.kill();
    await writing.trouble;
    this.#told.set(LOST, writing.told);
    await pod.leave();
  }

  #verify(database: Database, what: string): void {
    const wrong = database.check(this.#told);
    this.problems.push(...wrong.map((problem) => `${what}: ${problem}`));
    const commits = [...this.#told.values()].flat().reduce((sum, count) => sum + count, 0);
    this.#say(`${wrong.length === 0 ? 'ok    ' : 'WRONG '} ${what}: ${commits} commits told so far`);
  }

  #database(pod: Pod): Database {
    const work = path.join(this.#work, path.basename(path.dirname(path.dirname(path.dirname(pod.target)))));
    mkdirSync(work, { recursive: true });
    return new Database(this.#bin, pod.target, work);
  }

  async #pod(volumeId: string, node: string): Promise<Pod> {
    const pod = new Pod(this.#client(node), node, volumeId, CAPABILITY, path.join(this.#work, 'pods'));
    await pod.start();
    // As Kubernetes' fsGroup: the kubelet's work, not a driver's.
    for (const directory of [path.dirname(pod.target), pod.target]) chmodSync(directory, 0o755);
    return pod;
  }

  #client(node: string): CsiClient {
    const known = this.#clients.get(node) ?? csiClient(this.#csi.controller('operator-1'), this.#csi.node(node));
    this.#clients.set(node, known);
    return known;
  }

  #say(line: string): void {
    process.stdout.write(`${((performance.now() - this.#begunMs) / 1_000).toFixed(1).padStart(7)} s  ${line}\n`);
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    if (this.problems.length === 0) rmSync(this.#work, { recursive: true, force: true });
    else process.stdout.write(`logs are left in ${this.#work}\n`);
  }
}

async function main(): Promise<number> {
  const seconds = Number(commandWords().SECONDS || process.env.SECONDS || SECONDS_DEFAULT);
  if (!(seconds >= SECONDS_MIN)) throw new Error(`SECONDS must be a number of at least ${SECONDS_MIN}`);
  const csi = await CsiCluster.start({ nodes: NODES, operators: 2, onProgress: printer(process.stderr) });
  const run = new Run(csi, seconds);
  try {
    await run.all();
  } finally {
    await csi.stop();
    run.close();
  }
  for (const problem of run.problems) process.stdout.write(`WRONG: ${problem}\n`);
  return run.problems.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error) => {
  printFailure(error);
  return 2;
});
