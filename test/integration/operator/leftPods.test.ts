/** The pods of a dead node, at the real API server and with the operators' own rights: which are removed, and that their volumes may then be attached elsewhere. */
import { expect } from 'chai';
import { FIRST_START_MS, RealCluster } from '../../support/operator/realCluster.ts';
import { until } from '../../support/until.ts';

const TAINT = 'node.kubernetes.io/out-of-service';
const DEAD_BOUND_MS = 60_000;

type Spec = { claim?: string; node?: string; finalizers?: string[] };
type List = { items: { metadata: { name: string; deletionTimestamp?: string } }[] };

describe('operator: pods that a dead node left behind', function () {
  this.timeout(120_000);
  let real: RealCluster;

  const create = (object: object): Promise<string> => real.cluster.kubectl(['create', '-f', '-'], JSON.stringify(object));
  const isTainted = async (node: string): Promise<boolean> =>
    (await real.cluster.kubectl(['get', 'node', node, '-o', 'jsonpath={.spec.taints[*].key}'])).includes(TAINT);
  /** As the taint does it, or people: without a kubelet they stand there from then on. */
  const tell = (...pods: string[]): Promise<string> => real.cluster.kubectl(['delete', 'pod', ...pods, '--wait=false']);
  const pods = async (): Promise<string[]> =>
    (JSON.parse(await real.cluster.kubectl(['get', 'pods', '-o', 'json'])) as List).items.map(({ metadata }) => metadata.name).sort();

  async function node(name: string): Promise<void> {
    await create({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
    const status = { conditions: [{ type: 'Ready', status: 'Unknown', reason: 'Silent', message: 'it says nothing' }] };
    await real.cluster.kubectl(['patch', 'node', name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]);
  }

  async function claim(name: string, driver: string): Promise<void> {
    const spec = { accessModes: ['ReadWriteOnce'], storageClassName: '' };
    const csi = { driver, volumeHandle: name };
    const claimRef = { namespace: 'default', name };
    const volume = { ...spec, capacity: { storage: '1Gi' }, csi, claimRef };
    await create({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: `pv-${name}` }, spec: volume });
    const wanted = { ...spec, volumeName: `pv-${name}`, resources: { requests: { storage: '1Gi' } } };
    await create({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name }, spec: wanted });
  }

  async function pod(name: string, { claim: claimName, node: nodeName = 'node-a', finalizers = [] }: Spec): Promise<void> {
    const volumes = claimName === undefined ? [] : [{ name: 'data', persistentVolumeClaim: { claimName } }];
    const spec = { nodeName, volumes, containers: [{ name: 'main', image: 'none' }] };
    await create({ apiVersion: 'v1', kind: 'Pod', metadata: { name, finalizers }, spec });
  }

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 1 });
    for (const letter of 'abcd') real.play(letter);
    for (const name of ['node-a', 'node-b']) await node(name);
    await claim('ours', 'csi.holdfast.dev');
    await claim('theirs', 'csi.example.com');
  });
  after(async () => real?.stop());

  it('those that use a claim of ours, were told to go and wait for nobody else; all others stay', async () => {
    await real.leader();
    await until('its StorageNode is there', async () => (await real.cluster.kubectl(['get', 'hn', '--no-headers'])).includes('node-a'));
    await pod('writer', { claim: 'ours' });
    await pod('late', { claim: 'ours' });
    await pod('tolerant', { claim: 'ours' });
    await pod('counted', { claim: 'ours', finalizers: ['example.com/counted'] });
    await pod('other', { claim: 'theirs' });
    await pod('plain', {});
    await pod('elsewhere', { claim: 'ours', node: 'node-b' });
    await tell('writer', 'counted', 'other', 'plain', 'elsewhere');
    await real.kill('a');
    await until('the writer is gone', async () => !(await pods()).includes('writer'), DEAD_BOUND_MS);
    expect(await isTainted('node-a'), 'tainted before').to.equal(true);
    // Whoever comes behind them in a sweep of its own has seen that all others were judged.
    await tell('late');
    await until('the late one is gone', async () => !(await pods()).includes('late'));
    expect(await pods()).to.deep.equal(['counted', 'elsewhere', 'other', 'plain', 'tolerant']);
  });

  it('none any more when the node is back', async () => {
    real.play('a');
    await until('it is in service', async () => !(await isTainted('node-a')), DEAD_BOUND_MS);
    await tell('tolerant');
    await real.kill('b');
    await until('another node is swept', async () => !(await pods()).includes('elsewhere'), DEAD_BOUND_MS);
    expect(await pods()).to.deep.equal(['counted', 'other', 'plain', 'tolerant']);
  });
});
