/**
 * All that etcd held of volumes is lost: its members' data are really gone, and empty ones have taken their place. Volumes are served on, nothing is placed anew, nobody deletes
 * anything, and it is rebuilt from the disks, every byte as it was; snapshots too, so the pools lie on a real XFS.
 */
import { execFile } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { VolumeConfig } from '../../core/config.ts';
import { type Keys, keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import type { Store } from '../../core/store.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { loadCertificates } from '../../edge/tls.ts';
import type { Snapshot } from '../../operator/generated/snapshot.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { CHECKOUT, CLUSTER_NAME } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { configsIn } from '../support/configsInStore.ts';
import { XfsDisk } from '../support/xfsDisk.ts';
import { FAILOVER_BOUND_MS, HEALTHY_BOUND_MS, qemuIo, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';
import type { Writer } from './writer.ts';

const LOST_BOUND_MS = 40_000;
const RECOVER_MS_MAX = 60_000;
const SNAPSHOT_BOUND_MS = 20_000;
const DISK_BYTES = 8 * 1024 ** 3;
const WRITES = 40;

describe('end to end: a lost store', function () {
  this.timeout(300_000);
  let world: World;
  let disk: XfsDisk;
  let writer: Writer | undefined;

  before(async function () {
    this.timeout(START_BOUND_MS);
    disk = await XfsDisk.make(DISK_BYTES);
    world = await World.open(3, undefined, { parent: disk.directory, etcdMembers: 3, hasApiServerEtcd: true });
  });
  after(async () => {
    await writer?.end();
    await world?.close();
    await disk?.remove();
  });
  showLogsOfFailures(() => world);

  /** All members at once, with all their data; empty ones take their places. */
  const loseStore = async (): Promise<void> => {
    const members = world.cluster.etcdMembers.map((name) => world.cluster.process(name));
    await Promise.all(members.map((member) => member.kill('SIGKILL')));
    for (const member of members) rmSync(path.join(member.directory, 'data'), { recursive: true });
    for (const member of members) member.start();
  };
  const withStore = async <Value>(work: (store: Store, keys: Keys) => Promise<Value>): Promise<Value> => {
    const { endpoints, tls } = world.cluster.etcd;
    const certificates = await loadCertificates(tls, silentLog);
    const connection = connectStore({ endpoints, certificates, leaseTtlSeconds: 5 }, silentLog);
    try {
      return await work(connection.store, keysOf(CLUSTER_NAME));
    } finally {
      await connection.close();
      certificates.close();
    }
  };
  const configOf = (volume: DemoVolume): Promise<VolumeConfig | undefined> =>
    withStore(async (store, keys) => (await configsIn(store, keys)).find(({ config }) => config.name === volume.name)?.config);

  /** As people run it where no operator's pod runs. */
  const recover = async (...choices: string[]): Promise<{ code: number; text: string }> => {
    const { endpoints, tls } = world.cluster.etcd;
    const environment = {
      KUBECONFIG: world.cluster.kubeconfig,
      HOLDFAST_CLUSTER: CLUSTER_NAME,
      ETCD_ENDPOINTS: endpoints.join(','),
      TLS_CA: tls.ca,
      TLS_CERT: tls.cert,
      TLS_KEY: tls.key,
    };
    const options = { env: { PATH: process.env.PATH, ...environment }, timeout: RECOVER_MS_MAX };
    return promisify(execFile)(path.join(CHECKOUT, 'bin/kubectl-holdfast'), ['recover', '--here', ...choices], options).then(
      ({ stdout }) => ({ code: 0, text: stdout }),
      (error: { code?: number; stdout?: string; stderr?: string }) => ({ code: error.code ?? -1, text: `${error.stdout}${error.stderr}` }),
    );
  };

  /** A volume whose config is lost has failed, which other waits take for the end of it. */
  const isUnrecorded = (volume: DemoVolume, isIt: boolean) =>
    waitFor(`${volume.name} ${isIt ? 'known as lost' : 'rebuilt'}`, LOST_BOUND_MS, async () => {
      const { conditions, phase } = await volume.status();
      const isLost = conditions?.some(({ reason }) => reason === 'ConfigLost') ?? false;
      return isLost === isIt ? { value: true } : { reason: `it is ${phase}` };
    });
  const servedAgain = async (volume: DemoVolume, node: string): Promise<string> => {
    await isUnrecorded(volume, false);
    return volume.untilServedBy(node, FAILOVER_BOUND_MS);
  };
  /** Of all three; those that are not registered yet, and those that are away, are waited for by the plan. */
  const untilTold = (count: number) =>
    waitFor(`${count} agents to be registered again`, LOST_BOUND_MS, async () => {
      const { text } = await recover();
      const missing = /^recover: nothing is written/.test(text) ? (text.match(/waits for/g)?.length ?? 0) : 3;
      return 3 - missing >= count ? { value: text } : { reason: text };
    });
  const snapshotStatus = async (name: string) =>
    (JSON.parse(await world.cluster.kubectl(['get', 'hs', name, '-o', 'json'])) as Snapshot).status ?? {};
  const snapshotReady = (name: string, isReady: boolean) =>
    waitFor(`snapshot ${name} ${isReady ? '' : 'not '}to be ready`, SNAPSHOT_BOUND_MS, async () => {
      const status = await snapshotStatus(name);
      return (status.ready ?? false) === isReady ? { value: status } : { reason: `its status is ${JSON.stringify(status)}` };
    });

  it('is rebuilt from what lies on the disks; what nobody here can know is refused, with who is missing', async () => {
    const busy = await world.volume('64Mi', 3, 'node-a');
    const whole = await world.volume('64Mi', 3, 'node-a');
    await qemuIo(whole.socket, 'write -P 0x51 0 8M', 'flush');
    const object = {
      apiVersion: 'holdfast.dev/v1alpha1',
      kind: 'Snapshot',
      metadata: { name: 'kept' },
      spec: { volume: whole.volume.name },
    };
    await world.cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object));
    await snapshotReady('kept', true);
    await qemuIo(whole.socket, 'write -P 0x54 0 1M', 'flush');
    const pair = await world.volume('64Mi', 3, 'node-b');
    await qemuIo(pair.socket, 'write -P 0x52 0 8M', 'flush');
    // The second goes on without node-c: what is written now is on two nodes only.
    await world.cluster.process('agent/node-c').kill('SIGKILL');
    await pair.volume.until('degraded', FAILOVER_BOUND_MS, ({ phase, inSync }) => phase === 'Degraded' && inSync === '2/3');
    await qemuIo(pair.socket, 'write -P 0x53 4M 4M', 'flush');
    const volumes = [busy, whole, pair].map(({ volume }) => volume);
    const before = await Promise.all(volumes.map(async (volume) => (await configOf(volume))?.epoch ?? 0));
    const replicas = await Promise.all(
      [whole, pair].flatMap(({ volume }) => ['node-a', 'node-b'].map((node) => world.replicaOn(node, volume))),
    );
    writer = world.writer(busy.volume);
    writer.begin();
    await writer.untilMore(WRITES);

    await loseStore();
    await Promise.all(volumes.map((volume) => isUnrecorded(volume, true)));
    await writer.untilMore(WRITES);
    await qemuIo(pair.socket, 'read -P 0x53 4M 4M', 'write -P 0x55 8M 1M', 'flush');
    await snapshotReady('kept', false);
    const plan = await untilTold(2);
    expect(plan)
      .to.contain('nothing is written')
      .and.to.match(new RegExp(`rebuilt +${pair.volume.name} `));
    expect(
      replicas.filter((directory) => !existsSync(directory)),
      'replicas that are gone',
    ).to.deep.equal([]);
    const waits = await recover('--yes');
    expect(waits.code).to.equal(1);
    expect(waits.text).to.contain('waits for node-c').and.to.contain('nothing is written');
    expect(await configOf(pair.volume)).to.equal(undefined);

    const without = await recover('--without', 'node-c', '--yes');
    expect(without.text).to.match(new RegExp(`rebuilt +${pair.volume.name} `));
    const served = await servedAgain(pair.volume, 'node-b');
    await qemuIo(served, 'read -P 0x52 0 4M', 'read -P 0x53 4M 4M', 'read -P 0x55 8M 1M');

    world.cluster.process('agent/node-c').start();
    await untilTold(3);
    const all = await recover('--amend', '--yes');
    expect(all.code, all.text).to.equal(0);
    const again = await servedAgain(whole.volume, 'node-a');
    await qemuIo(again, 'read -P 0x54 0 1M', 'read -P 0x51 1M 7M');
    await Promise.all([whole, pair].map(({ volume }) => volume.untilHealthy(3, RETURN_BOUND_MS)));
    const after = await Promise.all(volumes.map(async (volume) => (await configOf(volume))?.epoch ?? 0));
    expect(after.every((epoch, index) => epoch > (before[index] ?? 0) + 900)).to.equal(true);

    for (const node of ['node-b', 'node-c', 'node-a']) {
      await pair.volume.attachTo(node);
      const socket = await pair.volume.untilServedBy(node, HEALTHY_BOUND_MS);
      await qemuIo(socket, 'read -P 0x52 0 4M', 'read -P 0x53 4M 4M', 'read -P 0x55 8M 1M');
    }
    await writer.untilMore(WRITES);
    await writer.end();
    expect(await writer.faults(await busy.volume.untilServedBy('node-a', FAILOVER_BOUND_MS))).to.deep.equal([]);

    await snapshotReady('kept', true);
    const clone = await world.volume('64Mi', 2, 'node-b', { source: { snapshot: 'kept' } });
    await qemuIo(clone.socket, 'read -P 0x51 0 8M');
  });

  it('of one config alone: its volume is served on, others are not touched, and recover says that etcd is not empty', async () => {
    const { volume, socket } = await world.volume('64Mi', 2, 'node-c');
    await qemuIo(socket, 'write -P 0x61 0 4M', 'flush');
    const { uid } = (await configOf(volume)) ?? { uid: undefined };
    if (uid === undefined) throw new Error(`${volume.name} has no config`);
    await withStore((store, keys) => store.commit([], [{ delete: keys.volume(uid) }]));
    await isUnrecorded(volume, true);
    expect((await volume.status()).conditions?.find(({ type }) => type === 'Ready')?.message).to.contain('node-c serves it on');
    await qemuIo(socket, 'read -P 0x61 0 4M', 'write -P 0x62 4M 4M', 'flush');
    const refused = await recover('--yes');
    expect([refused.code, refused.text.includes('--amend')], refused.text).to.deep.equal([1, true]);
    const amended = await recover('--amend', '--yes');
    expect(amended.code, amended.text).to.equal(0);
    await qemuIo(await servedAgain(volume, 'node-c'), 'read -P 0x61 0 4M', 'read -P 0x62 4M 4M');
  });
});
