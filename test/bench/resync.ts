/** How fast a replica is made anew or brought up to date, beside `cp` of the same bytes on the same disk, and what the clients of the volume notice. */
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Member, VolumeConfig } from '../../core/config.ts';
import { newReplicaId } from '../../core/ids.ts';
import { systemRandom } from '../../core/random.ts';
import { type FioResult, nbdTarget, runFio, timed } from './fio.ts';
import type { Line } from './report.ts';
import { HoldfastCluster } from './systems/holdfast.ts';

const MIB = 1024 * 1024;
const BOUND_MS = 300_000;
const FOREGROUND_SECONDS = 8;
/** So much that a client who waits twice as long is noticed, and so little that it does not take the machine by itself. */
const FOREGROUND = ['--rw=randwrite', '--bs=4k', '--iodepth=1', '--rate_iops=500'];
const CHANGED_PART = 0.01;
const LEARNER = 'node-c';

const GOAL = { ofCopy: 0.5, foreground: 2, delta: 0.03 };

const seconds = async (act: () => Promise<unknown> | unknown): Promise<number> => {
  const startMs = performance.now();
  await act();
  return (performance.now() - startMs) / 1000;
};

export async function measureResync(sizeBytes: number, environment: Readonly<Record<string, string>>): Promise<Line[]> {
  const cluster = await HoldfastCluster.open(environment);
  try {
    return await new Resync(cluster, sizeBytes).run();
  } finally {
    await cluster.remove();
  }
}

class Resync {
  readonly #cluster: HoldfastCluster;
  readonly #sizeBytes: number;

  constructor(cluster: HoldfastCluster, sizeBytes: number) {
    this.#cluster = cluster;
    this.#sizeBytes = sizeBytes;
  }

  async run(): Promise<Line[]> {
    const cluster = this.#cluster;
    await cluster.start('off');
    const config = await cluster.leader.createVolume('resync', ['node-a', 'node-b'], this.#sizeBytes);
    const socketPath = await cluster.serve(config);
    await runFio(nbdTarget(socketPath), ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${this.#sizeBytes}`, '--end_fsync=1'], 'write');
    const copySeconds = await this.#copy();
    const alone = await this.#foreground(socketPath);

    execFileSync('sync');
    const fullSeconds = await seconds(async () => this.#untilJoined(config, await this.#add(config)));
    await this.#removeLearner(config);
    execFileSync('sync');
    const member = await this.#add(config);
    const beside = await this.#foreground(socketPath);
    await this.#untilJoined(config, member);
    const deltaSeconds = await this.#delta(config, socketPath);
    return this.#lines({ copySeconds, fullSeconds, deltaSeconds, alone, beside });
  }

  async #copy(): Promise<number> {
    const replicas = path.join(this.#cluster.agents.poolDirectory('node-a'), 'replicas');
    const source = path.join(replicas, readdirSync(replicas)[0] ?? '', 'data');
    const copy = path.join(this.#cluster.agents.directory, 'copy');
    execFileSync('sync');
    try {
      return await seconds(() => {
        execFileSync('cp', ['--reflink=never', '--sparse=never', source, copy]);
        // A resync has flushed, too, when it is over.
        execFileSync('sync', [copy]);
      });
    } finally {
      rmSync(copy, { force: true });
    }
  }

  #foreground(socketPath: string): Promise<FioResult> {
    return runFio(nbdTarget(socketPath), [...FOREGROUND, ...timed(FOREGROUND_SECONDS, this.#sizeBytes)], 'write');
  }

  async #add({ uid, name }: VolumeConfig): Promise<Member> {
    const { leader } = this.#cluster;
    const member = { replica: newReplicaId(systemRandom), node: LEARNER, pool: 'default' };
    const { replica, pool } = member;
    const task = await leader.file(LEARNER, {
      kind: 'create-replica',
      volume: uid,
      replica,
      pool,
      sizeBytes: this.#sizeBytes,
      volumeName: name,
    });
    const ended = await leader.ended(task);
    if (ended.state !== 'done') throw new Error(`no replica was made: ${ended.error}`);
    await leader.change(uid, (known) => withMembers(known, (members) => [...members, member]));
    return member;
  }

  async #untilJoined(config: VolumeConfig, { replica }: Member): Promise<void> {
    await this.#cluster.untilInSync(config, 3, BOUND_MS);
    const { shards } = await this.#cluster.leader.config(config.uid);
    if (!shards[0]?.inSync.includes(replica)) throw new Error('another replica has joined');
  }

  /** Its process is killed, so that the primary drops it; then it is no member any more. */
  async #removeLearner(config: VolumeConfig): Promise<void> {
    await this.#cluster.process(LEARNER).kill('SIGKILL');
    await this.#cluster.untilInSync(config, 2);
    await this.#cluster.leader.change(config.uid, (known) =>
      withMembers(known, (members) => members.filter(({ node }) => node !== LEARNER)),
    );
    await this.#cluster.startNode(LEARNER, 'off');
  }

  async #delta(config: VolumeConfig, socketPath: string): Promise<number> {
    await this.#cluster.process(LEARNER).kill('SIGKILL');
    await this.#cluster.untilInSync(config, 2);
    const changedBytes = Math.ceil((this.#sizeBytes * CHANGED_PART) / MIB) * MIB;
    await runFio(nbdTarget(socketPath), ['--rw=write', '--bs=1m', '--iodepth=4', `--size=${changedBytes}`, '--end_fsync=1'], 'write');
    await this.#cluster.startNode(LEARNER, 'off');
    return seconds(() => this.#cluster.untilInSync(config, 3, BOUND_MS));
  }

  #lines(found: { copySeconds: number; fullSeconds: number; deltaSeconds: number; alone: FioResult; beside: FioResult }): Line[] {
    const { copySeconds, fullSeconds, deltaSeconds, alone, beside } = found;
    const size = `${this.#sizeBytes / MIB} MiB`;
    const rate = (duration: number) => `${duration.toFixed(2)} s, ${Math.round(this.#sizeBytes / MIB / duration)} MiB/s`;
    const ofCopy = copySeconds / fullSeconds;
    const slower = beside.p99Microseconds / alone.p99Microseconds;
    const delta = deltaSeconds / fullSeconds;
    return [
      { what: `cp and sync of ${size} on the same disk`, measured: rate(copySeconds), wanted: '', isMet: null },
      { what: `full resync of ${size}`, measured: rate(fullSeconds), wanted: '', isMet: null },
      { what: 'full resync to cp', measured: `${ofCopy.toFixed(2)} x`, wanted: `>= ${GOAL.ofCopy} x`, isMet: ofCopy >= GOAL.ofCopy },
      {
        what: 'p99 of a writer (4k, QD1, 500 IOPS) meanwhile, to alone',
        measured: `${Math.round(beside.p99Microseconds)} to ${Math.round(alone.p99Microseconds)} µs, ${slower.toFixed(2)} x`,
        wanted: `<= ${GOAL.foreground} x`,
        isMet: slower <= GOAL.foreground,
      },
      {
        what: 'resync after 1 % changed, from the agent’s return, to full',
        measured: `${deltaSeconds.toFixed(2)} s, ${(delta * 100).toFixed(1)} %`,
        wanted: `<= ${GOAL.delta * 100} %`,
        isMet: delta <= GOAL.delta,
      },
    ];
  }
}

function withMembers(config: VolumeConfig, change: (members: readonly Member[]) => Member[]): VolumeConfig {
  return { ...config, shards: config.shards.map((shard) => ({ ...shard, members: change(shard.members) })) };
}
