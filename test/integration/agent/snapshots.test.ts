/** Snapshots and clones of volumes on real agents, whose pools lie on a file system that can share blocks, or on one that cannot. */
import { readdirSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import type { VolumeConfig } from '../../../core/config.ts';
import { newReplicaId, snapshotUid, volumeUid } from '../../../core/ids.ts';
import { systemRandom } from '../../../core/random.ts';
import { parseRecordedSnapshot, type RecordedSnapshot } from '../../../core/snapshot.ts';
import type { Task } from '../../../core/task.ts';
import { Agents, keys, LeaderStandIn } from '../../support/agents.ts';
import { HandNbdClient } from '../../support/nbdClient.ts';
import { until } from '../../support/until.ts';
import { XfsDisk } from '../../support/xfsDisk.ts';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
const BLOCK = 4096;
const NODES = ['node-a', 'node-b', 'node-c'];
const SNAPSHOT = snapshotUid('snapshot-1');
const WRITERS = 4;
/** Of each writer, spread over the volume so that many extents are written. */
const BLOCKS = 64;
const STRIDE = SIZE / (WRITERS * BLOCKS);

const blockAt = (writer: number, number: number): number => (writer * BLOCKS + (number % BLOCKS)) * STRIDE;

/** Which write it is, and how far every writer had been answered when it was sent: whoever holds it must hold all of those. */
function contentOf(writer: number, number: number, answered: readonly number[]): Buffer {
  const content = Buffer.alloc(BLOCK);
  content.writeUInt32LE(writer, 0);
  content.writeUInt32LE(number, 4);
  for (const [index, count] of answered.entries()) content.writeUInt32LE(count, 8 + index * 4);
  return content;
}

/** Several clients, each writing its blocks over and over, one write after the other, numbered from 1. */
class Writers {
  readonly answered: number[] = Array(WRITERS).fill(0);
  longestMs = 0;
  #isStopped = false;
  readonly #ended: Promise<unknown>;

  constructor(clients: readonly HandNbdClient[]) {
    this.#ended = Promise.all(clients.map((client, writer) => this.#write(client, writer)));
    this.#ended.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async #write(client: HandNbdClient, writer: number): Promise<void> {
    while (!this.#isStopped) {
      const number = (this.answered[writer] ?? 0) + 1;
      const startedMs = performance.now();
      const answer = await client.write(blockAt(writer, number), contentOf(writer, number, this.answered));
      expect(answer).to.include({ outcome: 'replied', error: 0 });
      this.longestMs = Math.max(this.longestMs, performance.now() - startedMs);
      this.answered[writer] = number;
    }
    client.close();
  }
}

async function blocksOf(socket: string, name: string): Promise<Map<number, Buffer>> {
  const client = await HandNbdClient.open(socket, name);
  const blocks = new Map<number, Buffer>();
  for (let at = 0; at < SIZE; at += STRIDE) {
    const answer = await client.read(at, BLOCK);
    if (answer.outcome !== 'replied' || answer.error !== 0) throw new Error(`read at ${at}: ${JSON.stringify(answer)}`);
    blocks.set(at, answer.data);
  }
  client.close();
  return blocks;
}

/** How far each writer had come, after checking that the blocks are those of one moment. */
function progressIn(blocks: ReadonlyMap<number, Buffer>): number[] {
  const found: number[] = Array(WRITERS).fill(0);
  for (const content of blocks.values())
    found[content.readUInt32LE(0)] = Math.max(found[content.readUInt32LE(0)] ?? 0, content.readUInt32LE(4));
  for (let writer = 0; writer < WRITERS; writer++) {
    const last = found[writer] ?? 0;
    for (let number = Math.max(1, last - BLOCKS + 1); number <= last; number++) {
      const content = blocks.get(blockAt(writer, number));
      expect(content?.readUInt32LE(4), `write ${number} of writer ${writer}, of which ${last} is there`).to.equal(number);
    }
  }
  for (const content of blocks.values()) {
    if (content.readUInt32LE(4) === 0) continue;
    for (let other = 0; other < WRITERS; other++) {
      expect(found[other], `what was answered to writer ${other} before`).to.be.at.least(content.readUInt32LE(8 + other * 4));
    }
  }
  return found;
}

describe('snapshots on three agents', function () {
  this.timeout(120_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  let disk: XfsDisk | null = null;

  beforeEach(async () => {
    disk = null;
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
  });
  afterEach(async () => {
    await agents.remove();
    await disk?.remove();
  });

  const poolOf = (node: string): string => disk?.subdirectory(node) ?? agents.poolDirectory(node);
  const startAll = () => Promise.all(NODES.map((node) => agents.start(node, { POOLS: `default=${poolOf(node)}` })));
  const keptOn = (node: string): string[] => readdirSync(path.join(poolOf(node), 'snapshots'));
  const take = async (volume: VolumeConfig, node = 'node-a'): Promise<Task> =>
    leader.ended(await leader.file(node, { kind: 'snapshot', volume: volume.uid, snapshot: SNAPSHOT }));
  const recordOf = async (volume: VolumeConfig): Promise<RecordedSnapshot> => {
    const entry = await agents.store.get(keys.snapshot(volume.uid, SNAPSHOT));
    const record = entry && parseRecordedSnapshot(entry.value).value;
    if (!record) throw new Error('no record');
    return record;
  };

  /** As the leader makes a clone: its first replicas in the pools that hold the snapshot, then in sync. */
  async function clone(record: RecordedSnapshot, name: string, sizeBytes: number, nodes: readonly string[]): Promise<VolumeConfig> {
    const uid = volumeUid(`uid-of-${name}`);
    const members = nodes.map((node) => ({ replica: newReplicaId(systemRandom), node, pool: 'default' }));
    for (const { node, replica, pool } of members) {
      const held = record.replicas.find((one) => one.node === node);
      if (!held) throw new Error(`${node} holds nothing of it`);
      const source = { snapshot: SNAPSHOT, attempt: record.attempt, replica: held.replica };
      const task = await leader.file(node, { kind: 'create-replica', volume: uid, replica, pool, sizeBytes, volumeName: name, source });
      expect(await leader.ended(task)).to.include({ state: 'done' });
    }
    const config: VolumeConfig = {
      uid,
      name,
      sizeBytes,
      minInSync: 1,
      epoch: 0,
      version: 1,
      primary: null,
      shards: [{ members, inSync: members.map(({ replica }) => replica) }],
    };
    await agents.put(keys.volume(uid), config);
    return leader.change(uid, (known) => known);
  }

  it('are of one moment under writers, and a clone reads back just that, also on replicas that join later', async () => {
    disk = await XfsDisk.make(768 * MIB);
    await startAll();
    const volume = await leader.createVolume('pgdata', NODES, SIZE);
    await leader.promote(volume.uid, 'node-a');
    const socket = await leader.served(volume.uid);
    const writers = new Writers(await Promise.all(Array.from({ length: WRITERS }, () => HandNbdClient.open(socket, 'pgdata'))));
    await until('every block is written', () => writers.answered.every((count) => count > BLOCKS), 30_000);
    const before = [...writers.answered];
    expect(await take(volume)).to.include({ state: 'done' });
    const after = [...writers.answered];
    await until('writers go on', () => writers.answered.every((count, index) => count > (after[index] ?? 0)));
    await writers.stop();
    const record = await recordOf(volume);
    expect(record.replicas.map(({ node }) => node)).to.have.members(NODES);
    for (const node of NODES) expect(keptOn(node)).to.have.length(1);

    const copy = await clone(record, 'copy', SIZE, ['node-b', 'node-c']);
    await leader.promote(copy.uid, 'node-b');
    const blocks = await blocksOf(await leader.served(copy.uid), 'copy');
    const found = progressIn(blocks);
    for (const [writer, count] of found.entries()) {
      expect(count, `writer ${writer}`).to.be.within(before[writer] ?? 0, (after[writer] ?? 0) + 1);
    }
    await joins(copy, 'node-a');
    await leader.promote(copy.uid, 'node-a');
    expect(progressIn(await blocksOf(await leader.served(copy.uid), 'copy'))).to.deep.equal(found);
    expect(progressIn(await blocksOf(socket, 'pgdata')), 'the volume itself').to.deep.equal(writers.answered);
  });

  /** A new replica of the volume on this node, in sync at the end and the only one. */
  async function joins(volume: VolumeConfig, node: string): Promise<void> {
    const replica = newReplicaId(systemRandom);
    const spec = {
      kind: 'create-replica',
      volume: volume.uid,
      replica,
      pool: 'default',
      sizeBytes: SIZE,
      volumeName: volume.name,
    } as const;
    expect(await leader.ended(await leader.file(node, spec))).to.include({ state: 'done' });
    const shardOf = ({ shards: [shard] }: VolumeConfig) => shard ?? { members: [], inSync: [] };
    await leader.change(volume.uid, (known) => {
      const { members, inSync } = shardOf(known);
      return { ...known, shards: [{ members: [...members, { replica, node, pool: 'default' }], inSync }] };
    });
    const inSync = async () => shardOf(await leader.config(volume.uid)).inSync;
    await until('it is in sync', async () => (await inSync()).includes(replica), 30_000);
    await leader.change(volume.uid, (known) => {
      const { members, inSync: holders } = shardOf(known);
      return {
        ...known,
        shards: [{ members: members.map((one) => (one.replica === replica ? one : { ...one, leaving: true })), inSync: holders }],
      };
    });
    await until('it is the only one', async () => (await inSync()).length === 1, 30_000);
  }

  it('of a volume that nobody uses are taken by a primary in the background, cost no space, and go when they are deleted', async () => {
    disk = await XfsDisk.make(768 * MIB);
    await startAll();
    const volume = await leader.createVolume('pgdata', NODES, SIZE);
    await leader.promote(volume.uid, 'node-a');
    const client = await HandNbdClient.open(await leader.served(volume.uid), 'pgdata');
    for (let at = 0; at < SIZE; at += 4 * MIB) expect(await client.write(at, Buffer.alloc(4 * MIB, 7))).to.include({ error: 0 });
    expect(await client.flush()).to.include({ error: 0 });
    client.close();
    await leader.change(volume.uid, (known) => ({ ...known, primary: known.primary && { ...known.primary, mode: 'release' } }));
    await until('it is let go', async () => (await leader.config(volume.uid)).primary === null);
    const freeBefore = statfsSync(disk.directory).bfree;
    await leader.promote(volume.uid, 'node-c', 'background');
    expect(await take(volume, 'node-c')).to.include({ state: 'done' });
    await until('it lets go', async () => (await leader.config(volume.uid)).primary === null);
    const { bfree, bsize } = statfsSync(disk.directory);
    expect((freeBefore - bfree) * bsize, 'bytes that three snapshots of 64 MiB take').to.be.below(8 * MIB);

    const larger = await clone(await recordOf(volume), 'larger', 2 * SIZE, ['node-a']);
    await leader.promote(larger.uid, 'node-a');
    const reader = await HandNbdClient.open(await leader.served(larger.uid), 'larger');
    const [old, added] = [await reader.read(SIZE - BLOCK, BLOCK), await reader.read(2 * SIZE - BLOCK, BLOCK)];
    expect(old).to.deep.equal({ outcome: 'replied', error: 0, data: Buffer.alloc(BLOCK, 7) });
    expect(added).to.deep.equal({ outcome: 'replied', error: 0, data: Buffer.alloc(BLOCK) });
    reader.close();

    const deletions = NODES.map((node) =>
      leader.file(node, { kind: 'delete-snapshot', volume: volume.uid, snapshot: SNAPSHOT, pool: 'default' }),
    );
    for (const task of await Promise.all(deletions)) expect(await leader.ended(task)).to.include({ state: 'done' });
    for (const node of NODES) expect(keptOn(node)).to.deep.equal([]);
  });

  it('are refused with a sentence where the file system cannot share blocks, and the volume goes on', async () => {
    await startAll();
    expect((await agents.machine('node-a'))?.pools[0]?.reflink).to.equal(false);
    const volume = await leader.createVolume('pgdata', NODES, SIZE);
    await leader.promote(volume.uid, 'node-a');
    const client = await HandNbdClient.open(await leader.served(volume.uid), 'pgdata');
    const task = await take(volume);
    expect(task.state).to.equal('failed');
    expect(task.error).to.match(/^node-[abc]: snapshots: unsupported on pool default \(its file system cannot share blocks\)$/);
    expect(await agents.store.get(keys.snapshot(volume.uid, SNAPSHOT))).to.equal(null);
    expect(await client.write(0, Buffer.alloc(BLOCK, 1))).to.include({ error: 0 });
    client.close();
    expect((await leader.config(volume.uid)).shards[0]?.inSync).to.have.length(NODES.length);
    for (const node of NODES) expect(keptOn(node)).to.deep.equal([]);
  });
});
