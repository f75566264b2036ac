/** An operator that was cut off from etcd while the history of what it missed was compacted away reads all anew, and misses nothing: least of all what was deleted. */
import { expect } from 'chai';
import { silentLog } from '../../../core/log.ts';
import { connectStore } from '../../../edge/etcd/connect.ts';
import { loadCertificates } from '../../../edge/tls.ts';
import type { StorageNodeObject } from '../../../operator/api.ts';
import { isTrue } from '../../../operator/conditions.ts';
import { FIRST_START_MS, RealCluster } from '../../support/operator/realCluster.ts';
import { Routes } from '../../support/operator/routes.ts';
import { until } from '../../support/until.ts';

const BOUND_MS = 30_000;

describe('operator: behind what etcd remembers', function () {
  this.timeout(120_000);
  let real: RealCluster;
  const routes = new Routes();

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 1, operatorRoute: (...of) => routes.of(...of) });
    for (const letter of 'abc') real.play(letter);
  });
  after(async () => {
    routes.mend();
    await real?.stop();
    routes.close();
  });

  const isReady = async (node: string): Promise<boolean> => {
    const text = await real.cluster.kubectl(['get', 'hn', node, '--ignore-not-found', '-o', 'json']);
    return text.trim() !== '' && isTrue((JSON.parse(text) as StorageNodeObject).status?.conditions, 'Ready');
  };
  /** All that happened so far can be read no more. */
  const forgetHistory = async (): Promise<void> => {
    const { endpoints, tls } = real.cluster.etcd;
    const certificates = await loadCertificates(tls, silentLog);
    const { upkeep, close } = connectStore({ endpoints, certificates, leaseTtlSeconds: 5 }, silentLog);
    expect(await upkeep.compact(await upkeep.revision())).to.equal(true);
    await close();
    certificates.close();
  };

  it('hears of machines that went and came, and of configs that changed', async () => {
    const operator = await real.leader();
    await real.create('data', { size: '1Gi', replicas: 2 });
    await real.untilPhase('data', 'Healthy');
    await until('node-c is ready', () => isReady('node-c'), BOUND_MS);

    routes.cut(operator, ['etcd'], 'both');
    await until('it does not lead', async () => (await real.leaders()).length === 0, BOUND_MS);
    await real.kill('c');
    real.play('d');
    await real.create('late', { size: '1Gi', replicas: 3 });
    await until('node-d is registered', () => real.store.get(real.keys.machine('node-d')), BOUND_MS);
    await forgetHistory();

    routes.mend();
    await real.leader(BOUND_MS);
    await until('node-d is known', () => isReady('node-d'), BOUND_MS);
    await until('node-c is known to be away', async () => !(await isReady('node-c')), BOUND_MS);
    const late = await real.untilPhase('late', 'Healthy');
    expect(late.status?.replicas?.map(({ node }) => node).sort()).to.deep.equal(['node-a', 'node-b', 'node-d']);
  });
});
