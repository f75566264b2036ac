/** What must be so when all faults are over and nobody writes any more: replicas equal, nothing lost, nothing left over. Looks only; each answer is in words. */
import { globSync, readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import type { Member, VolumeConfig } from '../../core/config.ts';
import { messageOf } from '../../core/errors.ts';
import { volumeUid } from '../../core/ids.ts';
import { keysOf } from '../../core/keys.ts';
import { CLUSTER_NAME, runDirectory } from '../../tools/local/layout.ts';
import type { HistoryVolume, HistoryWorld } from '../history/world.ts';
import { configIn } from '../support/configsInStore.ts';

const CHUNK_BYTES = 1024 * 1024;
const keys = keysOf(CLUSTER_NAME);

export type PoolOf = (node: string) => string;

const replicasIn = (pool: string): string => path.join(pool, 'replicas');

export async function configOf({ store }: HistoryWorld, { uid, name }: HistoryVolume): Promise<VolumeConfig> {
  const found = await configIn(store, keys, volumeUid(uid));
  if (found === null) throw new Error(`${name} has no config in etcd`);
  return found.config;
}

/** Byte for byte, over the whole volume; a file that is shorter is zeroes from there on. */
export async function unequalReplicas(config: VolumeConfig, poolOf: PoolOf): Promise<string[]> {
  const problems: string[] = [];
  for (const { members, inSync } of config.shards) {
    if (inSync.length !== members.length) problems.push(`${config.name}: in sync are ${inSync.join(', ')} of ${members.length} members`);
    const [first, ...others] = members;
    for (const other of others) {
      const found = first === undefined ? null : await firstDifference(first, other, config.sizeBytes, poolOf).catch(messageOf);
      if (found !== null) problems.push(`${config.name}: the replicas on ${first?.node} and ${other.node} differ at ${found}`);
    }
  }
  return problems;
}

async function firstDifference(one: Member, other: Member, sizeBytes: number, poolOf: PoolOf): Promise<number | null> {
  const fileOf = ({ node, replica }: Member): string => path.join(replicasIn(poolOf(node)), replica, 'data');
  const [left, right] = [await open(fileOf(one)), await open(fileOf(other))];
  try {
    for (let atBytes = 0; atBytes < sizeBytes; atBytes += CHUNK_BYTES) {
      const [ours, theirs] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
      await left.read(ours, 0, CHUNK_BYTES, atBytes);
      await right.read(theirs, 0, CHUNK_BYTES, atBytes);
      if (!ours.equals(theirs)) return atBytes + ours.findIndex((byte, index) => byte !== theirs[index]);
    }
    return null;
  } finally {
    await left.close();
    await right.close();
  }
}

/** Replicas that no config knows, and members that have no files; tasks that have not ended. */
export async function strayReplicas(world: HistoryWorld, configs: readonly VolumeConfig[], poolOf: PoolOf): Promise<string[]> {
  const wanted = new Set(
    configs.flatMap(({ shards }) => shards.flatMap(({ members }) => members.map((each) => `${each.node}/${each.replica}`))),
  );
  const there = world.cluster.nodes.flatMap((node) => readdirSync(replicasIn(poolOf(node))).map((replica) => `${node}/${replica}`));
  const tasks = (await world.store.list(keys.tasks)).entries.map(({ value }) => JSON.parse(value) as { id: string; state: string });
  return [
    ...there.filter((replica) => !wanted.has(replica)).map((replica) => `${replica} is no member's`),
    ...[...wanted].filter((replica) => !there.includes(replica)).map((replica) => `the member ${replica} has no files`),
    ...tasks.filter(({ state }) => state !== 'done').map(({ id, state }) => `the task ${id} is ${state}`),
  ];
}

/** Every file, key and object that speaks of a volume. */
export async function leftOver(world: HistoryWorld, poolOf: PoolOf): Promise<string[]> {
  const { cluster, store } = world;
  const files = cluster.nodes.flatMap((node) => [
    ...readdirSync(replicasIn(poolOf(node))).map((replica) => `${node}: replica ${replica}`),
    ...globSync('*.sock', { cwd: runDirectory(cluster.directory, node) }).map((socket) => `${node}: ${socket}`),
  ]);
  const lasting = [keys.leader, keys.settings, keys.schema, keys.machines, keys.deleted];
  const { entries } = await store.list(keys.root);
  const left = entries.map(({ key }) => key).filter((key) => !lasting.some((prefix) => key.startsWith(prefix)));
  const objects = (await cluster.kubectl(['get', 'volumes.holdfast.dev', '-o', 'name'])).split('\n').filter((name) => name !== '');
  return [...files, ...left, ...objects];
}
