/** Views against a real etcd that is killed, stopped, compacted, and set back. */
import { expect } from 'chai';
import { Etcd3 } from 'etcd3';
import { silentLog } from '../../../core/log.ts';
import type { View } from '../../../core/store.ts';
import { connectStore, type StoreConnection } from '../../../edge/etcd/connect.ts';
import { Endpoints } from '../../../edge/etcd/endpoints.ts';
import { openWatch, type WatchEvent } from '../../../edge/etcd/watch.ts';
import { createMetrics, type Metrics } from '../../../edge/metrics.ts';
import { type EtcdProcess, startEtcd, startSingleEtcd } from '../../support/etcd.ts';
import { until } from '../../support/until.ts';

const firstEndpoint = { unit: () => 0, hex: () => '' };
const connect = (endpoints: string[], metrics = createMetrics({ processMetrics: false })): StoreConnection =>
  connectStore({ endpoints, certificates: null, leaseTtlSeconds: 3, metrics }, silentLog, firstEndpoint);

const contents = (view: View): Record<string, string> =>
  Object.fromEntries([...view.entries.values()].map(({ key, value }) => [key, value]));
const holds = (view: View, key: string, value: string): boolean => view.isCurrent && view.entries.get(key)?.value === value;

describe('a view', function () {
  this.timeout(40_000);
  let etcd: EtcdProcess;
  let connection: StoreConnection;
  let writer: StoreConnection;
  let view: View;
  let changes: number;
  let metrics: Metrics;
  beforeEach(async () => {
    metrics = createMetrics({ processMetrics: false });
    etcd = await startSingleEtcd();
    writer = connect([etcd.url]);
    connection = connect([etcd.url], metrics);
    await writer.store.commit(
      [],
      [
        { put: '/v/a', value: '1' },
        { put: '/w/other', value: 'x' },
      ],
    );
    changes = 0;
    view = connection.store.view('/v/', () => changes++);
  });
  afterEach(async () => {
    etcd.continue();
    await Promise.all([connection.close(), writer.close()]);
    await etcd.remove();
  });
  const put = async (key: string, value: string): Promise<string> => {
    const done = await until(`put ${key}`, () => writer.store.commit([], [{ put: key, value }]).catch(() => null));
    return done.revision;
  };

  it('is not current before the first listing, then holds the prefix and what happens in it', async () => {
    expect(view.isCurrent).to.equal(false);
    await until('it is current', () => view.isCurrent);
    expect(contents(view)).to.deep.equal({ '/v/a': '1' });
    expect(changes).to.be.at.least(1);
    const revision = await put('/v/b', '2');
    await until('it holds b', () => holds(view, '/v/b', '2'));
    expect(view.entries.get('/v/b')?.revision).to.equal(revision);
    await writer.store.commit([], [{ delete: '/v/a' }, { put: '/v/b', value: '3' }, { put: '/w/other', value: 'y' }]);
    await until('a is gone', () => !view.entries.has('/v/a'));
    expect(contents(view)).to.deep.equal({ '/v/b': '3' });
  });

  it('tells of many changes at most once a macrotask, and of none after it was closed', async () => {
    await until('it is current', () => view.isCurrent);
    changes = 0;
    const puts = Array.from({ length: 100 }, (_, index) => ({ put: `/v/${index}`, value: 'v' }));
    await writer.store.commit([], puts);
    await until('all are there', () => view.entries.size === 101);
    expect(changes).to.be.within(0, 5);
    view.close();
    expect(view.isCurrent).to.equal(false);
    const before = changes;
    await put('/v/a', 'after');
    const other = connection.store.view('/v/', () => undefined);
    await until('another view saw it', () => holds(other, '/v/a', 'after'));
    expect(changes).to.equal(before);
  });

  it('catches up after etcd was killed and started again, and is not current meanwhile', async () => {
    await until('it is current', () => view.isCurrent);
    await etcd.kill();
    await until('it is not current', () => !view.isCurrent);
    expect(contents(view)).to.deep.equal({ '/v/a': '1' });
    changes = 0;
    await etcd.restart();
    await put('/v/a', '2');
    await until('it caught up', () => holds(view, '/v/a', '2'), 5_000);
    expect(changes).to.be.at.least(1);
  });

  it('catches up after etcd stood still, and is not current meanwhile', async () => {
    await until('it is current', () => view.isCurrent);
    etcd.stop();
    await until('it is not current', () => !view.isCurrent, 8_000);
    etcd.continue();
    await put('/v/a', '2');
    await until('it caught up', () => holds(view, '/v/a', '2'), 5_000);
  });

  it('catches up after what it missed was compacted away', async () => {
    await until('it is current', () => view.isCurrent);
    await etcd.kill();
    await until('it is not current', () => !view.isCurrent);
    // Nothing of this process is connected while the history goes.
    await connection.close();
    connection = connect([etcd.url]);
    const late = connection.store.view('/v/', () => changes++);
    await etcd.restart();
    const client = new Etcd3({ hosts: etcd.url });
    for (let value = 0; value < 50; value++) await put('/v/a', `${value}`);
    const revision = await put('/v/a', 'last');
    await client.kv.compact({ revision, physical: true });
    client.close();
    await until('it caught up', () => holds(late, '/v/a', 'last'), 5_000);
  });

  it('its watch ends when it begins where the history is compacted, and says so', async () => {
    const first = await put('/v/a', 'first');
    const revision = await put('/v/a', 'last');
    const client = new Etcd3({ hosts: etcd.url });
    await client.kv.compact({ revision, physical: true });
    client.close();
    const endpoints = new Endpoints([etcd.url], () => null, 0);
    const reasons: string[] = [];
    const events: WatchEvent[] = [];
    const watch = openWatch(endpoints.current(), '/v/', BigInt(first), {
      onCreated: () => undefined,
      onEvents: (some) => events.push(...some),
      onProgress: () => undefined,
      onEnd: (reason) => reasons.push(reason),
    });
    await until('it ended', () => reasons.length > 0);
    watch.close();
    endpoints.close();
    expect(reasons).to.have.length(1);
    expect(reasons[0]).to.match(/compacted/);
    expect(events).to.deep.equal([]);
  });

  it('stays current for long without a change, and lists no more than once for that', async () => {
    await until('it is current', () => view.isCurrent);
    let doubts = 0;
    const startMs = performance.now();
    await until(
      'longer than any proof lasts',
      () => {
        if (!view.isCurrent) doubts++;
        return performance.now() - startMs > 9_000;
      },
      12_000,
    );
    expect(doubts).to.equal(0);
    expect(await metrics.registry.getSingleMetric('holdfast_etcd_view_listings_total')?.get()).to.have.nested.property(
      'values[0].value',
      1,
    );
  });

  it('notices that etcd went back to an earlier revision, and holds what is there now', async () => {
    for (let value = 0; value < 20; value++) await put('/v/a', `${value}`);
    await put('/v/gone', 'soon');
    await until('it is current', () => holds(view, '/v/gone', 'soon'));
    await etcd.kill();
    await etcd.forget();
    await etcd.restart();
    await put('/v/new', '1');
    await until('it holds the new', () => holds(view, '/v/new', '1'));
    expect(contents(view)).to.deep.equal({ '/v/new': '1' });
  });
});

describe('a view of several members of etcd', function () {
  this.timeout(40_000);
  let members: EtcdProcess[];
  let connection: StoreConnection;
  let writer: StoreConnection;
  beforeEach(async () => {
    members = await startEtcd({ members: 3 });
    const [first, second, third] = members.map(({ url }) => url) as [string, string, string];
    connection = connect([first, second, third]);
    writer = connect([second, third]);
  });
  afterEach(async () => {
    for (const member of members) member.continue();
    await Promise.all([connection.close(), writer.close()]);
    await Promise.all(members.map((member) => member.remove()));
  });

  for (const fault of ['kill', 'stop'] as const) {
    it(`goes on elsewhere when its member ${fault === 'kill' ? 'is killed' : 'stands still'}`, async () => {
      const view = connection.store.view('/v/', () => undefined);
      await until('it is current', () => view.isCurrent);
      await members[0]?.[fault]();
      await until('a write succeeds', () => writer.store.commit([], [{ put: '/v/a', value: '2' }]).catch(() => null));
      const startMs = performance.now();
      await until('the view has it', () => holds(view, '/v/a', '2'));
      expect(performance.now() - startMs).to.be.below(4_000);
    });
  }
});
