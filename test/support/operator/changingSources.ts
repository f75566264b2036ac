/** Views of everything that the operator looks at, changed step by step as chance has it. */
import fc from 'fast-check';
import type { VolumeConfig } from '../../../core/config.ts';
import { snapshotUid, type VolumeUid } from '../../../core/ids.ts';
import type { Entry, View } from '../../../core/store.ts';
import type { SnapshotObject, StorageNodeObject, VolumeObject } from '../../../operator/api.ts';
import type { KubeViews, StoreViews } from '../../../operator/observe/observe.ts';
import { Overlay } from '../../../operator/observe/overlay.ts';
import { config, KEYS, machine, observedTask, pool, serving, snapshotObject, storageNode, volumeObject } from './builders.ts';
import { uidOf } from './fullWorld.ts';

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

export type Step = {
  what: 'object' | 'config' | 'record' | 'task' | 'claim' | 'history' | 'serving' | 'machine' | 'node' | 'own' | 'nonsense' | 'snapshot';
  index: number;
  letter: string;
  isGone: boolean;
};
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    what: fc.constantFrom(
      'object',
      'config',
      'record',
      'task',
      'claim',
      'history',
      'serving',
      'machine',
      'node',
      'own',
      'nonsense',
      'snapshot',
    ) as fc.Arbitrary<Step['what']>,
    index: fc.integer({ min: 0, max: 3 }),
    letter: fc.constantFrom('a', 'b', 'c'),
    isGone: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);

export class ChangingSources {
  readonly store = Object.fromEntries(
    ['volumes', 'primaries', 'tasks', 'claims', 'history', 'machines', 'serving', 'snapshots', 'scrubs', 'settings'].map((name) => [
      name,
      new CountedView<Entry>(),
    ]),
  ) as unknown as Record<keyof StoreViews, CountedView<Entry> & View>;
  readonly kube = {
    volumes: new CountedView<VolumeObject>(),
    storagenodes: new CountedView<StorageNodeObject>(),
    snapshots: new CountedView<SnapshotObject>(),
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
    const value = config({
      uid,
      version,
      primary: isGone
        ? null
        : { node: `node-${letter}`, instance: machine(letter).instance, mode: version % 2 === 0 ? 'release' : 'serve' },
    });
    const apply: Record<Step['what'], () => void> = {
      snapshot: () =>
        this.kube.snapshots.set(
          `s-${letter}`,
          isGone ? null : snapshotObject(`s-${letter}`, `v${index}`, snapshotUid(uidOf(90 + letter.charCodeAt(0)))),
        ),
      object: () =>
        this.kube.volumes.set(
          `v${index}`,
          isGone
            ? null
            : volumeObject(
                {
                  attachTo: version % 3 === 0 ? '' : `node-${letter}`,
                  replicas: 1 + (version % 3),
                  size: version % 5 === 0 ? '2Gi' : '1Gi',
                },
                { name: `v${index}`, uid },
              ),
        ),
      config: () => this.put('volumes', KEYS.volume(uid), value, isGone),
      // Of what the leader wrote last, of an earlier value, or where nobody is named.
      record: () => {
        const { value: text } = this.store.volumes.entries.get(KEYS.volume(uid)) ?? { value: JSON.stringify(value) };
        const leaders = JSON.parse(text) as VolumeConfig;
        const made = { ...leaders, version: leaders.version + 1, primary: version % 2 === 0 ? null : leaders.primary };
        this.put(
          'primaries',
          KEYS.primary(`node-${letter}`, uid),
          { base: leaders.version - (version % 5 === 0 ? 1 : 0), config: made },
          isGone,
        );
      },
      task: () => this.put('tasks', task.task.key, task.task.value, isGone),
      claim: () => this.put('claims', task.claim?.key ?? '', { ...task.claim?.value, attempt: version }, isGone),
      history: () => this.put('history', KEYS.historyOf(task.task.value.id), task.task.value, isGone),
      serving: () => this.put('serving', KEYS.servingOf(uid), serving(letter, { uid }), isGone),
      machine: () =>
        this.put(
          'machines',
          KEYS.machine(`node-${letter}`),
          machine(letter, { pools: [pool({ usedBytes: version, state: version % 7 === 0 ? 'quarantined' : 'ready' })] }),
          isGone,
        ),
      node: () =>
        this.kube.storagenodes.set(
          `node-${letter}`,
          isGone ? null : storageNode(letter, { evict: version % 4 === 0, maintenance: version % 6 === 0 }),
        ),
      own: () => this.overlay.record([{ put: KEYS.volume(uid), value: JSON.stringify(value) }], String(this.#revision), 0),
      nonsense: () => this.put('volumes', `${KEYS.volumes}${letter}`, {}, isGone),
    };
    apply[what]();
  }

  /** A volume with a replica on node-a, node-b and node-c each, all in sync, that nobody uses. */
  rest(index: number): void {
    const uid = uidOf(index);
    this.kube.volumes.set(`v${index}`, volumeObject({}, { name: `v${index}`, uid }));
    this.put('volumes', KEYS.volume(uid), config({ uid }), false);
  }

  get all() {
    return { store: this.store as unknown as StoreViews, kube: this.kube as unknown as KubeViews, keys: KEYS, overlay: this.overlay };
  }
}
