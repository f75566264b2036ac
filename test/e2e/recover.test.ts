/** All that etcd held of volumes is lost: nothing is placed anew, nobody deletes anything, and it is rebuilt from the disks, every byte as it was. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { loadCertificates } from '../../edge/tls.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { CHECKOUT, CLUSTER_NAME } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { FAILOVER_BOUND_MS, HEALTHY_BOUND_MS, qemuIo, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';

const LOST_BOUND_MS = 30_000;
const RECOVER_MS_MAX = 60_000;

describe('end to end: a lost store', function () {
  this.timeout(240_000);
  let world: World;

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3);
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  /** Everything under the cluster's prefix, as if another, empty etcd had taken the place of the one there was. */
  const loseStore = async (): Promise<void> => {
    const { endpoints, tls } = world.cluster.etcd;
    const certificates = await loadCertificates(tls, silentLog);
    const connection = connectStore({ endpoints, certificates, leaseTtlSeconds: 5 }, silentLog);
    try {
      const { entries } = await connection.store.list(keysOf(CLUSTER_NAME).root);
      for (let start = 0; start < entries.length; start += 100) {
        await connection.store.commit(
          [],
          entries.slice(start, start + 100).map(({ key }) => ({ delete: key })),
        );
      }
    } finally {
      await connection.close();
      certificates.close();
    }
  };

  const recover = async (...choices: string[]): Promise<{ code: number; text: string }> => {
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
    const command = ['--disable-warning=DEP0123', 'operator/recover/main.ts', ...choices];
    const options = { cwd: CHECKOUT, env: { ...process.env, ...environment }, timeout: RECOVER_MS_MAX };
    return promisify(execFile)(node, command, options).then(
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
  const untilTold = (count: number) =>
    waitFor(`${count} agents to be registered again`, LOST_BOUND_MS, async () => {
      const { text } = await recover();
      const missing = 3 - (text.match(/waits for/g)?.length ?? 0);
      return missing >= count ? { value: text } : { reason: text };
    });

  it('is rebuilt from what lies on the disks; what nobody here can know is refused, with who is missing', async () => {
    const whole = await world.volume('64Mi', 3, 'node-a');
    await qemuIo(whole.socket, 'write -P 0x51 0 8M', 'flush');
    const pair = await world.volume('64Mi', 3, 'node-b');
    await qemuIo(pair.socket, 'write -P 0x52 0 8M', 'flush');
    // The second goes on without node-c: what is written now is on two nodes only.
    await world.cluster.process('agent/node-c').kill('SIGKILL');
    await pair.volume.until('degraded', FAILOVER_BOUND_MS, ({ phase, inSync }) => phase === 'Degraded' && inSync === '2/3');
    await qemuIo(pair.socket, 'write -P 0x53 4M 4M', 'flush');
    const replicas = await Promise.all(
      [whole, pair].flatMap(({ volume }) => ['node-a', 'node-b'].map((node) => world.replicaOn(node, volume))),
    );

    await loseStore();
    await Promise.all([isUnrecorded(whole.volume, true), isUnrecorded(pair.volume, true)]);
    await untilTold(2);
    expect(
      replicas.filter((directory) => !existsSync(directory)),
      'replicas that are gone',
    ).to.deep.equal([]);
    expect((await recover('--apply')).text)
      .to.contain('waits for node-c')
      .and.to.contain('nothing is written');

    const without = await recover('--without', 'node-c', '--apply');
    expect(without.text).to.match(new RegExp(`rebuilt +${pair.volume.name} `));
    const served = await servedAgain(pair.volume, 'node-b');
    await qemuIo(served, 'read -P 0x52 0 4M', 'read -P 0x53 4M 4M');

    world.cluster.process('agent/node-c').start();
    await untilTold(3);
    const all = await recover('--apply');
    expect(all.code, all.text).to.equal(0);
    const again = await servedAgain(whole.volume, 'node-a');
    await qemuIo(again, 'read -P 0x51 0 8M');
    await Promise.all([whole, pair].map(({ volume }) => volume.untilHealthy(3, RETURN_BOUND_MS)));
    for (const node of ['node-b', 'node-c', 'node-a']) {
      await pair.volume.attachTo(node);
      const socket = await pair.volume.untilServedBy(node, HEALTHY_BOUND_MS);
      await qemuIo(socket, 'read -P 0x52 0 4M', 'read -P 0x53 4M 4M');
    }
  });
});
