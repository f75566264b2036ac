import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import type { Etcd3 } from 'etcd3';
import { silentLog } from '../../../core/log.ts';
import type { Connection } from '../../../edge/etcd/endpoints.ts';
import { EtcdView } from '../../../edge/etcd/view.ts';
import { ManualClock } from '../../support/manualClock.ts';
import { until } from '../../support/until.ts';

/** The stream of one watch, driven by the test. */
class FakeStream extends EventEmitter {
  readonly written: { create_request?: { start_revision: string }; progress_request?: object }[] = [];
  isCancelled = false;
  write(message: FakeStream['written'][number]): void {
    this.written.push(message);
  }
  end(): void {
    return;
  }
  cancel(): void {
    this.isCancelled = true;
  }
  create(): void {
    this.emit('data', { created: true, canceled: false, events: [], header: { revision: '0' } });
  }
  progress(revision: number): void {
    this.emit('data', { created: false, canceled: false, events: [], header: { revision: `${revision}` } });
  }
  event(type: 'PUT' | 'DELETE', key: string, value: string, revision: number): void {
    const kv = { key: Buffer.from(key), value: Buffer.from(value), mod_revision: `${revision}` };
    this.emit('data', { created: false, canceled: false, events: [{ type, kv }], header: { revision: `${revision}` } });
  }
}

function viewOf(listed: { revision: number; entries: Record<string, string> }) {
  const clock = new ManualClock();
  const streams: FakeStream[] = [];
  const watch = () => {
    streams.push(new FakeStream());
    return Promise.resolve(streams.at(-1));
  };
  const connection = { url: 'https://etcd', client: { watchClient: { watch } } as unknown as Etcd3, answeredMs: 0 } satisfies Connection;
  let listings = 0;
  let changes = 0;
  const answer = () => ({
    header: { revision: `${listed.revision}` },
    more: false,
    kvs: Object.entries(listed.entries).map(([key, value]) => ({ key: Buffer.from(key), value: Buffer.from(value), mod_revision: '1' })),
  });
  const ports = {
    calls: { read: <Answer>() => Promise.resolve(answer() as Answer) },
    endpoints: { current: () => connection },
    clock,
    log: silentLog,
    random: () => 0,
    countListing: () => listings++,
  };
  const view = new EtcdView(
    '/v/',
    ports,
    () => changes++,
    () => undefined,
  );
  const stream = (index: number) => until(`watch ${index} is asked for`, () => (streams[index]?.written.length ?? 0) > 0 && streams[index]);
  return { view, clock, stream, listed, listings: () => listings, changes: () => changes };
}

describe('a view of etcd', () => {
  const open: EtcdView[] = [];
  afterEach(() => {
    for (const view of open.splice(0)) view.close();
  });
  const start = async (revision = 10) => {
    const parts = viewOf({ revision, entries: { '/v/a': '1' } });
    open.push(parts.view);
    const stream = await parts.stream(0);
    return { ...parts, first: stream };
  };

  it('is current once it is listed and its watch exists, not before', async () => {
    const { view, first } = await start();
    expect(view.entries.get('/v/a')?.value).to.equal('1');
    expect(view.isCurrent).to.equal(false);
    expect(first.written[0]?.create_request?.start_revision).to.equal('10');
    first.create();
    expect(view.isCurrent).to.equal(true);
  });

  it('does not believe in itself for longer than a proof lasts: this process may have stood still', async () => {
    const { view, first, clock, changes } = await start();
    first.create();
    clock.advance(8_000);
    expect(view.isCurrent).to.equal(true);
    clock.advance(1);
    expect(view.isCurrent).to.equal(false);
    const before = changes();
    view.confirm(view.ask(), 10n);
    first.progress(10);
    expect(view.isCurrent).to.equal(true);
    await until('told of it', () => changes() > before);
  });

  it('takes the watch at its word only when it has come as far as the quorum', async () => {
    const { view, first } = await start();
    first.create();
    view.doubt();
    expect(view.isCurrent).to.equal(false);
    view.confirm(view.ask(), 20n);
    first.progress(19);
    expect(view.isCurrent).to.equal(false);
    first.progress(20);
    expect(view.isCurrent).to.equal(true);
  });

  it('counts a proof from when the quorum was asked, not from when the watch answered', async () => {
    const { view, first, clock } = await start();
    first.create();
    const question = view.ask();
    clock.advance(7_000);
    view.confirm(question, 10n);
    first.progress(10);
    clock.advance(1_001);
    expect(view.isCurrent).to.equal(false);
  });

  it('is not made current by an event, which says nothing of what else is to come', async () => {
    const { view, first } = await start();
    first.create();
    view.doubt();
    view.confirm(view.ask(), 20n);
    first.event('PUT', '/v/b', '2', 25);
    expect(view.isCurrent).to.equal(false);
    expect(view.entries.get('/v/b')?.value).to.equal('2');
  });

  it('ignores events that the listing already holds', async () => {
    const { view, first } = await start();
    first.create();
    first.event('DELETE', '/v/a', '', 10);
    expect(view.entries.has('/v/a')).to.equal(true);
    first.event('DELETE', '/v/a', '', 11);
    expect(view.entries.has('/v/a')).to.equal(false);
  });

  it('lists again when the store is at an earlier revision than it has seen, but not for an answer that is only old', async () => {
    const { view, first, stream, listed } = await start();
    first.create();
    const asked = view.ask();
    first.event('PUT', '/v/b', '2', 30);
    view.confirm(asked, 20n);
    expect(first.isCancelled).to.equal(false);
    listed.revision = 5;
    listed.entries = {};
    view.confirm(view.ask(), 5n);
    expect(first.isCancelled).to.equal(true);
    expect(view.isCurrent).to.equal(false);
    const second = await stream(1);
    second.create();
    expect([...view.entries]).to.deep.equal([]);
    expect(view.isCurrent).to.equal(true);
  });

  it('lists again when its watch ends, and hears nothing more from the old one', async () => {
    const { view, first, stream, listings } = await start();
    first.create();
    first.emit('error', new Error('14 UNAVAILABLE: read ECONNRESET'));
    expect(view.isCurrent).to.equal(false);
    first.event('PUT', '/v/late', 'x', 99);
    const second = await stream(1);
    second.create();
    expect(view.isCurrent).to.equal(true);
    expect(view.entries.has('/v/late')).to.equal(false);
    expect(listings()).to.equal(2);
  });

  it('gives up a watch that is not created in time', async () => {
    const { first, stream } = await start();
    await stream(1);
    expect(first.isCancelled).to.equal(true);
  });
});
