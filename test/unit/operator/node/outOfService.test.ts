/** The whole control loop in memory: when a dead node is tainted in Kubernetes, and when that is lifted. */
import { expect } from 'chai';
import { collectionPath, type KubeObject, type StorageNodeObject } from '../../../../operator/api.ts';
import { conditionOf } from '../../../../operator/conditions.ts';
import { type KubeNode, OUT_OF_SERVICE_ANNOTATION } from '../../../../operator/node/outOfService.ts';
import { KubeRefusal } from '../../../../operator/ports.ts';
import { Rig } from '../../../support/operator/rig.ts';

const NODES = '/api/v1/nodes';
const TAINT = 'node.kubernetes.io/out-of-service';
const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';

describe('operator: nodes that are dead for Kubernetes too', function () {
  this.timeout(60_000);

  /** node-a serves; each node has a Node whose kubelet speaks. */
  async function rigWith(letters = 'abcd'): Promise<Rig> {
    const rig = new Rig();
    for (const letter of letters) rig.start(letter);
    rig.elect();
    for (const letter of letters) {
      const metadata = { name: `node-${letter}`, uid: '', resourceVersion: '', annotations: { of: 'people' } };
      await rig.api.create<KubeNode>(NODES, { metadata, spec: { taints: [{ key: 'other', effect: 'NoSchedule' }] } });
      speak(rig, letter, true);
    }
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    return rig;
  }

  const speak = (rig: Rig, letter: string, speaks: boolean): void =>
    rig.api.change<KubeNode>(`${NODES}/node-${letter}`, (node) =>
      Object.assign(node, { status: { conditions: [{ type: 'Ready', status: speaks ? 'True' : 'Unknown' }] } }),
    );
  const kubeNode = (rig: Rig, letter: string) => rig.api.object<KubeNode>(`${NODES}/node-${letter}`);
  const isTainted = (rig: Rig, letter: string): boolean => kubeNode(rig, letter)?.spec?.taints?.some(({ key }) => key === TAINT) ?? false;
  const storageNode = (letter: string): string => `${collectionPath('storagenodes')}/node-${letter}`;
  const isShown = (rig: Rig, letter: string): boolean =>
    conditionOf(rig.api.object<StorageNodeObject>(storageNode(letter))?.status?.conditions, 'OutOfService')?.status === 'True';
  const reasons = (rig: Rig): string[] => rig.api.objectsOf(EVENTS).map((event) => (event as unknown as { reason: string }).reason);

  async function die(rig: Rig, letter: string): Promise<void> {
    rig.kill(letter);
    speak(rig, letter, false);
    await rig.until('tainted', () => isTainted(rig, letter));
  }

  it('taints it only after no volume can be written from there, and lifts that when its agent registers', async () => {
    const rig = await rigWith();
    rig.kill('a');
    speak(rig, 'a', false);
    await rig.until('tainted', () => {
      if (isTainted(rig, 'a')) expect([rig.config('pgdata')?.primary, isShown(rig, 'a')]).to.deep.equal([null, true]);
      return isTainted(rig, 'a');
    });
    expect(rig.config('pgdata')?.epoch).to.equal(2);
    expect(kubeNode(rig, 'a')?.metadata.annotations?.[OUT_OF_SERVICE_ANNOTATION]).to.be.a('string');
    rig.start('a');
    await rig.until('in service', () => !isShown(rig, 'a'));
    expect(kubeNode(rig, 'a')).to.deep.include({ spec: { taints: [{ key: 'other', effect: 'NoSchedule' }] } });
    expect(kubeNode(rig, 'a')?.metadata.annotations).to.deep.equal({ of: 'people' });
    expect(reasons(rig).filter((reason) => reason.startsWith('Node'))).to.deep.equal([
      'NodeAway',
      'NodeOutOfService',
      'NodeBack',
      'NodeInService',
    ]);
  });

  it('does not while its kubelet speaks, or while it is down on purpose', async () => {
    const rig = await rigWith();
    rig.kill('a');
    await rig.step(150);
    expect(isTainted(rig, 'a')).to.equal(false);
    rig.api.change<StorageNodeObject>(storageNode('b'), ({ spec }) => Object.assign(spec, { maintenance: true }));
    rig.start('a');
    await rig.step(10);
    rig.kill('b');
    speak(rig, 'b', false);
    await rig.step(150);
    expect(isTainted(rig, 'b')).to.equal(false);
  });

  it('does not while more than a third of the nodes are away, or where Kubernetes has no such Node', async () => {
    const rig = await rigWith();
    for (const letter of 'ab') {
      rig.kill(letter);
      speak(rig, letter, false);
    }
    await rig.step(150);
    expect([isTainted(rig, 'a'), isTainted(rig, 'b')]).to.deep.equal([false, false]);
    rig.api.deleteByForce(`${NODES}/node-a`);
    rig.start('b');
    await rig.step(150);
    expect([kubeNode(rig, 'a'), isShown(rig, 'a'), isTainted(rig, 'b')]).to.deep.equal([null, false, false]);
  });

  it('leaves the taint of somebody else alone', async () => {
    const rig = await rigWith();
    const theirs = { key: TAINT, value: 'nodeshutdown', effect: 'NoExecute' };
    rig.api.change<KubeNode>(`${NODES}/node-a`, (node) => Object.assign(node, { spec: { taints: [theirs] } }));
    await die(rig, 'a');
    await rig.until('shown', () => isShown(rig, 'a'));
    rig.start('a');
    await rig.until('in service', () => !isShown(rig, 'a'));
    expect(kubeNode(rig, 'a')?.spec?.taints).to.deep.equal([theirs]);
  });

  describe('the pods it left behind', () => {
    const PODS = '/api/v1/namespaces/shop/pods';
    type Pod = { claim?: string; node?: string; isEnding?: boolean; finalizers?: string[] };

    /** A claim `ours` and a claim `theirs`, each bound. */
    async function claims(rig: Rig): Promise<void> {
      for (const [claim, driver] of Object.entries({
        ours: 'csi.holdfast.dev',
        theirs: 'csi.example.com',
        'scratch-own': 'csi.holdfast.dev',
      })) {
        const metadata = { name: claim, uid: '', resourceVersion: '' };
        await rig.api.create('/api/v1/namespaces/shop/persistentvolumeclaims', {
          metadata,
          spec: { volumeName: `pv-${claim}` },
        } as KubeObject);
        await rig.api.create('/api/v1/persistentvolumes', {
          metadata: { ...metadata, name: `pv-${claim}` },
          spec: { csi: { driver } },
        } as KubeObject);
      }
    }

    async function pod(rig: Rig, name: string, { claim, node = 'node-a', isEnding = true, finalizers = [] }: Pod): Promise<void> {
      const volume = claim === undefined ? { name: 'empty', emptyDir: {} } : { name: 'data', persistentVolumeClaim: { claimName: claim } };
      const volumes = claim === 'scratch-own' ? [{ name: 'own', ephemeral: {} }] : [volume];
      const metadata = { name, namespace: 'shop', uid: '', resourceVersion: '', finalizers };
      await rig.api.create(PODS, { metadata, spec: { nodeName: node, volumes } } as KubeObject);
      if (isEnding) told(rig, name);
    }
    const told = (rig: Rig, name: string): void =>
      rig.api.change(`${PODS}/${name}`, ({ metadata }) => Object.assign(metadata, { deletionTimestamp: '2026-01-01T00:00:00Z' }));
    const left = (rig: Rig): string[] => rig.api.objectsOf(PODS).map(({ metadata }) => metadata.name);

    it('are removed behind the taint: those told to go that use a volume of ours, nothing else', async () => {
      const rig = await rigWith();
      await claims(rig);
      await pod(rig, 'writer', { claim: 'ours' });
      await pod(rig, 'scratch', { claim: 'scratch-own' });
      await pod(rig, 'tolerant', { claim: 'ours', isEnding: false });
      await pod(rig, 'counted', { claim: 'ours', finalizers: ['batch.kubernetes.io/job-tracking'] });
      await pod(rig, 'other', { claim: 'theirs' });
      await pod(rig, 'unbound', { claim: 'nowhere' });
      await pod(rig, 'plain', {});
      await pod(rig, 'elsewhere', { claim: 'ours', node: 'node-b' });
      await rig.step(20);
      expect(rig.api.removed, 'before the taint').to.deep.equal([]);
      await die(rig, 'a');
      await rig.until('removed', () => rig.api.removed.length >= 2);
      await rig.step(50);
      expect(rig.api.removed).to.deep.equal([
        { path: `${PODS}/writer`, graceSeconds: 0 },
        { path: `${PODS}/scratch`, graceSeconds: 0 },
      ]);
      expect(left(rig)).to.deep.equal(['tolerant', 'counted', 'other', 'unbound', 'plain', 'elsewhere']);
    });

    it('are removed when they are told to go behind the taint, and by the next leader, for a minute', async () => {
      const rig = await rigWith();
      await claims(rig);
      for (const name of ['first', 'second', 'third']) await pod(rig, name, { claim: 'ours', isEnding: false });
      await die(rig, 'a');
      told(rig, 'first');
      await rig.until('the first is removed', () => !left(rig).includes('first'));
      rig.depose();
      told(rig, 'second');
      rig.elect();
      await rig.until('the second is removed', () => !left(rig).includes('second'));
      await rig.step(700);
      told(rig, 'third');
      await rig.step(100);
      expect(left(rig)).to.deep.equal(['third']);
    });

    it('are not removed where the taint is of somebody else, or the kubelet or the agent speaks again', async () => {
      const rig = await rigWith();
      await claims(rig);
      const theirs = { key: TAINT, value: 'nodeshutdown', effect: 'NoExecute' };
      rig.api.change<KubeNode>(`${NODES}/node-a`, (node) => Object.assign(node, { spec: { taints: [theirs] } }));
      await pod(rig, 'writer', { claim: 'ours' });
      await die(rig, 'a');
      await rig.until('shown', () => isShown(rig, 'a'));
      await rig.step(50);
      expect(rig.api.removed, 'tainted by somebody else').to.deep.equal([]);
      rig.start('a');
      await rig.until('in service', () => !isShown(rig, 'a'));
      await pod(rig, 'late', { claim: 'ours', node: 'node-b', isEnding: false });
      await die(rig, 'b');
      speak(rig, 'b', true);
      await rig.step(2);
      told(rig, 'late');
      await rig.step(50);
      expect(rig.api.removed, 'its kubelet speaks').to.deep.equal([]);
      rig.start('b');
      await rig.until('in service', () => !isTainted(rig, 'b'));
      speak(rig, 'b', false);
      await rig.step(50);
      expect(rig.api.removed, 'its agent speaks').to.deep.equal([]);
    });

    it('hold up nothing where it may not look at them', async () => {
      const rig = await rigWith();
      rig.api.page = () => Promise.reject(new KubeRefusal(403, 'GET pods', 'no'));
      await die(rig, 'a');
      await rig.step(30);
      rig.start('a');
      await rig.until('in service', () => !isTainted(rig, 'a'));
    });
  });

  it('is lifted by the next leader', async () => {
    const rig = await rigWith();
    await die(rig, 'a');
    rig.depose();
    rig.start('a');
    rig.elect();
    await rig.until('in service', () => !isTainted(rig, 'a') && !isShown(rig, 'a'));
  });
});
