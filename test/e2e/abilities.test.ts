/** What a volume can beside being there: striped, grown, limited, with more or fewer replicas, compared, kept in snapshots, begun from another. */
import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { Snapshot, SnapshotStatus } from '../../operator/generated/snapshot.ts';
import { run } from '../../tools/demo/run.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { DEFAULT_POOL, poolDirectory } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { XfsDisk } from '../support/xfsDisk.ts';
import {
  address,
  FAILOVER_BOUND_MS,
  HEALTHY_BOUND_MS,
  qemuIo,
  RETURN_BOUND_MS,
  START_BOUND_MS,
  showLogsOfFailures,
  World,
} from './world.ts';
import type { Writer } from './writer.ts';

/** A second's, for all clients together. */
const IOPS = 20;
/** Enough to have begun. */
const WRITES = 50;
const MIB = 1024 * 1024;
/** Thin; the pools of all nodes lie on it, beside etcd. */
const DISK_BYTES = 8 * 1024 * MIB;
const SNAPSHOT_BOUND_MS = 20_000;
/** Short, so that a scrub is soon due. */
const SCRUB_SECONDS = 5;
const SCRUB_BOUND_MS = 30_000;
/** Longer than an agent that is killed here takes to be back, where it is meant to come back. */
const REPLACE_AFTER_SECONDS = 20;
const REPLACED_BOUND_MS = 60_000;
const OPERATOR = {
  SETTINGS: JSON.stringify({ scrubIntervalSeconds: SCRUB_SECONDS }),
  OVER_PROVISIONING_PERCENT: '100',
  REPLACE_AFTER_SECONDS: String(REPLACE_AFTER_SECONDS),
};

/** As a disk that rots: nobody is told. */
function flipByte(file: string, offsetBytes: number): void {
  const byte = readByte(file, offsetBytes);
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Buffer.of(byte ^ 0x10), 0, 1, offsetBytes);
  closeSync(descriptor);
}

function readByte(file: string, offsetBytes: number): number {
  const descriptor = openSync(file, 'r');
  const byte = Buffer.alloc(1);
  readSync(descriptor, byte, 0, 1, offsetBytes);
  closeSync(descriptor);
  return byte.readUInt8();
}

describe('end to end: what volumes can', function () {
  this.timeout(120_000);
  let world: World;
  let disk: XfsDisk;
  before(async function () {
    this.timeout(START_BOUND_MS);
    disk = await XfsDisk.make(DISK_BYTES);
    world = await World.open(4, undefined, { parent: disk.directory, operatorEnvironment: OPERATOR });
  });
  after(async () => {
    await world?.close();
    await disk?.remove();
  });
  showLogsOfFailures(() => world);

  const change = (volume: DemoVolume, spec: object) =>
    world.cluster.kubectl(['patch', 'volume', volume.name, '--type', 'merge', '--patch', JSON.stringify({ spec })]);
  const sizeOf = async (socket: string): Promise<number | undefined> => {
    const info = JSON.parse(await run('nbdinfo', '--json', address(socket))) as { exports: { 'export-size': number }[] };
    return info.exports[0]?.['export-size'];
  };
  const snapshotStatus = async (name: string): Promise<SnapshotStatus> =>
    (JSON.parse(await world.cluster.kubectl(['get', 'hs', name, '-o', 'json'])) as Snapshot).status ?? {};
  async function snapshot(name: string, volume: DemoVolume): Promise<SnapshotStatus> {
    const object = { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Snapshot', metadata: { name }, spec: { volume: volume.name } };
    await world.cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object));
    return waitFor(`snapshot ${name} to be ready`, SNAPSHOT_BOUND_MS, async () => {
      const status = await snapshotStatus(name);
      return status.ready ? { value: status } : { reason: `its status is ${JSON.stringify(status)}` };
    });
  }
  const deleteSnapshot = (name: string) => world.cluster.kubectl(['delete', 'hs', name, '--timeout', '30s']);
  const untilTold = (volume: DemoVolume, sentence: RegExp, boundMs: number) =>
    waitFor(`an Event of ${volume.name} to say ${sentence}`, boundMs, async () => {
      const ofVolume = ['--field-selector', `involvedObject.name=${volume.name}`, '-o', 'jsonpath={.items[*].message}'];
      const events = await world.cluster.kubectl(['get', 'events', '-A', ...ofVolume]);
      return sentence.test(events)
        ? { value: events }
        : { reason: `the Events are ${events}, the status ${JSON.stringify(await volume.status())}` };
    });
  /** How many writes are acknowledged in a second. */
  async function rateOf(writer: Writer): Promise<number> {
    const [before, fromMs] = [writer.acknowledged, performance.now()];
    await delay(1_000);
    return ((writer.acknowledged - before) * 1_000) / (performance.now() - fromMs);
  }
  const keptParts = (): string[] =>
    world.cluster.nodes.flatMap((node) => {
      const pool = poolDirectory(world.cluster.directory, node, DEFAULT_POOL);
      return readdirSync(pool).includes('snapshots') ? readdirSync(path.join(pool, 'snapshots')).map((part) => `${node}: ${part}`) : [];
    });

  it('striped over shards, it survives the node that serves it, and each shard comes back', async () => {
    const { volume, socket } = await world.volume('96Mi', 2, 'node-a', { shards: 4, minInSync: 1 });
    const { replicas } = await volume.status();
    expect(replicas?.map(({ shard }) => shard).sort()).to.deep.equal([0, 0, 1, 1, 2, 2, 3, 3]);
    expect(new Set(replicas?.map(({ node }) => node)).size, 'spread over all nodes').to.equal(4);
    await qemuIo(socket, 'write -P 0x31 512k 64M', 'flush');
    await world.cluster.process('agent/node-a').kill('SIGKILL');
    await volume.attachTo('node-b');
    const other = await volume.untilServedBy('node-b', FAILOVER_BOUND_MS);
    await qemuIo(other, 'read -P 0x31 512k 64M', 'write -P 0x32 80M 8M', 'flush', 'read -P 0x32 80M 8M');
    world.cluster.process('agent/node-a').start();
    await volume.untilHealthy(2, RETURN_BOUND_MS);
    await qemuIo(other, 'read -P 0x31 512k 64M', 'read -P 0x32 80M 8M');
    await world.deleteLast(volume);
  });

  it('it grows while it is used, is held to its limits at once, and has more and then fewer replicas', async () => {
    const { volume, socket } = await world.volume('64Mi', 2, 'node-a');
    await qemuIo(socket, 'write -P 0x41 60M 4M', 'flush');
    const writer = world.writer(volume);
    writer.begin();
    await writer.untilMore(WRITES);
    await change(volume, { size: '128Mi', replicas: 3 });
    await volume.until('larger', HEALTHY_BOUND_MS, ({ size }) => size === '128Mi');
    expect(await sizeOf(socket)).to.equal(128 * MIB);
    await qemuIo(socket, 'write -P 0x42 64M 64M', 'flush', 'read -P 0x41 60M 4M', 'read -P 0x42 64M 64M');
    await volume.untilHealthy(3, RETURN_BOUND_MS);
    await change(volume, { limits: { iops: IOPS } });
    await waitFor('the writers to be held back', HEALTHY_BOUND_MS, async () => {
      const rate = await rateOf(writer);
      return rate <= IOPS * 1.2 ? { value: rate } : { reason: `they write ${rate} times a second` };
    });
    await change(volume, { limits: { iops: 0, bytesPerSecond: 16 * MIB } });
    const startedMs = performance.now();
    await waitFor('the limit to be felt', HEALTHY_BOUND_MS, async () => {
      const fromMs = performance.now();
      await qemuIo(socket, 'read 0 16M');
      const tookMs = performance.now() - fromMs;
      return tookMs > 700
        ? { value: tookMs }
        : { reason: `16 MiB took ${tookMs} ms, ${performance.now() - startedMs} ms after it was set` };
    });
    await change(volume, { limits: { bytesPerSecond: 0 }, replicas: 1 });
    await volume.untilHealthy(1, HEALTHY_BOUND_MS);
    await waitFor('the writers to be let go', HEALTHY_BOUND_MS, async () => {
      const rate = await rateOf(writer);
      return rate > IOPS * 1.5 ? { value: rate } : { reason: `they write ${rate} times a second` };
    });
    await writer.end();
    expect(await writer.faults(socket)).to.deep.equal([]);
    await qemuIo(socket, 'read -P 0x41 60M 4M', 'read -P 0x42 64M 64M');
    await world.deleteLast(volume);
  });

  it('a snapshot is what it was then, others start from it, and each of them goes by itself', async () => {
    const { volume, socket } = await world.volume('64Mi', 3, 'node-a', { shards: 2 });
    await qemuIo(socket, 'write -P 0x51 0 64M', 'flush');
    const status = await snapshot('first', volume);
    expect(status).to.deep.include({ phase: 'Ready', size: '64Mi' });
    await qemuIo(socket, 'write -P 0x52 8M 8M', 'flush');
    const { volume: copy, socket: copied } = await world.volume('96Mi', 3, 'node-b', { shards: 2, source: { snapshot: 'first' } });
    await qemuIo(copied, 'read -P 0x51 0 64M', 'read -P 0 64M 32M', 'write -P 0x53 0 4M', 'flush');
    await qemuIo(socket, 'read -P 0x51 0 8M', 'read -P 0x52 8M 8M');
    await volume.delete();
    await deleteSnapshot('first');
    expect(keptParts()).to.deep.equal([]);
    await qemuIo(copied, 'read -P 0x53 0 4M', 'read -P 0x51 4M 60M');
    await world.deleteLast(copy);
  });

  it('a snapshot under writers is one moment of all shards', async () => {
    const { volume, socket } = await world.volume('64Mi', 2, 'node-b', { shards: 3 });
    const writer = world.writer(volume);
    writer.begin();
    await writer.untilMore(WRITES);
    const before = writer.acknowledged;
    await snapshot('moment', volume);
    await writer.untilMore(WRITES);
    await writer.end();
    const { volume: copy, socket: copied } = await world.volume('64Mi', 3, 'node-c', { shards: 3, source: { snapshot: 'moment' } });
    expect(await writer.faultsOfMoment(copied, copy.name, before)).to.deep.equal([]);
    expect(await writer.faults(socket), 'the volume itself went on').to.deep.equal([]);
    await deleteSnapshot('moment');
    await volume.delete();
    await world.deleteLast(copy);
  });

  it('what rots in one of three replicas is found and mended, and told', async () => {
    const { volume, socket } = await world.volume('32Mi', 3, 'node-a');
    await qemuIo(socket, 'write -P 0x71 0 8M', 'flush');
    await volume.until('compared', SCRUB_BOUND_MS, ({ scrub }) => scrub?.lastCompleted !== undefined);
    const [rotten] = (await volume.status()).replicas?.filter(({ node }) => node !== 'node-a') ?? [];
    const data = path.join(await world.replicaOn(rotten?.node ?? '', volume), 'data');
    flipByte(data, 5 * MIB + 4_711);
    await untilTold(volume, /comparing the replicas found 1 block that differed; it is as the majority's now/, SCRUB_BOUND_MS);
    expect(readByte(data, 5 * MIB + 4_711)).to.equal(0x71);
    await qemuIo(socket, 'read -P 0x71 0 8M');
    await world.deleteLast(volume);
  });

  it('two replicas that differ are told of, not guessed about; a write there settles it', async () => {
    const { volume, socket } = await world.volume('32Mi', 2, 'node-a');
    await qemuIo(socket, 'write -P 0x72 0 8M', 'flush');
    const copies = await Promise.all(((await volume.status()).replicas ?? []).map(({ node }) => world.replicaOn(node, volume)));
    const [one = '', other = ''] = copies.map((copy) => path.join(copy, 'data'));
    flipByte(one, 3 * MIB);
    const sentence = '1 block of 4Ki differs between replicas, and no majority says what is right: extent 3 of shard 0';
    await untilTold(volume, new RegExp(sentence), SCRUB_BOUND_MS);
    expect([readByte(one, 3 * MIB), readByte(other, 3 * MIB)]).to.deep.equal([0x62, 0x72]);
    const { phase, conditions } = await volume.status();
    expect(phase).to.equal('Healthy');
    expect(conditions?.find(({ type }) => type === 'Consistent')).to.include({ status: 'False', message: sentence });
    await qemuIo(socket, 'write -P 0x73 3M 4k', 'flush');
    await volume.until('consistent', SCRUB_BOUND_MS, (status) => status.conditions?.every(({ type }) => type !== 'Consistent'));
    await world.deleteLast(volume);
  });

  it('larger than any pool, and without a node for good: its replicas are made on the others', async () => {
    const whole = world.newVolume();
    await whole.create('8Gi', 2);
    await whole.until('refused', HEALTHY_BOUND_MS, ({ phase, unschedulable }) => phase === 'Pending' && unschedulable?.length === 4);
    await whole.delete();
    const { volume, socket } = await world.volume('8Gi', 2, 'node-a', { shards: 6, minInSync: 1 });
    await qemuIo(socket, 'write -P 0x81 4G 32M', 'write -P 0x82 8150M 32M', 'flush');
    await world.cluster.process('agent/node-d').kill('SIGKILL');
    await qemuIo(socket, 'read -P 0x81 4G 32M', 'write -P 0x83 1M 4M', 'flush', 'read -P 0x83 1M 4M');
    await volume.until('on the others', REPLACED_BOUND_MS, ({ phase, inSync, replicas }) => {
      return phase === 'Healthy' && inSync === '2/2' && replicas?.length === 12 && replicas.every(({ node }) => node !== 'node-d');
    });
    await qemuIo(socket, 'read -P 0x81 4G 32M', 'read -P 0x82 8150M 32M', 'read -P 0x83 1M 4M');
    world.cluster.process('agent/node-d').start();
    await world.cluster.waitUntilReady('agent/node-d');
    await world.deleteLast(volume);
  });

  it('a volume that nobody uses is kept in a snapshot, and another starts from it directly', async () => {
    const { volume, socket } = await world.volume('32Mi', 2, 'node-c');
    await qemuIo(socket, 'write -P 0x61 0 32M', 'flush');
    await world.detach(volume);
    await snapshot('idle', volume);
    const { volume: copy, socket: copied } = await world.volume('32Mi', 3, 'node-d', { source: { volume: volume.name } });
    await qemuIo(copied, 'read -P 0x61 0 32M');
    await deleteSnapshot('idle');
    await waitFor('the clone’s own snapshot to go', SNAPSHOT_BOUND_MS, async () =>
      keptParts().length === 0 ? { value: true } : { reason: `there are ${keptParts().join(', ')}` },
    );
    await volume.delete();
    await world.deleteLast(copy);
  });

  it('what cannot be is told in a sentence', async () => {
    const volume = world.newVolume();
    await volume.create('32Mi', 1, { source: { snapshot: 'nowhere' } });
    await volume.until('Pending', HEALTHY_BOUND_MS, ({ conditions }) =>
      conditions?.some(({ type, message }) => type === 'Ready' && message === 'spec.source.snapshot: there is no Snapshot nowhere'),
    );
    await world.deleteLast(volume);
    const { volume: small } = await world.volume('32Mi', 1, 'node-a');
    await change(small, { size: '1Ti' });
    await small.until('refused to grow', HEALTHY_BOUND_MS, ({ conditions }) =>
      conditions?.some(({ type, status, message }) => type === 'Resizing' && status === 'False' && message.startsWith('it stays at 32Mi')),
    );
    await world.deleteLast(small);
  });
});
