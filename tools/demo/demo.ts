/**
 * `make demo`: the main job, once, for real. Every line that it prints is a fact that it has just checked; one that is untrue ends it with exit code 1
 * and the log that matters. It works in a temporary directory and leaves nothing: no process, mount, loop device or file, also when
 * it is killed.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Cluster, startCluster } from '../local/cluster.ts';
import { LocalClusterError } from '../local/errors.ts';
import { BUILDING } from '../local/programs.ts';
import { formatDuration, printer, printFailure } from '../local/progress.ts';
import { waitFor } from '../local/wait.ts';
import { guardDirectory } from './guard.ts';
import { ImageWork } from './imageWork.ts';
import { whyNotMountable } from './mountedVolume.ts';
import { run } from './run.ts';
import { SqliteWork } from './sqliteWork.ts';
import { DemoVolume } from './volume.ts';
import type { Work } from './work.ts';

const NODES = 3;
const HEALTHY_BOUND_MS = 10_000;
const FAILOVER_BOUND_MS = 15_000;
const RETURN_BOUND_MS = 60_000;
const WORK_BOUND_MS = 60_000;
/** So much is acknowledged before the kill, and again after it. */
const PIECES_BEFORE = 200;
const PIECES_AFTER = 50;
const SIZE = '1Gi';
const MIB = 1024 * 1024;

const seconds = (sinceMs: number): string => formatDuration(performance.now() - sinceMs);

function tell(step: string, fact: string, outcome = ''): void {
  process.stdout.write(`${step.padEnd(15)} ${outcome === '' ? fact : `${fact.padEnd(76)} ${outcome}`}\n`);
}

function insist(holds: boolean, otherwise: string): void {
  if (!holds) throw new LocalClusterError(otherwise);
}

async function untilAcknowledged(work: Work, count: number): Promise<void> {
  await waitFor(`${count} ${work.unit}`, WORK_BOUND_MS, async () => {
    if (work.acknowledged.size >= count) return { value: true };
    const { trouble } = work;
    if (trouble !== null) throw new LocalClusterError(`The writer of ${work.unit} has ended after ${work.acknowledged.size}: ${trouble}`);
    return { reason: `${work.acknowledged.size} were acknowledged` };
  });
}

async function checkAll(work: Work, socket: string): Promise<string> {
  const { lost, soundness } = await work.check(socket);
  const count = work.acknowledged.size.toLocaleString('en');
  insist(lost.length === 0, `${lost.length} of ${count} acknowledged ${work.unit} are lost, the first is number ${lost[0]}.`);
  return `all ${count} acknowledged ${work.unit} are there, ${soundness}`;
}

/** Where each node keeps its replica of the one volume of this cluster. */
function replicaFiles(cluster: Cluster): string[] {
  return cluster.nodes.flatMap((node) => {
    const replicas = path.join(cluster.directory, 'agent', node, 'pools/default/replicas');
    return readdirSync(replicas).map((replica) => path.join(replicas, replica, 'data'));
  });
}

async function start(directory: string): Promise<Cluster> {
  const startMs = performance.now();
  const onProgress = printer(process.stderr);
  // Only what takes long is worth a line here: the first build.
  const cluster = await startCluster({
    directory: path.join(directory, 'cluster'),
    nodes: NODES,
    operators: 2,
    onProgress: (progress) => progress.step.startsWith(BUILDING) && onProgress(progress),
  });
  const { etcd, kubernetes } = cluster.versions;
  tell('Control plane', `etcd ${etcd}, kube-apiserver ${kubernetes}, 2 operators, ${NODES} agents on this machine`, seconds(startMs));
  return cluster;
}

async function createVolume(cluster: Cluster): Promise<DemoVolume> {
  const volume = new DemoVolume(cluster.kubectl, 'demo');
  const startMs = performance.now();
  await volume.create(SIZE, NODES);
  const { replicas } = await volume.untilHealthy(NODES, HEALTHY_BOUND_MS);
  const nodes = replicas?.map(({ node }) => node) ?? [];
  insist(new Set(nodes).size === NODES, `The replicas are not on ${NODES} nodes but on ${nodes.join(', ')}.`);
  tell('Volume', `demo, ${SIZE}, ${NODES} replicas on ${nodes.sort().join(' ')}`, `Healthy after ${seconds(startMs)}`);
  return volume;
}

async function workOn(volume: DemoVolume, work: Work): Promise<void> {
  await volume.attachTo('node-a');
  const socket = await volume.untilServedBy('node-a', HEALTHY_BOUND_MS);
  await work.prepare(socket);
  await work.begin(socket);
  const startMs = performance.now();
  await untilAcknowledged(work, PIECES_BEFORE);
  const pace = Math.round((work.acknowledged.size * 1000) / (performance.now() - startMs));
  tell('Attached', `node-a, ${work.description}`, `${pace} ${work.unit}/s`);
}

async function failOver(cluster: Cluster, volume: DemoVolume, work: Work): Promise<string> {
  const killedMs = performance.now();
  await cluster.process('agent/node-a').kill('SIGKILL');
  tell('Killed', `agent of node-a (kill -9) after ${work.acknowledged.size.toLocaleString('en')} ${work.unit}, in the middle of the next`);
  await volume.attachTo('node-b'); // in Kubernetes this is the CSI attacher's doing, once the pod runs elsewhere
  const socket = await volume.untilServedBy('node-b', FAILOVER_BOUND_MS);
  await run('qemu-io', '-r', '-f', 'raw', '-c', 'read 0 4096', `nbd:unix:${socket}`);
  const { epoch } = await volume.status();
  const took = performance.now() - killedMs;
  insist(took < FAILOVER_BOUND_MS, `The first read on node-b came after ${formatDuration(took)}.`);
  tell('Failed over', `attached to node-b, which serves epoch ${epoch}`, `first read after ${formatDuration(took)}`);
  await work.end();
  tell('Checked', await checkAll(work, socket));
  await work.begin(socket);
  await untilAcknowledged(work, work.acknowledged.size + PIECES_AFTER);
  return socket;
}

async function comeBack(cluster: Cluster, volume: DemoVolume): Promise<void> {
  const startMs = performance.now();
  cluster.process('agent/node-a').start();
  let comparedBytes = 0;
  const status = await volume.until('Healthy again', RETURN_BOUND_MS, (seen) => {
    for (const { progress } of seen.replicas ?? []) comparedBytes = Math.max(comparedBytes, progress?.totalBytes ?? 0);
    return seen.phase === 'Healthy' && seen.inSync === `${NODES}/${NODES}` && seen;
  });
  insist(status.attachment?.node === 'node-b', 'The volume is not served by node-b any more.');
  const what = comparedBytes > 0 ? `node-a caught up, ${comparedBytes / MIB} MiB of 1 GiB compared` : 'node-a caught up';
  tell('Came back', `${what}, while the work went on`, `Healthy after ${seconds(startMs)}`);
}

async function compareReplicas(cluster: Cluster, volume: DemoVolume): Promise<void> {
  await volume.attachTo('');
  await volume.until('detached', HEALTHY_BOUND_MS, (status) => !status.attachment && !status.primary);
  const [first = '', ...others] = replicaFiles(cluster);
  insist(others.length === NODES - 1, `There are ${others.length + 1} replicas on the disks.`);
  for (const other of others) await run('cmp', first, other);
  tell('Compared', `the ${NODES} replicas are equal byte for byte`);
}

async function deleteVolume(cluster: Cluster, volume: DemoVolume): Promise<void> {
  await volume.delete();
  await waitFor('the end of the replicas', HEALTHY_BOUND_MS, async () => {
    const left = replicaFiles(cluster);
    return left.length === 0 ? { value: true } : { reason: `there are still ${left.join(', ')}` };
  });
  tell('Deleted', 'the volume; its replicas are gone from every disk');
}

async function demo(directory: string, cleanUp: (() => Promise<void>)[]): Promise<void> {
  const startMs = performance.now();
  const why = whyNotMountable();
  const work: Work = why === null ? new SqliteWork(directory) : new ImageWork(directory, why);
  const cluster = await start(directory);
  cleanUp.push(
    () => cluster.stop(),
    () => work.end(),
  );
  try {
    const volume = await createVolume(cluster);
    await workOn(volume, work);
    const socket = await failOver(cluster, volume, work);
    await comeBack(cluster, volume);
    await work.end();
    tell('Checked', await checkAll(work, socket));
    await work.end();
    await compareReplicas(cluster, volume);
    await deleteVolume(cluster, volume);
  } catch (error) {
    const logs = cluster.processes.filter(({ name }) => /operator|agent/.test(name)).map((process) => process.logTail());
    process.stderr.write(logs.join('\n'));
    throw error;
  }
  await finish(cleanUp);
  tell('', `Everything is stopped and removed, ${seconds(startMs)} in all. \`make up\` starts the same and leaves it running.`);
}

async function finish(cleanUp: (() => Promise<void>)[]): Promise<void> {
  for (let next = cleanUp.pop(); next; next = cleanUp.pop()) await next();
}

const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-demo-'));
const guard = guardDirectory(directory);
const cleanUp: (() => Promise<void>)[] = [
  async () => {
    rmSync(directory, { recursive: true, force: true });
    guard.dismiss();
  },
];
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    process.stderr.write('\nInterrupted: stopping what was started...\n');
    void finish(cleanUp).finally(() => process.exit(130));
  });
}
try {
  await demo(directory, cleanUp);
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
  await finish(cleanUp);
}
