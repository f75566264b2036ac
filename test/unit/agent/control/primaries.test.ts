/** Which worker has which primary, and what goes to and fro. */
import { expect } from 'chai';
import { Primaries, type PrimaryListener, WORKER_SILENT_MS, workerOf } from '../../../../agent/control/primaries.ts';
import { channelWithinThread } from '../../../../agent/workers/channel.ts';
import type { FromPrimary, ToPrimary } from '../../../../agent/workers/messages.ts';
import { snapshotUid, volumeUid } from '../../../../core/ids.ts';
import { DEFAULT_SETTINGS, type Settings } from '../../../../core/settings.ts';
import { configWith, UID } from '../../../support/configs.ts';
import { atRest } from '../../../support/scriptedStore.ts';

function setUp(workers = 3) {
  const channels = Array.from({ length: workers }, () => channelWithinThread<ToPrimary, FromPrimary>());
  const heard = channels.map(([, there]) => {
    const messages: ToPrimary[] = [];
    there.listen((message) => messages.push(message));
    return messages;
  });
  const state: { settings: Settings } = { settings: DEFAULT_SETTINGS };
  const common: string[] = [];
  const primaries = new Primaries({
    workers: channels.map(([here]) => here),
    settings: () => state.settings,
    resolve: (_node, _pool, _asker, answered) => answered({ host: '10.0.0.2', port: 9450 }),
    stuck: (sentence) => common.push(sentence),
    common: (message, worker) => common.push(`${worker}: ${message.type}`),
  });
  const mine = workerOf(UID, workers);
  const say = (message: FromPrimary) => channels[mine]?.[1].post(message);
  return { heard, mine, say, primaries, state, common };
}

function listener() {
  const said: string[] = [];
  const listening: PrimaryListener = {
    report: () => said.push('report'),
    scrub: () => said.push('scrub'),
    propose: (_known, next) => said.push(`propose ${next.version}`),
    recheck: () => said.push('recheck'),
    ended: (why) => said.push(`ended ${why}`),
    over: () => said.push('over'),
  };
  return { said, listening };
}

describe('the primary workers', () => {
  it('share the volumes evenly, and each volume is always in the same one', () => {
    const counts = [0, 0, 0, 0];
    for (let index = 0; index < 4_000; index++) {
      const uid = volumeUid(`3f2a6c1e-0000-4000-8000-${index.toString(16).padStart(12, '0')}`);
      const worker = workerOf(uid, 4);
      expect(workerOf(uid, 4)).to.equal(worker);
      counts[worker] = (counts[worker] ?? 0) + 1;
    }
    for (const count of counts) expect(count).to.be.within(800, 1_200);
    expect(workerOf(UID, 1)).to.equal(0);
  });

  it('are told settings before the first primary, and when they change', async () => {
    const { heard, mine, primaries, state } = setUp();
    primaries.start(configWith(), null, listener().listening);
    await atRest();
    expect(heard[mine]?.map(({ type }) => type)).to.deep.equal(['settings', 'start']);
    primaries.tick(0);
    state.settings = { ...DEFAULT_SETTINGS, leaseMs: 4_000 };
    primaries.tick(0);
    primaries.tick(0);
    await atRest();
    for (const messages of heard) {
      const told = messages.flatMap((message) => (message.type === 'settings' ? [message.settings.leaseMs] : []));
      expect(told).to.deep.equal([DEFAULT_SETTINGS.leaseMs, 4_000]);
    }
  });

  it('are heard by the primary that is meant, also beside an earlier epoch of the same volume', async () => {
    const { say, primaries } = setUp();
    const [earlier, later] = [listener(), listener()];
    primaries.start(configWith(), null, earlier.listening);
    primaries.start(configWith({ epoch: 2, version: 9 }), null, later.listening);
    const key = { uid: UID, epoch: 1 };
    say({ type: 'ended', ...key, why: 'fenced', reason: 'epoch 2' });
    say({ type: 'propose', uid: UID, epoch: 2, known: configWith({ version: 9 }), next: configWith({ version: 10 }) });
    say({ type: 'over', ...key });
    await atRest();
    expect(earlier.said).to.deep.equal(['ended fenced', 'over']);
    expect(later.said).to.deep.equal(['propose 10']);
  });

  it('are asked for snapshots, and each is answered once, also when the primary is over', async () => {
    const { heard, mine, say, primaries } = setUp();
    const handle = primaries.start(configWith(), null, listener().listening);
    const told: (string | null)[] = [];
    for (const attempt of [3, 4]) {
      handle.snapshot({ snapshot: snapshotUid('snap-1'), attempt }, ({ problem }) => told.push(problem));
    }
    await atRest();
    const asked = heard[mine]?.flatMap((message) => (message.type === 'snapshot' ? [message] : [])) ?? [];
    expect(asked.map(({ request }) => request.attempt)).to.deep.equal([3, 4]);
    say({ type: 'over', uid: UID, epoch: 1 });
    for (const { id } of [...asked, ...asked].reverse()) say({ type: 'snapshotEnded', id, outcome: { problem: `of ${id}` } });
    await atRest();
    expect(told).to.deep.equal([`of ${asked[1]?.id}`, `of ${asked[0]?.id}`]);
  });

  it('get the addresses that they ask for, and their logs and metrics are handed on', async () => {
    const { heard, mine, say, common } = setUp();
    say({ type: 'resolve', node: 'node-b', pool: 'default' });
    say({ type: 'log', level: 'info', message: 'socket opened', fields: {} });
    say({ type: 'metrics', metrics: [] });
    await atRest();
    expect(heard[mine]).to.deep.equal([
      { type: 'address', node: 'node-b', pool: 'default', address: { host: '10.0.0.2', port: 9450 }, isNew: false },
    ]);
    expect(common).to.deep.equal([`primaries-${mine}: log`, `primaries-${mine}: metrics`]);
  });

  describe('that do not answer', () => {
    const ticks = (primaries: Primaries, fromMs: number, toMs: number) => {
      for (let nowMs = fromMs; nowMs <= toMs; nowMs += 500) primaries.tick(nowMs);
    };

    it('are told of after a while, when somebody is served there', () => {
      const { primaries, common } = setUp();
      ticks(primaries, 0, 60_000);
      expect(common).to.deep.equal([]);
      primaries.start(configWith(), null, listener().listening);
      ticks(primaries, 60_000, 60_000 + WORKER_SILENT_MS);
      expect(common).to.deep.equal([]);
      ticks(primaries, 60_500 + WORKER_SILENT_MS, 60_500 + WORKER_SILENT_MS);
      expect(common).to.include('primaries-0 has not answered for 21 s');
    });

    it('are not blamed for the time in which this thread stood still itself', () => {
      const { primaries, common } = setUp();
      primaries.start(configWith(), null, listener().listening);
      ticks(primaries, 0, 10_000);
      ticks(primaries, 100_000, 98_000 + WORKER_SILENT_MS - 10_000);
      expect(common).to.deep.equal([]);
      ticks(primaries, 98_500 + WORKER_SILENT_MS - 10_000, 101_000 + WORKER_SILENT_MS - 10_000);
      expect(common).to.include('primaries-0 has not answered for 21 s');
    });

    it('are asked again when they have', async () => {
      const { primaries, heard, mine, say } = setUp();
      primaries.start(configWith(), null, listener().listening);
      const asked = () => heard[mine]?.filter(({ type }) => type === 'ping').length;
      ticks(primaries, 0, 4_000);
      await atRest();
      expect(asked()).to.equal(1);
      say({ type: 'pong', id: 1 });
      await atRest();
      ticks(primaries, 4_500, 5_000);
      await atRest();
      expect(asked()).to.equal(2);
    });
  });
});
