/** The scenes of `make test-alerts`: what is done to a cluster, and which alerts must fire for it, and which must not. Each mends what it did. */

import 'reflect-metadata'; // @peculiar/x509 loads only after it
import { execFileSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import { volumeUid } from '../../core/ids.ts';
import { keysOf } from '../../core/keys.ts';
import type { Store } from '../../core/store.ts';
import { DemoVolume } from '../../tools/demo/volume.ts';
import { API_SERVER, CLUSTER_NAME, DEFAULT_POOL, type ProcessName, poolDirectory } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { SmallDisk } from '../chaos/smallDisk.ts';
import { qemuIo } from '../e2e/world.ts';
import { clockGoesWrong, ownClock, removeClock } from './clock.ts';
import { BOUND_MS, type Stage, type StageOptions } from './stage.ts';

export type Scene = { name: string; options: () => StageOptions; play(stage: Stage): Promise<void>; after?: () => void };

const KEYS = keysOf(CLUSTER_NAME);
const DAY_MS = 24 * 3600 * 1000;
const SETTINGS = JSON.stringify({ scrubIntervalSeconds: 5 });
const MIB = 1024 ** 2;

const kill = (stage: Stage, name: ProcessName): Promise<void> => stage.world.cluster.process(name).kill('SIGKILL');
async function start(stage: Stage, ...names: ProcessName[]): Promise<void> {
  for (const name of names) stage.world.cluster.process(name).start();
  await Promise.all(names.map((name) => (name.startsWith('agent') ? stage.world.cluster.waitUntilReady(name, BOUND_MS) : undefined)));
}
const maintenance = (stage: Stage, node: string, on: boolean): Promise<string> =>
  stage.kubectl(['patch', 'storagenode', node, '--type', 'merge', '--patch', JSON.stringify({ spec: { maintenance: on } })]);
const uidOf = (stage: Stage, name: string): Promise<string> => stage.kubectl(['get', 'volume', name, '-o', 'jsonpath={.metadata.uid}']);
const phase = (volume: DemoVolume, wanted: string): Promise<unknown> => volume.until(wanted, BOUND_MS, (status) => status.phase === wanted);

async function awayAndUnavailable(stage: Stage): Promise<void> {
  const db = await stage.volume('db', 3, 'node-a');
  const writer = stage.world.writer(db);
  writer.begin();
  try {
    stage.say('all is well: nobody is told anything');
    await stage.quiet();
    stage.say('planned maintenance of node-c: its agent goes, nobody is told');
    await maintenance(stage, 'node-c', true);
    await kill(stage, 'agent/node-c');
    await phase(db, 'Degraded');
    await stage.quiet();
    stage.say('the same without maintenance');
    await maintenance(stage, 'node-c', false);
    await stage.fire({ alert: 'NodeAway', labels: { node: 'node-c' } }, { alert: 'VolumeDegraded', labels: { volume: 'db' } });
    stage.say('node-b as well: too few are left');
    await kill(stage, 'agent/node-b');
    await stage.fire(
      { alert: 'VolumeUnavailable', labels: { volume: 'db', node: 'node-a' } },
      { alert: 'NodeAway', labels: { node: 'node-b' } },
    );
    await start(stage, 'agent/node-b', 'agent/node-c');
    await db.untilHealthy(3, BOUND_MS);
    await stage.end('NodeAway', 'VolumeDegraded', 'VolumeUnavailable');
  } finally {
    await writer.end();
  }
}

async function placeAndSnapshots(stage: Stage): Promise<void> {
  stage.say('a volume that fits nowhere');
  const homeless = new DemoVolume(stage.world.cluster.kubectl, 'homeless');
  await homeless.create('16Mi', 2, { placement: { nodeSelector: { disk: 'nvme' }, poolTags: [], zones: 'Prefer' } });
  await stage.fire({ alert: 'VolumeWaitsForPlace' });
  await homeless.delete();
  await stage.end('VolumeWaitsForPlace');
  stage.say('a snapshot where blocks cannot be shared');
  const snapshot = { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Snapshot', metadata: { name: 'nightly' }, spec: { volume: 'db' } };
  await stage.world.cluster.kubectl(['apply', '-f', '-'], JSON.stringify(snapshot));
  await stage.fire({ alert: 'SnapshotsFail', labels: { state: 'blocked' } });
  await stage.kubectl(['delete', 'snapshots.holdfast.dev', 'nightly', '--timeout', '60s']);
  await stage.end('SnapshotsFail');
}

async function differing(stage: Stage): Promise<void> {
  stage.say('two replicas, and somebody changes a block of one behind our back');
  const pair = await stage.volume('pair', 2, 'node-a');
  await qemuIo(stage.world.cluster.socket('node-a', 'pair'), 'write -P 5 0 4M', 'flush');
  const holder = (await pair.status()).replicas?.[0]?.node ?? '';
  const file = openSync(path.join(await stage.world.replicaOn(holder, pair), 'data'), 'r+');
  writeSync(file, Buffer.alloc(4096, 9), 0, 4096, 2 * MIB);
  closeSync(file);
  await stage.fire({ alert: 'BlocksDiffer', labels: { volume: 'pair' } });
  await pair.delete();
  await stage.end('BlocksDiffer');
}

/** The same certificate, in its last days. */
async function agedCopy(certificate: string, authority: { certificate: string; key: string }): Promise<string> {
  const old = new x509.X509Certificate(certificate);
  const nowMs = Date.now();
  const aged = await x509.X509CertificateGenerator.create({
    subject: old.subject,
    issuer: new x509.X509Certificate(authority.certificate).subject,
    publicKey: old.publicKey,
    signingKey: createPrivateKey(authority.key).toCryptoKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    notBefore: new Date(nowMs - 88 * DAY_MS),
    notAfter: new Date(nowMs + 2 * DAY_MS),
    extensions: old.extensions,
  });
  return `${aged.toString('pem')}\n`;
}

async function certificates(stage: Stage): Promise<void> {
  stage.say("node-c's certificate ends in two days");
  const { directory } = stage.world.cluster;
  const read = (file: string): string => readFileSync(path.join(directory, file), 'utf8');
  const own = path.join(directory, 'agent/node-c/tls.crt');
  const before = readFileSync(own, 'utf8');
  writeFileSync(own, await agedCopy(before, { certificate: read('authority/holdfast/ca.crt'), key: read('authority/holdfast/ca.key') }));
  await stage.fire({ alert: 'CertificateEndsSoon' });
  writeFileSync(own, before);
  await stage.end('CertificateEndsSoon');
}

/** Puts `value` in the place of what stands there (null: nothing), and gives what stood there. */
async function exchange(store: Store, key: string, value: string | null): Promise<string> {
  const entry = await store.get(key);
  if (entry === null) throw new Error(`nothing stands at ${key}`);
  await store.commit([], [value === null ? { delete: key } : { put: key, value }]);
  return entry.value;
}

async function lostConfigs(stage: Stage): Promise<void> {
  await stage.volume('broken', 2);
  // One that was never served would be placed anew: nothing is lost with it.
  await stage.volume('spare', 2, 'node-b');
  stage.say('a config that cannot be read');
  const broken = KEYS.volume(volumeUid(await uidOf(stage, 'broken')));
  const before = await stage.withStore((store) => exchange(store, broken, '{"not": "a config"}'));
  await stage.fire({ alert: 'VolumeFailed', labels: { volume: 'broken', reason: 'DamagedConfig' } }, { alert: 'EtcdDamagedKeys' });
  await stage.withStore((store) => exchange(store, broken, before));
  await stage.end('VolumeFailed', 'EtcdDamagedKeys');
  stage.say('a config that is gone');
  const spare = KEYS.volume(volumeUid(await uidOf(stage, 'spare')));
  const whole = await stage.withStore((store) => exchange(store, spare, null));
  await stage.fire({ alert: 'ConfigLost', labels: { volume: 'spare', reason: 'ConfigLost' } });
  await stage.withStore((store) => store.commit([], [{ put: spare, value: whole }]));
  await stage.end('ConfigLost');
}

async function unknownSchema(stage: Stage): Promise<void> {
  stage.say('etcd is of a schema of which nobody here has heard');
  const ours = await stage.withStore((store) => exchange(store, KEYS.schema, '{"version": 99, "lowestReader": 99, "writtenBy": "9.9.0"}'));
  await stage.fire({ alert: 'SchemaUnknown' }, { alert: 'NoLeader' });
  await stage.withStore((store) => exchange(store, KEYS.schema, ours));
  await stage.end('SchemaUnknown', 'NoLeader');
}

async function badDisk(stage: Stage): Promise<void> {
  stage.say('a disk that does not let itself be used; nobody is told in maintenance');
  const { cluster } = stage.world;
  // Replicas that fail are not explained by maintenance: only that they cannot be reached is.
  stage.allow('VolumeDegraded');
  await maintenance(stage, 'node-c', true);
  await cluster.process('agent/node-c').kill('SIGTERM');
  const replicas = path.join(poolDirectory(cluster.directory, 'node-c', DEFAULT_POOL), 'replicas');
  rmSync(replicas, { recursive: true });
  writeFileSync(replicas, 'this was a directory');
  await start(stage, 'agent/node-c');
  await untilTold(stage, 'holdfast_pool_quarantined_count{node="node-c"} == 1');
  await stage.quiet();
  await maintenance(stage, 'node-c', false);
  // What lies there has failed with it, and there is no fourth node.
  stage.allow('ReplicaFailed', 'VolumeWaitsForPlace');
  await stage.fire(
    { alert: 'PoolQuarantined', labels: { node: 'node-c', pool: DEFAULT_POOL } },
    { alert: 'VolumeDegraded', labels: { volume: 'db' } },
  );
}

async function untilTold(stage: Stage, query: string): Promise<void> {
  const sinceMs = Date.now();
  await waitFor(`${query} to be told`, BOUND_MS, async () => {
    const found = await stage.prometheus.range(query, sinceMs, 1);
    return found.length > 0 ? { value: true } : { reason: 'it is not' };
  });
}

/** While nobody leads, nobody replaces what fails. */
async function nobodyLeads(stage: Stage): Promise<void> {
  stage.say('no operator is left, and a replica is damaged meanwhile');
  const { cluster } = stage.world;
  const operators = cluster.operators.map((name): ProcessName => `operator/${name}`);
  const db = new DemoVolume(cluster.kubectl, 'db');
  const replica = await stage.world.replicaOn('node-b', db);
  for (const name of operators) await kill(stage, name);
  await stage.fire({ alert: 'NoLeader' });
  await cluster.process('agent/node-b').kill('SIGTERM');
  for (const file of readdirSync(replica)) if (file === 'meta') writeFileSync(path.join(replica, file), 'not a meta');
  await start(stage, 'agent/node-b');
  await stage.fire({ alert: 'ReplicaFailed', labels: { node: 'node-b' } });
  await start(stage, ...operators);
  stage.allow('VolumeDegraded', 'VolumeUnavailable');
  await stage.end('NoLeader', 'ReplicaFailed');
  await db.untilHealthy(3, BOUND_MS);
  await stage.end('VolumeDegraded', 'VolumeUnavailable');
}

async function store(stage: Stage): Promise<void> {
  const members = stage.world.cluster.etcdMembers;
  const [, second, third] = members;
  if (second === undefined || third === undefined) throw new Error('three members were asked for');
  stage.say('one member of etcd goes');
  await kill(stage, third);
  await stage.fire({ alert: 'EtcdMemberDown' });
  stage.say('and another: no quorum');
  await kill(stage, second);
  await stage.fire({ alert: 'EtcdUnreachable' });
  await start(stage, second, third);
  await stage.end('EtcdUnreachable', 'EtcdMemberDown');
  stage.say('the API server goes');
  await kill(stage, API_SERVER);
  await stage.fire({ alert: 'ApiServerUnreachable' });
  await start(stage, API_SERVER);
  await stage.end('ApiServerUnreachable');
  stage.say('etcd fills up');
  await stage.withStore((etcd) => fill(stage, etcd));
}

const JUNK = 'x'.repeat(256 * 1024);
const QUOTA_BYTES = 24 * MIB;

/** Until it takes no more: beyond its quota it is nearly full, too. */
async function fill(stage: Stage, etcd: Store): Promise<void> {
  const piecesMax = (4 * QUOTA_BYTES) / JUNK.length;
  for (let piece = 0; ; piece++) {
    if (piece > piecesMax) throw new Error('etcd took four times its quota');
    const isFull = await etcd.commit([], [{ put: `/junk/${piece}`, value: JUNK }]).then(
      () => false,
      (error: Error) => error.message.includes('space exceeded') || Promise.reject(error),
    );
    if (isFull) break;
  }
  await stage.fire({ alert: 'EtcdSpace' }, { alert: 'EtcdAlarm', labels: { alarm: 'NOSPACE' } });
}

let disk: SmallDisk | null = null;
const DISK_BYTES = 256 * MIB;

function poolOnDisk(): StageOptions {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-disk-'));
  disk = new SmallDisk(directory, DISK_BYTES);
  if (!disk.mount()) throw new Error('only root can mount the small disk of this scene');
  return { nodes: 1, environments: { 'node-a': { POOLS: `main=${directory}` } } };
}

function unmount(): void {
  disk?.unmount();
  if (disk !== null) rmSync(disk.directory, { recursive: true, force: true });
  disk = null;
}

async function fullPool(stage: Stage): Promise<void> {
  const directory = disk?.directory ?? '';
  // Each may be as large as the disk, both together larger: volumes are thin.
  for (const name of ['thin-1', 'thin-2']) await stage.volume(name, 1, '', { size: '200Mi' });
  stage.say('the disk is smaller than what it has promised');
  execFileSync('mount', ['-o', `remount,size=${200 * MIB}`, directory]);
  await stage.fire({ alert: 'PoolOverProvisioned', labels: { node: 'node-a', pool: 'main' } });
  stage.say('it is used to nine tenths');
  writeFileSync(path.join(directory, 'filler'), Buffer.alloc(180 * MIB, 1));
  await stage.fire({ alert: 'PoolNearlyFull', labels: { node: 'node-a', pool: 'main' } });
  stage.say('and up to its reserve');
  writeFileSync(path.join(directory, 'filler2'), Buffer.alloc(14 * MIB, 1));
  await stage.fire({ alert: 'PoolFull', labels: { node: 'node-a', pool: 'main' } });
  await stage.end('PoolNearlyFull');
  rmSync(path.join(directory, 'filler'));
  rmSync(path.join(directory, 'filler2'));
  await stage.end('PoolFull');
}

export const SCENES: readonly Scene[] = [
  {
    name: 'volumes',
    options: () => ({ nodes: 3, operatorEnvironment: { SETTINGS, REPLACE_AFTER_SECONDS: '0' } }),
    async play(stage) {
      await awayAndUnavailable(stage);
      await placeAndSnapshots(stage);
      await differing(stage);
    },
  },
  {
    name: 'losses',
    options: () => ({ nodes: 3, operatorEnvironment: { REPLACE_AFTER_SECONDS: '0' } }),
    async play(stage) {
      await stage.volume('db', 3, 'node-a');
      await certificates(stage);
      await lostConfigs(stage);
      await unknownSchema(stage);
      await nobodyLeads(stage);
      await badDisk(stage);
    },
  },
  {
    name: 'etcd',
    options: () => ({
      nodes: 2,
      etcdMembers: 3,
      etcdFlags: [`--quota-backend-bytes=${QUOTA_BYTES}`],
      operatorEnvironment: { ETCD_UPKEEP: 'off' },
    }),
    play: store,
  },
  { name: 'pools', options: poolOnDisk, play: fullPool, after: unmount },
  { name: 'clock', options: ownClock, play: clockGoesWrong, after: removeClock },
];
