/** In which order a Holdfast ends that nobody uses, and what keeps it from ending. The API server is a map here. */
import { expect } from 'chai';
import { uninstallSettings } from '../../../../operator/uninstall/settings.ts';
import { type KubeItem, stop, type UninstallPorts, waitForCleaner } from '../../../../operator/uninstall/stop.ts';

const parameters = uninstallSettings({
  RELEASE: 'holdfast',
  DAEMONSETS: 'holdfast-agent,holdfast-holder',
  DEPLOYMENTS: 'holdfast-operator,holdfast-signer',
  STATEFULSETS: 'holdfast-etcd',
  SECRETS: 'holdfast-ca',
  CONFIGMAPS: 'holdfast-trust',
});
const OURS = '/apis/holdfast.dev/v1alpha1';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/holdfast-system/leases';
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const item = (name: string, more: Partial<KubeItem> = {}): KubeItem => ({ metadata: { name }, ...more });
const isPods = (path: string): boolean => path.includes('/pods?');

class World implements UninstallPorts {
  nowMs = 0;
  readonly removed: string[] = [];
  readonly said: string[] = [];
  lists: Record<string, KubeItem[]> = {};
  pods: KubeItem[] = [];
  cleaner: KubeItem | null = null;
  /** False: what is asked to go stays. */
  obeys = true;

  async list(path: string): Promise<KubeItem[]> {
    return isPods(path) ? this.pods : (this.lists[path] ?? []);
  }
  async get(): Promise<KubeItem | null> {
    return this.cleaner;
  }
  async remove(path: string): Promise<void> {
    this.removed.push(path);
    const at = path.lastIndexOf('/');
    const list = this.lists[path.slice(0, at)];
    if (this.obeys && list) this.lists[path.slice(0, at)] = list.filter(({ metadata }) => metadata.name !== path.slice(at + 1));
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  async sleep(ms: number): Promise<void> {
    this.nowMs += ms;
  }
  say(sentence: string): void {
    this.said.push(sentence);
  }
}

const failure = (world: World): Promise<string> =>
  stop(parameters, world).then(
    () => 'nothing',
    (error: Error) => error.message,
  );

describe('uninstalling', () => {
  it('ends agents, StorageNodes, operators and etcd in this order, then takes away what was made besides', async () => {
    const world = new World();
    world.lists = {
      [`${OURS}/storagenodes`]: [item('node-a'), item('node-b')],
      [LEASES]: [item('operator.holdfast.dev'), item('external-attacher-leader-csi-holdfast-dev'), item('csi-holdfast-dev'), item('other')],
      [REQUESTS]: [
        item('ours', { spec: { signerName: 'holdfast.dev/agent' } }),
        item('theirs', { spec: { signerName: 'kubernetes.io/kubelet-serving' } }),
      ],
    };
    await stop(parameters, world);
    expect(world.removed.map((path) => path.split('/').slice(-2).join('/'))).to.deep.equal([
      ...['daemonsets/holdfast-agent', 'daemonsets/holdfast-holder', 'storagenodes/node-a', 'storagenodes/node-b'],
      ...['deployments/holdfast-operator', 'deployments/holdfast-signer', 'statefulsets/holdfast-etcd'],
      ...['secrets/holdfast-ca', 'configmaps/holdfast-trust'],
      ...['leases/operator.holdfast.dev', 'leases/external-attacher-leader-csi-holdfast-dev', 'leases/csi-holdfast-dev'],
      'certificatesigningrequests/ours',
    ]);
  });

  it('touches nothing while there is a volume or a snapshot, and names them', async () => {
    for (const kind of ['volumes', 'snapshots']) {
      const world = new World();
      world.lists = { [`${OURS}/${kind}`]: ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => item(name)) };
      expect(await failure(world)).to.match(new RegExp(`^there are still ${kind}: a, b, c, d, e and 2 more; delete the `));
      expect(world.removed).to.deep.equal([]);
    }
  });

  it('leaves operators and etcd alone while a StorageNode does not go', async () => {
    const world = new World();
    world.obeys = false;
    world.lists = { [`${OURS}/storagenodes`]: [item('node-a')] };
    expect(await failure(world)).to.match(/^these StorageNodes cannot go yet: node-a/);
    expect(world.removed.some((path) => path.includes('deployments'))).to.equal(false);
  });

  it('does not wait for ever for pods of a node that is dead', async () => {
    const world = new World();
    world.pods = [item('holdfast-agent-x')];
    await stop(parameters, world);
    expect(world.said.filter((sentence) => sentence.includes('holdfast-agent-x')).length).to.equal(2);
    expect(world.nowMs).to.be.lessThan(200_000);
  });

  it('waits for the cleaner on every node, within a bound', async () => {
    const world = new World();
    world.cleaner = item('holdfast-cleaner', { status: { desiredNumberScheduled: 3, numberReady: 3 } });
    await waitForCleaner(parameters, world);
    expect([world.nowMs, ...world.said]).to.deep.equal([0, '3 nodes are clean']);
    world.cleaner = item('holdfast-cleaner', { status: { desiredNumberScheduled: 3, numberReady: 2 } });
    await waitForCleaner(parameters, world);
    expect(world.said.at(-1)).to.match(/^2 of 3 nodes are clean/);
  });
});
