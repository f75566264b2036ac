/**
 * etcd says of a volume what it said some time ago, as after a restore from a backup: the config names a replica in sync that has missed acknowledged writes since, and
 * nobody may be served by it. The leader leaves the volume alone and says why; `recover` rebuilds the config from the disks.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { VolumeConfig } from '../../core/config.ts';
import { keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { loadCertificates } from '../../edge/tls.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { CHECKOUT, CLUSTER_NAME } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { configsAmong } from '../support/configsInStore.ts';
import { FAILOVER_BOUND_MS, HEALTHY_BOUND_MS, qemuIo, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';

const KEYS = keysOf(CLUSTER_NAME);
const KNOWN_BOUND_MS = 20_000;
const RECOVER_MS_MAX = 60_000;

describe('end to end: etcd restored from a backup', function () {
  this.timeout(180_000);
  let world: World;

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3);
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  const configOf = async ({ name }: DemoVolume): Promise<VolumeConfig> => {
    const found = configsAmong(await world.stored(), KEYS).find(({ config }) => config.name === name);
    if (!found) throw new Error(`etcd holds no config of ${name}`);
    return found.config;
  };

  const restore = async (config: VolumeConfig): Promise<void> => {
    const { endpoints, tls } = world.cluster.etcd;
    const certificates = await loadCertificates(tls, silentLog);
    const connection = connectStore({ endpoints, certificates, leaseTtlSeconds: 5 }, silentLog);
    try {
      await connection.store.commit([], [{ put: KEYS.volume(config.uid), value: JSON.stringify(config) }]);
    } finally {
      await connection.close();
      certificates.close();
    }
  };

  const recover = async (): Promise<string> => {
    const { endpoints, tls } = world.cluster.etcd;
    const environment = {
      NAME: 'recover',
      KUBECONFIG: world.cluster.kubeconfig,
      HOLDFAST_CLUSTER: CLUSTER_NAME,
      ETCD_ENDPOINTS: endpoints.join(','),
      TLS_CA: tls.ca,
      TLS_CERT: tls.cert,
      TLS_KEY: tls.key,
    };
    const node = path.join(CHECKOUT, 'node_modules/.bin/node');
    const command = ['--disable-warning=DEP0123', 'operator/recover/main.ts', '--amend', '--yes'];
    const options = { cwd: CHECKOUT, env: { ...process.env, ...environment }, timeout: RECOVER_MS_MAX };
    return (await promisify(execFile)(node, command, options)).stdout;
  };

  it('leaves the volume alone, whoever is asked to serve it, until it is rebuilt, and then every byte is there', async () => {
    // With minInSync 1 nothing but the refusal of the others would keep the one that missed everything from serving.
    const { volume, socket } = await world.volume('64Mi', 3, 'node-a', { minInSync: 1 });
    await qemuIo(socket, 'write -P 0x61 0 8M', 'flush');
    const backup = await configOf(volume);
    await world.cluster.process('agent/node-c').kill('SIGKILL');
    await volume.until('degraded', FAILOVER_BOUND_MS, ({ inSync }) => inSync === '2/3');
    await qemuIo(socket, 'write -P 0x62 0 8M', 'flush');
    await volume.attachTo('node-b');
    await volume.untilServedBy('node-b', FAILOVER_BOUND_MS);
    await world.cluster.process('agent/node-b').kill('SIGKILL');
    await volume.until('fenced', FAILOVER_BOUND_MS, ({ epoch = 0, primary }) => epoch > backup.epoch + 1 && primary === undefined);
    const latest = await configOf(volume);

    await restore(backup);
    for (const node of ['node-b', 'node-c'] as const) world.cluster.process(`agent/${node}`).start();
    const sentence = await waitFor('people are told', KNOWN_BOUND_MS, async () => {
      const { conditions, phase, epoch } = await volume.status();
      const ready = conditions?.find(({ reason }) => reason === 'StoreOutdated');
      return ready && epoch === latest.epoch ? { value: ready.message } : { reason: `it is ${phase}` };
    });
    expect(sentence).to.include('`kubectl holdfast recover --amend`');
    await volume.attachTo('node-c');
    await world.cluster.grow(3, 2);
    expect(await configOf(volume), 'nothing is done to it').to.deep.equal(backup);

    expect(await recover()).to.match(new RegExp(`rebuilt +${volume.name} `));
    await waitFor('it is rebuilt', KNOWN_BOUND_MS, async () => {
      const { phase } = await volume.status();
      return phase === 'Failed' ? { reason: 'it is Failed' } : { value: true };
    });
    expect((await configOf(volume)).epoch).to.be.greaterThan(latest.epoch);
    await qemuIo(await volume.untilServedBy('node-c', FAILOVER_BOUND_MS), 'read -P 0x62 0 8M');
    await volume.untilHealthy(3, RETURN_BOUND_MS);
    for (const node of ['node-a', 'node-b', 'node-c']) {
      await volume.attachTo(node);
      await qemuIo(await volume.untilServedBy(node, HEALTHY_BOUND_MS), 'read -P 0x62 0 8M');
    }
  });
});
