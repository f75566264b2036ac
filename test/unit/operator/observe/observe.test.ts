import { expect } from 'chai';
import type { Entry, View } from '../../../../core/store.ts';
import { emptyMemory } from '../../../../operator/observe/memory.ts';
import { type KubeViews, observe, type StoreViews, staleReason } from '../../../../operator/observe/observe.ts';
import { Overlay } from '../../../../operator/observe/overlay.ts';
import type { KubeView } from '../../../../operator/ports.ts';
import {
  config,
  KEYS,
  machine,
  nodeOf,
  observedTask,
  serving,
  storageNode,
  UID,
  volumeObject,
  WALL_MS,
} from '../../../support/operator/builders.ts';

const view = (values: Record<string, unknown> = {}, isCurrent = true): View => ({
  entries: new Map(
    Object.entries(values).map(([key, value], index): [string, Entry] => [
      key,
      { key, value: typeof value === 'string' ? value : JSON.stringify(value), revision: String(index + 1) },
    ]),
  ),
  isCurrent,
  close: () => undefined,
});
const kubeView = <Object>(objects: Record<string, Object> = {}, isCurrent = true) =>
  ({ objects: new Map(Object.entries(objects)), isCurrent, accept: () => undefined, close: () => undefined }) as unknown as KubeView<never>;
const storeViews = (change: Partial<StoreViews> = {}): StoreViews => ({
  volumes: view(),
  tasks: view(),
  claims: view(),
  history: view(),
  machines: view(),
  serving: view(),
  snapshots: view(),
  scrubs: view(),
  primaries: view(),
  settings: view(),
  ...change,
});
const kubeViews = (change: Partial<KubeViews> = {}): KubeViews => ({
  volumes: kubeView(),
  storagenodes: kubeView(),
  snapshots: kubeView(),
  ...change,
});
const NOW = { monotonicMs: 5, wallMs: WALL_MS };

describe('operator: observing', () => {
  it('waits for every single view', () => {
    expect(staleReason(storeViews(), kubeViews())).to.equal(null);
    for (const name of Object.keys(storeViews())) {
      expect(staleReason(storeViews({ [name]: view({}, false) }), kubeViews()), name).to.equal(
        'what etcd holds is not known to be current',
      );
    }
    for (const name of Object.keys(kubeViews())) {
      expect(staleReason(storeViews(), kubeViews({ [name]: kubeView({}, false) })), name).to.equal(
        'what the API server holds is not known to be current',
      );
    }
  });

  it('brings together what is known of a volume', () => {
    const { task } = observedTask('create', 'a', 'running');
    const claim = { node: 'node-a', instance: machine('a').instance, attempt: 1 };
    const store = storeViews({
      volumes: view({ [KEYS.volume(UID)]: config() }),
      tasks: view({ [task.key]: task.value }),
      claims: view({ [KEYS.claim(task.value.id)]: claim }),
      history: view({ [KEYS.historyOf('create-x')]: { ...task.value, id: 'create-x', state: 'done' } }),
      serving: view({ [KEYS.servingOf(UID)]: serving('a') }),
      machines: view({ [KEYS.machine('node-a')]: machine('a') }),
    });
    const kube = kubeViews({ volumes: kubeView({ pgdata: volumeObject() }), storagenodes: kubeView({ [nodeOf('b')]: storageNode('b') }) });
    const observed = observe({ store, kube, keys: KEYS, overlay: new Overlay() }, emptyMemory, NOW);
    const volume = observed.volumes.get(UID);
    expect(volume?.object?.metadata.name).to.equal('pgdata');
    expect(volume?.config).to.deep.equal({ value: config(), key: KEYS.volume(UID), revision: '1' });
    expect(volume?.tasks.map((one) => [one.task.value.id, one.claim?.value])).to.deep.equal([[task.value.id, claim]]);
    expect(volume?.history).to.deep.equal([KEYS.historyOf('create-x')]);
    expect(volume?.serving).to.deep.equal(serving('a'));
    expect([...observed.memory.machineGoneSinceMs]).to.have.deep.members([
      ['node-b', 5],
      ['node-c', 5],
    ]);
    expect(observed.damages).to.deep.equal([]);
  });

  it('names what cannot be read, and takes no other volume with it', () => {
    const other = KEYS.volume('99999999-2222-3333-4444-555555555555' as typeof UID);
    const store = storeViews({
      volumes: view({ [KEYS.volume(UID)]: '{', [other]: config(), [`${KEYS.volumes}a/b`]: config() }),
      tasks: view({ [`${KEYS.tasks}node-a/x`]: {} }),
    });
    const observed = observe({ store, kube: kubeViews(), keys: KEYS, overlay: new Overlay() }, emptyMemory, NOW);
    expect(observed.damages).to.have.members([
      `${KEYS.volume(UID)} is not JSON`,
      `${other} is the config of ${UID}`,
      `${KEYS.volumes}a/b is not the key of a volume`,
      `${KEYS.tasks}node-a/x: id must be text`,
    ]);
    expect([...observed.volumes.values()].map(({ config: stored, damage }) => [stored, damage !== null])).to.deep.equal([
      [null, true],
      [null, true],
    ]);
  });
});
