import { expect } from 'chai';
import { silentLog } from '../../../../core/log.ts';
import { collectionPath, type VolumeObject } from '../../../../operator/api.ts';
import { ListWatchView } from '../../../../operator/edge/kubeView.ts';
import { spec, volumeObject } from '../../../support/operator/builders.ts';
import { FakeKubeApi } from '../../../support/operator/fakeKubeApi.ts';
import { atRest } from '../../../support/scriptedStore.ts';
import { SeededRandom } from '../../../support/seededRandom.ts';

const VOLUMES = collectionPath('volumes');

class Stage {
  readonly api: FakeKubeApi;
  readonly waits: { forMs: number; resolve: () => void }[] = [];
  changes = 0;
  readonly view: ListWatchView<VolumeObject>;

  constructor(api: FakeKubeApi) {
    this.api = api;
    const timers = { sleep: (forMs: number) => new Promise<void>((resolve) => this.waits.push({ forMs, resolve })) };
    this.view = new ListWatchView('volumes', { api, timers, random: new SeededRandom(1), log: silentLog }, () => this.changes++);
  }

  /** Looks at an API server that holds these already. */
  static async with(...names: string[]): Promise<Stage> {
    const api = new FakeKubeApi();
    for (const name of names) await api.create<VolumeObject>(VOLUMES, { metadata: { name, uid: '', resourceVersion: '' }, spec: spec() });
    return new Stage(api);
  }

  async create(name: string): Promise<VolumeObject> {
    return this.api.create<VolumeObject>(VOLUMES, { metadata: { name, uid: '', resourceVersion: '' }, spec: spec() });
  }

  get names(): string[] {
    return [...this.view.objects.keys()].sort();
  }

  /** The pause that the view is in is over. */
  async goOn(): Promise<void> {
    this.waits.shift()?.resolve();
    await atRest();
  }
}

describe('operator: a view of the API server', () => {
  it('keeps everything of an object but who wrote which of its fields', async () => {
    const stage = await Stage.with('a');
    await atRest();
    const metadata = { name: 'b', uid: 'u', resourceVersion: '900', labels: { of: 'mine' }, managedFields: [{ manager: 'kubectl' }] };
    stage.view.accept({ metadata, spec: spec() });
    expect(stage.view.objects.get('b')).to.deep.equal({
      metadata: { name: 'b', uid: 'u', resourceVersion: '900', labels: { of: 'mine' } },
      spec: spec(),
    });
  });

  it('is current after the first listing, and follows', async () => {
    const stage = await Stage.with('a');
    expect(stage.view.isCurrent).to.equal(false);
    await atRest();
    expect([stage.view.isCurrent, stage.names]).to.deep.equal([true, ['a']]);
    await stage.create('b');
    stage.api.change<VolumeObject>(`${VOLUMES}/a`, (object) => Object.assign(object.spec, { replicas: 1 }));
    await atRest();
    expect([stage.names, stage.view.objects.get('a')?.spec.replicas]).to.deep.equal([['a', 'b'], 1]);
    stage.api.delete(`${VOLUMES}/a`);
    await atRest();
    expect(stage.names).to.deep.equal(['b']);
    expect(stage.changes).to.be.at.least(3);
  });

  it('is not current from when its watch breaks until it has listed again, and finds what it missed', async () => {
    const stage = await Stage.with('a');
    await atRest();
    stage.api.breakWatches();
    await atRest();
    expect(stage.view.isCurrent).to.equal(false);
    stage.api.delete(`${VOLUMES}/a`);
    await stage.create('b');
    await stage.goOn();
    expect([stage.view.isCurrent, stage.names]).to.deep.equal([true, ['b']]);
  });

  it('waits longer and longer while the API server is away, up to a bound', async () => {
    const stage = await Stage.with();
    await atRest();
    stage.api.isDown = true;
    stage.api.breakWatches();
    await atRest();
    const waits: number[] = [];
    for (let round = 0; round < 10; round++) {
      waits.push(stage.waits[0]?.forMs ?? 0);
      await stage.goOn();
    }
    expect(waits.every((forMs, index) => forMs >= 100 * 2 ** Math.min(index, 4) && forMs <= Math.min(5_000, 200 * 2 ** index))).to.equal(
      true,
      waits.join(),
    );
  });

  it('shows what a write returned at once, and nothing older after it', async () => {
    const stage = await Stage.with('a');
    await atRest();
    const old = stage.view.objects.get('a');
    if (!old) throw new Error('not listed');
    const written = volumeObject({ replicas: 5 }, { ...old.metadata, resourceVersion: String(Number(old.metadata.resourceVersion) + 5) });
    stage.view.accept(written);
    stage.view.accept(old);
    expect(stage.view.objects.get('a')?.spec.replicas).to.equal(5);
  });

  it('does not bring back what was deleted, by an answer that comes late', async () => {
    const stage = await Stage.with('a');
    await atRest();
    const made = stage.view.objects.get('a');
    if (!made) throw new Error('not listed');
    stage.api.delete(`${VOLUMES}/a`);
    await atRest();
    stage.view.accept(made);
    expect(stage.names).to.deep.equal([]);
  });

  it('tells nobody any more once it is closed', async () => {
    const stage = await Stage.with();
    await atRest();
    const before = stage.changes;
    stage.view.close();
    await stage.create('a');
    await atRest();
    expect([stage.view.isCurrent, stage.changes]).to.deep.equal([false, before]);
  });
});
