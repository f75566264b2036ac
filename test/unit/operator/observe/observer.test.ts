/** What is put together from what changed is what is put together from everything. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { VolumeUid } from '../../../../core/ids.ts';
import type { Entry, View } from '../../../../core/store.ts';
import type { StorageNodeObject, VolumeObject } from '../../../../operator/api.ts';
import { emptyMemory } from '../../../../operator/observe/memory.ts';
import { type KubeViews, Observer, observe, type StoreViews } from '../../../../operator/observe/observe.ts';
import type { Observed, ObservedVolume } from '../../../../operator/observe/observed.ts';
import { Overlay } from '../../../../operator/observe/overlay.ts';
import { config, KEYS, machine, observedTask, serving, storageNode, volumeObject, WALL_MS } from '../../../support/operator/builders.ts';
import { uidOf } from '../../../support/operator/fullWorld.ts';

class CountedView<Value> {
  readonly map = new Map<string, Value>();
  readonly isCurrent = true;
  changeCount = 0;
  set(key: string, value: Value | null): void {
    this.changeCount++;
    if (value === null) this.map.delete(key);
    else this.map.set(key, value);
  }
  get entries(): ReadonlyMap<string, Value> {
    return this.map;
  }
  get objects(): ReadonlyMap<string, Value> {
    return this.map;
  }
  close(): void {
    this.map.clear();
  }
}

type Step = {
  what: 'object' | 'config' | 'task' | 'claim' | 'history' | 'serving' | 'machine' | 'node' | 'own' | 'nonsense';
  index: number;
  letter: string;
  isGone: boolean;
};
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    what: fc.constantFrom('object', 'config', 'task', 'claim', 'history', 'serving', 'machine', 'node', 'own', 'nonsense') as fc.Arbitrary<
      Step['what']
    >,
    index: fc.integer({ min: 0, max: 3 }),
    letter: fc.constantFrom('a', 'b', 'c'),
    isGone: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);

class Sources {
  readonly store = Object.fromEntries(
    ['volumes', 'tasks', 'claims', 'history', 'machines', 'serving', 'snapshots', 'scrubs'].map((name) => [name, new CountedView<Entry>()]),
  ) as unknown as Record<keyof StoreViews, CountedView<Entry> & View>;
  readonly kube = {
    volumes: new CountedView<VolumeObject>(),
    storagenodes: new CountedView<StorageNodeObject>(),
    snapshots: new CountedView(),
  };
  readonly overlay = new Overlay();
  #revision = 0;

  put(name: keyof StoreViews, key: string, value: unknown, isGone: boolean): void {
    const revision = String(++this.#revision);
    this.store[name].set(key, isGone ? null : { key, value: JSON.stringify(value), revision });
  }

  apply({ what, index, letter, isGone }: Step): void {
    const uid: VolumeUid = uidOf(index);
    const version = ++this.#revision;
    const task = observedTask('create', letter, 'running', { claimed: true, volume: uid });
    const value = config({ uid, version, primary: isGone ? null : { node: 'node-x', instance: machine('x').instance, mode: 'release' } });
    const apply: Record<Step['what'], () => void> = {
      object: () =>
        this.kube.volumes.set(`v${index}`, isGone ? null : volumeObject({ attachTo: `node-${letter}` }, { name: `v${index}`, uid })),
      config: () => this.put('volumes', KEYS.volume(uid), value, isGone),
      task: () => this.put('tasks', task.task.key, task.task.value, isGone),
      claim: () => this.put('claims', task.claim?.key ?? '', { ...task.claim?.value, attempt: version }, isGone),
      history: () => this.put('history', KEYS.historyOf(task.task.value.id), task.task.value, isGone),
      serving: () => this.put('serving', KEYS.servingOf(uid), serving(letter, { uid }), isGone),
      machine: () => this.put('machines', KEYS.machine(`node-${letter}`), machine(letter, { version: String(version) }), isGone),
      node: () => this.kube.storagenodes.set(`node-${letter}`, isGone ? null : storageNode(letter)),
      own: () => this.overlay.record([{ put: KEYS.volume(uid), value: JSON.stringify(value) }], String(this.#revision), 0),
      nonsense: () => this.put('volumes', `${KEYS.volumes}${letter}`, {}, isGone),
    };
    apply[what]();
  }

  get all() {
    return { store: this.store as unknown as StoreViews, kube: this.kube as unknown as KubeViews, keys: KEYS, overlay: this.overlay };
  }
}

/** In whatever order things were heard of. */
const ordered = ({ volumes, damages, machines, storageNodes, memory }: Observed) => ({
  volumes: [...volumes.values()]
    .map((volume) => ({
      ...volume,
      tasks: [...volume.tasks].sort((a, b) => (a.task.key < b.task.key ? -1 : 1)),
      history: [...volume.history].sort(),
    }))
    .sort((a, b) => (a.uid < b.uid ? -1 : 1)),
  damages: [...damages].sort(),
  machines: [...machines.keys()].sort(),
  storageNodes: [...storageNodes.keys()].sort(),
  memory: [memory.machineGoneSinceMs, memory.taskSinceMs, memory.releasingSinceMs].map((map) => [...map.keys()].sort()),
});

const kept = ({ volumes }: Pick<Observed, 'volumes'>, changed: ReadonlySet<VolumeUid>): Map<VolumeUid, unknown> =>
  new Map([...volumes].filter(([uid]) => !changed.has(uid)));

const isOn = (node: string, { config: known, object }: ObservedVolume): boolean =>
  object?.spec.attachTo === node ||
  known?.value.primary?.node === node ||
  (known?.value.shards.some(({ members }) => members.some((member) => member.node === node)) ?? false);
const volumesOn = (node: string, { volumes }: Observed): VolumeUid[] =>
  [...volumes.values()]
    .filter((volume) => isOn(node, volume))
    .map(({ uid }) => uid)
    .sort();

describe('operator: observing what changed', () => {
  it('gives what observing everything gives, and keeps what did not change', () => {
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 8 }), (rounds) => {
        const sources = new Sources();
        const observer = new Observer(sources.all);
        let before: Observed['volumes'] = new Map();
        for (const [round, changes] of rounds.entries()) {
          for (const change of changes) sources.apply(change);
          const now = { monotonicMs: round, wallMs: WALL_MS };
          const { observed, difference } = observer.observe(emptyMemory, now);
          expect(ordered(observed)).to.deep.equal(ordered(observe(sources.all, emptyMemory, now)));
          expect(kept(observed, difference.volumes)).to.deep.equal(kept({ volumes: before }, difference.volumes));
          for (const node of ['node-a', 'node-b', 'node-x'])
            expect([...observer.volumesOn(node)].sort()).to.deep.equal(volumesOn(node, observed));
          before = new Map(observed.volumes);
          expect(observer.observe(emptyMemory, now).difference.volumes.size).to.be.at.most(sources.overlay.size);
        }
      }),
      { numRuns: 200 },
    );
  });
});
