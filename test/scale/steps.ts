/** What is measured, one step after the other; each leaves the cluster as the next finds it. Must never wait without a bound. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { VolumeConfig } from '../../core/config.ts';
import { operatorProcess } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { type Snapshot, sumOf } from './instruments.ts';
import { planVolumes, type ScaleSettings } from './plan.ts';
import type { Figures } from './report.ts';
import { inTurn, type World } from './world.ts';

const BOUND_MS = 1_200_000;
const REACTION_BOUND_MS = 120_000;
const REPLACED_BOUND_MS = 600_000;
const LOOK_MS = 250;
const CLOSE_LOOK_MS = 20;
const WATCH_USAGE_MS = 15_000;
/** Volumes that are asked for and not placed. */
const WAITING_MAX = 1_000;
const QUIET_MS = 4_000;
const QUIET_BOUND_MS = 180_000;

type Context = { world: World; settings: ScaleSettings; say: (line: string) => void };

const until = (what: string, boundMs: number, intervalMs: number, holds: () => Promise<boolean> | boolean): Promise<true> =>
  waitFor(what, boundMs, async () => ((await holds()) ? { value: true } : { reason: 'not yet' }), intervalMs);

export async function register({ world, settings, say }: Context): Promise<Figures> {
  const beganMs = performance.now();
  const telling = setInterval(() => say(`${world.fleet.registered} agents registered`), WATCH_USAGE_MS);
  await until('all agents registered', BOUND_MS, LOOK_MS, () => world.fleet.registered === settings.nodes);
  clearInterval(telling);
  const registeredMs = performance.now() - beganMs;
  await until('all nodes ready', BOUND_MS, LOOK_MS, async () => (await world.count('holdfast_nodes_count', '"ready"')) === settings.nodes);
  return { registeredMs, nodesReadyMs: performance.now() - beganMs };
}

/** As many as are asked for in time; what is placed and not made yet is waited for. */
async function ask({ world, settings, say }: Context): Promise<number> {
  const beganMs = performance.now();
  const isTime = (): boolean => performance.now() - beganMs < settings.placeMs;
  let asked = 0;
  await inTurn(planVolumes(settings), async (volume) => {
    while (isTime() && asked - world.configCount >= WAITING_MAX) await sleep(LOOK_MS);
    if (!isTime()) return;
    asked++;
    await world.create(volume);
  });
  say(`${asked} of ${settings.volumes} asked for after ${Math.round(performance.now() - beganMs)} ms`);
  return asked;
}

/** Many at a time, and from then on it counts. */
export async function place(context: Context): Promise<Figures> {
  const { world, say } = context;
  const before = await world.instruments.take(await world.leader(), world.fleet.pids);
  const stopWatching = watchUsage(world, before, say);
  const beganMs = performance.now();
  const passed = (): number => performance.now() - beganMs;
  const volumes = await ask(context);
  const createdMs = passed();
  await until('all placed', BOUND_MS, LOOK_MS, () => world.configCount === volumes);
  const placedMs = passed();
  await until('all healthy', BOUND_MS, LOOK_MS, async () => (await world.count('holdfast_volumes_count', '"Healthy"')) === volumes);
  const healthyMs = passed();
  await until('all shown as healthy', BOUND_MS, LOOK_MS, () => world.areShownHealthy());
  const shownMs = passed();
  stopWatching();
  const after = await world.instruments.take(await world.leader(), world.fleet.pids);
  sayRequests(before, after, volumes, say);
  return { volumes, createdMs, placedMs, healthyMs, shownMs, ...costs(before, after, volumes) };
}

/** Whose processor it is while all wait for it. */
function watchUsage(world: World, { leader }: Snapshot, say: (line: string) => void): () => void {
  let [usage, atMs] = [world.instruments.usage(leader, world.fleet.pids), performance.now()];
  const timer = setInterval(() => {
    const [before, beforeMs] = [usage, atMs];
    [usage, atMs] = [world.instruments.usage(leader, world.fleet.pids), performance.now()];
    const shares = Object.entries(usage).map(([who, { cpuMs, residentBytes }]) => {
      const percent = ((cpuMs - (before[who]?.cpuMs ?? 0)) / (atMs - beforeMs)) * 100;
      return `${who} ${Math.round(percent)} % ${Math.round(residentBytes / 2 ** 20)} MiB`;
    });
    say(`${world.configCount} placed; ${shares.join(', ')}`);
  }, WATCH_USAGE_MS);
  return () => clearInterval(timer);
}

/** Of one volume, until it is healthy: what everybody does for it. */
function costs(before: Snapshot, after: Snapshot, volumes: number): Figures {
  const figures: Figures = {};
  for (const [who, { cpuMs }] of Object.entries(after.usage))
    figures[`${who}CpuMsPerVolume`] = (cpuMs - (before.usage[who]?.cpuMs ?? 0)) / volumes;
  const rise = (of: 'etcd' | 'apiServer', name: string, ...words: string[]): number =>
    (sumOf(after[of], name, ...words) - sumOf(before[of], name, ...words)) / volumes;
  figures.etcdTransactionsPerVolume = rise('etcd', 'grpc_server_handled_total', '"Txn"');
  figures.etcdPutsPerVolume = rise('etcd', 'etcd_mvcc_put_total');
  figures.apiRequestsPerVolume = rise('apiServer', 'apiserver_request_total');
  return figures;
}

function sayRequests(before: Snapshot, after: Snapshot, volumes: number, say: (line: string) => void): void {
  const rises = new Map<string, number>();
  for (const [sign, { apiServer }] of [
    [-1, before],
    [1, after],
  ] as const)
    for (const { name, labels, value } of apiServer) {
      if (name !== 'apiserver_request_total') continue;
      const of = (label: string): string => new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(labels)?.[1] ?? '';
      const what = [of('verb'), of('resource'), of('subresource'), of('code')].join(' ');
      rises.set(what, (rises.get(what) ?? 0) + sign * value);
    }
  const most = [...rises].filter(([, rise]) => rise >= volumes / 20).sort(([, a], [, b]) => b - a);
  say(`API requests: ${most.map(([what, rise]) => `${what}: ${rise}`).join(', ')}`);
}

export async function idle({ world, settings, say }: Context): Promise<Figures> {
  await world.untilQuiet(QUIET_MS, QUIET_BOUND_MS);
  const leader = await world.leader();
  const { counts, stop } = await world.countChanges();
  const before = await world.instruments.take(leader, world.fleet.pids);
  await sleep(settings.idleMs);
  const after = await world.instruments.take(leader, world.fleet.pids);
  await stop();
  say(`changed while idle: ${[...counts].map((one) => one.join(' ')).join(', ') || 'nothing'}`);
  const seconds = (after.atMs - before.atMs) / 1_000;
  const figures: Figures = {};
  for (const [who, { cpuMs, residentBytes, mostBytes }] of Object.entries(after.usage)) {
    figures[`${who}CpuPercent`] = (cpuMs - (before.usage[who]?.cpuMs ?? 0)) / seconds / 10;
    figures[`${who}ResidentBytes`] = residentBytes;
    figures[`${who}MostBytes`] = mostBytes;
  }
  const rate = (of: 'etcd' | 'apiServer', name: string, ...words: string[]): number =>
    (sumOf(after[of], name, ...words) - sumOf(before[of], name, ...words)) / seconds;
  figures.etcdKeepAlivesPerSecond = rate('etcd', 'grpc_server_msg_received_total', '"LeaseKeepAlive"');
  figures.etcdWatchQuestionsPerSecond = rate('etcd', 'grpc_server_msg_received_total', '"Watch"');
  figures.etcdReadsPerSecond = rate('etcd', 'grpc_server_handled_total', '"Range"');
  figures.etcdTransactionsPerSecond = rate('etcd', 'grpc_server_handled_total', '"Txn"');
  figures.etcdPutsPerSecond = rate('etcd', 'etcd_mvcc_put_total');
  figures.etcdOursChangedPerSecond = [...counts.values()].reduce((sum, count) => sum + count, 0) / seconds;
  figures.apiRequestsPerSecond = rate('apiServer', 'apiserver_request_total');
  figures.apiWritesPerSecond = ['"PUT"', '"POST"', '"PATCH"', '"DELETE"'].reduce(
    (sum, verb) => sum + rate('apiServer', 'apiserver_request_total', `verb=${verb}`),
    0,
  );
  const own = await world.instruments.operator(leader);
  figures.leaderHeapBytes = sumOf(own, 'holdfast_nodejs_heap_size_used_bytes');
  figures.leaderHeapTotalBytes = sumOf(own, 'holdfast_nodejs_heap_size_total_bytes');
  figures.leaderExternalBytes = sumOf(own, 'holdfast_nodejs_external_memory_bytes');
  figures.etcdDbBytes = sumOf(after.etcd, 'etcd_mvcc_db_total_size_in_bytes');
  figures.etcdDbInUseBytes = sumOf(after.etcd, 'etcd_mvcc_db_total_size_in_use_in_bytes');
  figures.etcdKeys = sumOf(after.etcd, 'etcd_debugging_mvcc_keys_total');
  return figures;
}

async function decides({ world }: Context, name: string): Promise<void> {
  await world.create({ name, size: '1Gi', attachTo: '', nodeSelector: null });
  await until(`a decision about ${name}`, REACTION_BOUND_MS, CLOSE_LOOK_MS, () => world.hasConfigNamed(name));
}

/** kill -9 of the leader until the next one has decided something. */
export async function changeLeader(context: Context): Promise<Figures> {
  const { cluster } = context.world;
  const leader = operatorProcess(await context.world.leader());
  const beganMs = performance.now();
  await cluster.process(leader).kill('SIGKILL');
  await decides(context, 'probe-leader');
  const leaderChangedMs = performance.now() - beganMs;
  cluster.process(leader).start();
  await cluster.waitUntilReady(leader, REACTION_BOUND_MS);
  return { leaderChangedMs, followerReadyMs: performance.now() - beganMs - leaderChangedMs };
}

/** From the start of the only operator until it has decided something; the Lease was given up before. */
export async function start(context: Context): Promise<Figures> {
  const { cluster } = context.world;
  const operators = cluster.operators.map(operatorProcess);
  for (const name of operators) await cluster.process(name).kill('SIGTERM');
  const [first, ...others] = operators;
  if (first === undefined) throw new Error('no operator');
  const beganMs = performance.now();
  cluster.process(first).start();
  await decides(context, 'probe-start');
  const startedMs = performance.now() - beganMs;
  for (const name of others) cluster.process(name).start();
  for (const name of operators) await cluster.waitUntilReady(name, REACTION_BOUND_MS);
  return { startedMs };
}

const hasReplicaOn = (config: VolumeConfig, node: string): boolean =>
  config.shards.some(({ members }) => members.some((member) => member.node === node));
const isInSyncOn = ({ shards }: VolumeConfig, node: string): boolean =>
  shards.some(({ members, inSync }) => members.some((member) => member.node === node && inSync.includes(member.replica)));

/** A node ends without a word: until nobody is primary there, until nobody counts on it, and until all that were attached there are served elsewhere. */
export async function loseNode({ world, say }: Context, node: string): Promise<Figures> {
  const before = world.configs();
  const primaries = before.filter(({ primary }) => primary?.node === node);
  const replicas = before.filter((config) => hasReplicaOn(config, node));
  // Nobody drops it from a volume that nobody serves, nor from one that misses another already.
  const isWhole = (config: VolumeConfig): boolean => ![...world.fleet.vanished].some((other) => hasReplicaOn(config, other));
  const elsewhere = replicas.filter((config) => config.primary !== null && config.primary.node !== node && isWhole(config));
  const beganMs = await world.fleet.vanish(node);
  const passed = (): number => Date.now() - beganMs;
  const fencing = until('every primary there fenced', REACTION_BOUND_MS, CLOSE_LOOK_MS, () =>
    primaries.every(({ uid }) => world.config(uid).primary?.node !== node),
  ).then(passed);
  const dropping = until('nobody counts on it', REACTION_BOUND_MS, CLOSE_LOOK_MS, () =>
    elsewhere.every(({ uid }) => !isInSyncOn(world.config(uid), node)),
  ).then(passed);
  const [fencedMs, droppedMs] = await Promise.all([fencing, dropping]);
  say(`${node}: ${replicas.length} replicas, ${primaries.length} primaries: fenced after ${fencedMs} ms, dropped after ${droppedMs} ms`);
  const movedMs = await attachElsewhere(world, primaries);
  return { replicas: replicas.length, primaries: primaries.length, fencedMs, droppedMs, movedMs };
}

/** What was there is made anew elsewhere. */
export async function replaced({ world, say }: Context, node: string): Promise<Figures> {
  const beganMs = performance.now();
  await until('every replica there replaced', REPLACED_BOUND_MS, LOOK_MS, () =>
    world.configs().every((config) => !hasReplicaOn(config, node)),
  );
  const replacedMs = performance.now() - beganMs;
  say(`${node}: all replaced after ${Math.round(replacedMs)} ms more`);
  return { replacedMs };
}

async function attachElsewhere(world: World, volumes: readonly VolumeConfig[]): Promise<number> {
  const beganMs = performance.now();
  const isGone = (node: string): boolean => world.fleet.vanished.has(node);
  const targets = new Map<string, string>();
  for (const { uid, shards } of volumes) {
    const other = shards.flatMap(({ members }) => members).find(({ node }) => !isGone(node));
    if (other) targets.set(uid, other.node);
  }
  await inTurn(volumes, ({ uid, name }) => world.attach(name, targets.get(uid) ?? ''));
  await until('all attached elsewhere', REACTION_BOUND_MS, CLOSE_LOOK_MS, () =>
    volumes.every(({ uid }) => world.config(uid).primary?.node === targets.get(uid)),
  );
  return performance.now() - beganMs;
}
