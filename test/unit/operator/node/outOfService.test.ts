/** The whole control loop in memory: when a dead node is tainted in Kubernetes, and when that is lifted. */
import { expect } from 'chai';
import { collectionPath, type StorageNodeObject } from '../../../../operator/api.ts';
import { conditionOf } from '../../../../operator/conditions.ts';
import { type KubeNode, OUT_OF_SERVICE_ANNOTATION } from '../../../../operator/node/outOfService.ts';
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

  it('is lifted by the next leader', async () => {
    const rig = await rigWith();
    await die(rig, 'a');
    rig.depose();
    rig.start('a');
    rig.elect();
    await rig.until('in service', () => !isTainted(rig, 'a') && !isShown(rig, 'a'));
  });
});
