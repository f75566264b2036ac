/** From pointers to configs to replicas and primaries, over a scripted store and fake engines. */
import { expect } from 'chai';
import { CallSlots } from '../../../../agent/control/calls.ts';
import type { PrimaryEnd } from '../../../../agent/control/engines.ts';
import { Primaries } from '../../../../agent/control/primaries.ts';
import { ServingReports } from '../../../../agent/control/servingReports.ts';
import { Volumes } from '../../../../agent/control/volumes.ts';
import { channelWithinThread } from '../../../../agent/workers/channel.ts';
import type { FromPrimary, ToPrimary } from '../../../../agent/workers/messages.ts';
import { PrimaryHost } from '../../../../agent/workers/primaryHost.ts';
import type { VolumeConfig } from '../../../../core/config.ts';
import { keysOf } from '../../../../core/keys.ts';
import { silentLog } from '../../../../core/log.ts';
import type { ServingReport } from '../../../../core/machine.ts';
import type { ScrubState } from '../../../../core/scrub.ts';
import { DEFAULT_SETTINGS } from '../../../../core/settings.ts';
import { configWith, INSTANCE, OTHER_INSTANCE, UID } from '../../../support/configs.ts';
import { FakePrimary, FakeSockets } from '../../../support/fakeEngines.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest, ScriptedLease, ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');
const NODE = 'node-a';

class Node {
  readonly store = new ScriptedStore();
  readonly lease = new ScriptedLease();
  readonly clock = new ManualClock();
  readonly sockets = new FakeSockets();
  readonly primaries: FakePrimary[] = [];
  readonly ends: PrimaryEnd[] = [];
  readonly toReplicas: VolumeConfig[] = [];
  readonly reports: ServingReports;
  readonly volumes: Volumes;
  readonly workers: Primaries;
  readonly host: PrimaryHost;

  constructor() {
    const { store, clock, lease } = this;
    const slots = new CallSlots();
    const [here, there] = channelWithinThread<ToPrimary, FromPrimary>();
    this.host = new PrimaryHost({
      channel: there,
      node: NODE,
      instance: INSTANCE,
      runDirectory: '/run/holdfast',
      makePrimary: (options) => {
        const primary = new FakePrimary(options);
        this.primaries.push(primary);
        return primary;
      },
      connectBy: () => () => {
        throw new Error('no fake primary connects');
      },
      listen: this.sockets.listen,
      clock,
      log: silentLog,
    });
    const resolve = () => undefined;
    this.workers = new Primaries({ workers: [here], settings: () => DEFAULT_SETTINGS, resolve, common: () => undefined });
    this.reports = new ServingReports({ store, lease, clock, slots, keys, instance: INSTANCE });
    this.volumes = new Volumes({
      store,
      keys,
      slots,
      clock,
      log: silentLog,
      node: NODE,
      toReplicas: (config) => this.toReplicas.push(config),
      environment: {
        node: NODE,
        instance: INSTANCE,
        primaries: this.workers,
        clock,
        log: silentLog,
        reports: this.reports,
        ended: (why) => this.ends.push(why),
      },
    });
  }

  /** As the leader writes it: config and pointers together. */
  write(config: VolumeConfig, nodes: string[] = [NODE]): void {
    this.store.put(keys.volume(config.uid), config);
    for (const node of nodes) this.store.put(keys.pointer(node, config.uid), String(config.version));
  }

  async run(forMs = 500): Promise<void> {
    for (let spentMs = 0; spentMs < forMs; spentMs += 50) {
      await atRest();
      this.clock.advance(50);
      this.workers.tick();
      this.volumes.tick(this.clock.nowMs);
      this.host.tick();
      this.reports.tick();
    }
    await atRest();
  }

  get report(): ServingReport | null {
    return this.store.json(keys.servingOf(UID));
  }
}

const SCRUB: ScrubState = { position: { shard: 0, extent: 7 }, startedAtMs: 5, endedAtMs: null, repairedBlocks: 2, unresolvedBlocks: 0 };
const HERE = configWith();
const NOBODY = configWith({ primary: null });
const ELSEWHERE = configWith({ version: 4, epoch: 2, primary: { node: 'node-b', instance: OTHER_INSTANCE, mode: 'serve' } });

describe('the volumes of a node', () => {
  it('a config that names nobody goes to the replicas and starts no primary', async () => {
    const node = new Node();
    node.write(NOBODY);
    await node.run();
    expect(node.toReplicas).to.deep.equal([NOBODY]);
    expect(node.primaries).to.deep.equal([]);
  });

  it('a config that names this process starts a primary, once, after the replicas have heard of it', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run(20_000);
    expect(node.primaries.length).to.equal(1);
    expect(node.primaries[0]?.options.config).to.deep.equal(HERE);
    expect(node.toReplicas).to.deep.equal([HERE]);
    expect(node.volumes.primaries).to.equal(1);
  });

  it('a config that names a former process of this node starts none', async () => {
    const node = new Node();
    node.write(configWith({ primary: { node: NODE, instance: OTHER_INSTANCE, mode: 'serve' } }));
    await node.run();
    expect(node.primaries).to.deep.equal([]);
  });

  it('opens the socket when told, says so in the report, and takes both back when it is let go', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    const [primary] = node.primaries;
    primary?.options.events.socket(true);
    await node.run(3_000);
    expect(node.report).to.include({ socket: '/run/holdfast/pgdata.sock', epoch: 1, state: 'serving', node: NODE, instance: INSTANCE });
    node.volumes.letGo();
    await atRest();
    expect(primary?.hasLetGo).to.equal(true);
    primary?.options.events.socket(false);
    primary?.release();
    await node.run(3_000);
    node.sockets.servers[0]?.lastConnectionLeft();
    await node.run();
    expect(node.ends).to.deep.equal(['released']);
    expect(node.sockets.servers.map(({ state }) => state)).to.deep.equal(['closed']);
    expect(node.report).to.equal(null);
    expect(node.store.json<VolumeConfig>(keys.volume(UID))?.primary).to.equal(null);
    expect(node.volumes.primaries).to.equal(0);
  });

  it('a fenced primary loses its socket without a word, and leaves the report of the newer one alone', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    node.primaries[0]?.options.events.socket(true);
    await node.run(3_000);
    const newer = { ...node.report, node: 'node-b', instance: OTHER_INSTANCE, epoch: 2 };
    node.store.put(keys.servingOf(UID), newer);
    node.write(ELSEWHERE);
    await node.run(3_000);
    expect(node.ends).to.deep.equal(['fenced']);
    expect(node.sockets.servers.map(({ state }) => state)).to.deep.equal(['dropped']);
    expect(node.report).to.deep.equal(newer);
  });

  it('a zombie does not write its report over that of a later epoch, nor does its end delete it', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    const newer = { uid: UID, node: 'node-b', instance: OTHER_INSTANCE, epoch: 2 };
    node.store.put(keys.servingOf(UID), newer);
    const [zombie] = node.primaries;
    if (zombie) zombie.state = { state: 'stalled', reason: 'nobody answers', replicas: [] };
    zombie?.options.events.reportChanged();
    await node.run(5_000);
    expect(node.report).to.deep.equal(newer);
    zombie?.end('fenced');
    await node.run(5_000);
    expect(node.report).to.deep.equal(newer);
    expect(node.reports.isSettled).to.equal(true);
  });

  it('the report of an earlier epoch is replaced', async () => {
    const node = new Node();
    node.store.put(keys.servingOf(UID), { uid: UID, node: 'node-b', instance: OTHER_INSTANCE, epoch: 0 });
    node.write(HERE);
    await node.run(3_000);
    expect(node.report).to.include({ epoch: 1, instance: INSTANCE });
  });

  it('a report is written at most once a second however often it changes', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run(2_000);
    const before = node.store.asked.length;
    for (let round = 0; round < 100; round++) {
      const [primary] = node.primaries;
      if (primary) primary.state = { state: round % 2 ? 'serving' : 'stalled', reason: `round ${round}`, replicas: [] };
      primary?.options.events.reportChanged();
      await node.run(50);
    }
    expect(node.store.asked.length - before).to.be.within(4, 6);
  });

  it('after a new lease the report stands again', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run(3_000);
    node.lease.isAlive = false;
    node.store.expireLeases();
    await node.run(3_000);
    expect(node.report).to.equal(null);
    node.lease.grant();
    await node.run(1_000);
    expect(node.report).to.include({ epoch: 1 });
  });

  it('is promoted again after it was fenced: a second primary, of the later epoch', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    const again = configWith({ version: 5, epoch: 3 });
    node.write(ELSEWHERE);
    node.write(again);
    await node.run();
    expect(node.primaries.map(({ options }) => options.config.epoch)).to.deep.equal([1, 3]);
    expect(node.volumes.primaries).to.equal(1);
  });

  it('is never started again for an epoch in which it has ended, whatever is read', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    node.primaries[0]?.end('lost');
    node.write(configWith({ version: 4 }));
    await node.run(20_000);
    expect(node.primaries.length).to.equal(1);
    expect(node.volumes.primaries).to.equal(0);
  });

  it('an earlier version than was seen changes nothing (etcd was restored, or an answer overtaken)', async () => {
    const node = new Node();
    node.write(ELSEWHERE);
    await node.run();
    node.write(HERE);
    node.store.put(keys.pointer(NODE, UID), '9');
    await node.run(20_000);
    expect(node.primaries).to.deep.equal([]);
    expect(node.toReplicas).to.deep.equal([ELSEWHERE]);
  });

  it('a config that cannot be read changes nothing, the next good one does', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    for (const bad of ['{', '{"uid":"x"}', JSON.stringify({ ...HERE, version: 4, fence: true })]) {
      node.store.put(keys.volume(UID), bad);
      node.store.put(keys.pointer(NODE, UID), '4');
      await node.run(2_000);
    }
    expect(node.volumes.primaries).to.equal(1);
    node.write({ ...ELSEWHERE, version: 5 });
    await node.run(7_000);
    expect(node.ends).to.deep.equal(['fenced']);
  });

  it('a deleted volume ends its primary at once, and never comes back', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    node.primaries[0]?.options.events.socket(true);
    await node.run();
    node.store.delete(keys.volume(UID));
    node.store.delete(keys.pointer(NODE, UID));
    await node.run(3_000);
    expect(node.ends).to.deep.equal(['lost']);
    expect(node.sockets.servers.map(({ state }) => state)).to.deep.equal(['dropped']);
    expect(node.report).to.equal(null);
  });

  it('what the watch misses, the listing finds', async () => {
    const node = new Node();
    await node.run();
    node.store.viewsAreHeld = true;
    node.write(HERE);
    await node.run(4_000);
    expect(node.primaries.length).to.equal(0);
    await node.run(2_000);
    expect(node.primaries.length).to.equal(1);
    node.store.put(keys.volume(UID), ELSEWHERE);
    node.store.delete(keys.pointer(NODE, UID));
    await node.run(6_000);
    expect(node.ends).to.deep.equal(['fenced']);
  });

  it('reads without an answer are tried again', async () => {
    const node = new Node();
    node.store.failingReads = 4;
    node.write(HERE);
    await node.run(5_000);
    expect(node.primaries.length).to.equal(1);
  });

  it('a recheck reads the config again, and many in a moment read it once', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    node.store.viewsAreHeld = true;
    node.store.reads.length = 0;
    const [primary] = node.primaries;
    for (let time = 0; time < 20; time++) {
      primary?.options.configPort.recheck();
      await node.run(50);
    }
    expect(node.store.reads.length, 'one in 100 ms').to.be.within(9, 11);
    expect(primary?.observed, 'the same version again is no news').to.deep.equal([]);
    node.store.put(keys.volume(UID), ELSEWHERE);
    primary?.options.configPort.recheck();
    await node.run(200);
    expect(node.ends).to.deep.equal(['fenced']);
  });

  it('asks for nothing more once it has ended, though its last proposal was never answered', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    node.primaries[0]?.options.events.socket(true);
    await node.run(3_000);
    node.store.commitFaults.push('lostBefore');
    node.primaries[0]?.options.configPort.propose(HERE, { ...HERE, version: HERE.version + 1 });
    await node.run(50);
    // Its last connections are still about to close.
    node.primaries[0]?.end('released');
    await node.run(10_000);
    expect(node.sockets.servers.map(({ state }) => state)).to.deep.equal(['closing']);
    expect(node.store.json<VolumeConfig>(keys.volume(UID))).to.deep.equal(HERE);
  });

  describe('how far its replicas are compared', () => {
    const recorded = (node: Node) => node.store.json<ScrubState>(keys.scrub(UID));
    const scrubWrites = (node: Node) => node.store.asked.filter((changes) => changes.some((change) => 'put' in change && change.put === keys.scrub(UID)));
    async function served(): Promise<{ node: Node; primary: FakePrimary }> {
      const node = new Node();
      node.write(HERE);
      await node.run();
      const [primary] = node.primaries;
      if (!primary) throw new Error('no primary was started');
      return { node, primary };
    }

    it('goes from one primary to the next', async () => {
      const node = new Node();
      node.store.put(keys.scrub(UID), SCRUB);
      node.write(HERE);
      await node.run();
      expect(node.primaries[0]?.options.scrub).to.deep.equal(SCRUB);
      await node.run(60_000);
      expect(scrubWrites(node), 'what it was given is not written again').to.deep.equal([]);
    });

    it('no word of it, or one that cannot be read, starts a primary that begins anew', async () => {
      const { primary } = await served();
      expect(primary.options.scrub).to.equal(null);
      const node = new Node();
      node.store.put(keys.scrub(UID), '{"position":');
      node.write(HERE);
      await node.run();
      expect(node.primaries[0]?.options.scrub).to.equal(null);
    });

    it('is written every ten seconds at most, and at once when all is compared', async () => {
      const { node, primary } = await served();
      for (let extent = 0; extent < 35; extent++) {
        primary.scrub = { ...SCRUB, position: { shard: 0, extent } };
        await node.run(1_000);
      }
      expect(scrubWrites(node).length).to.equal(3);
      expect(recorded(node)?.position.extent).to.be.within(28, 32);
      const ended = { ...SCRUB, endedAtMs: 9 };
      primary.scrub = ended;
      await node.run(200);
      expect(recorded(node)).to.deep.equal(ended);
    });

    it('is written again where nobody answered, and once a later config is known where one was in the way', async () => {
      const { node, primary } = await served();
      node.store.commitFaults.push('lostBefore');
      primary.scrub = { ...SCRUB, endedAtMs: 9 };
      await node.run(2_000);
      expect(recorded(node)?.endedAtMs).to.equal(9);
      node.store.viewsAreHeld = true;
      node.store.put(keys.volume(UID), configWith({ version: HERE.version + 1 }));
      primary.scrub = { ...SCRUB, endedAtMs: 10 };
      await node.run(1_000);
      expect(recorded(node)?.endedAtMs).to.equal(9);
      primary.options.configPort.recheck();
      await node.run(3_000);
      expect(recorded(node)?.endedAtMs).to.equal(10);
    });

    it('does not come back with a volume that was deleted, nor from a primary that was fenced', async () => {
      const { node, primary } = await served();
      node.store.viewsAreHeld = true;
      node.store.delete(keys.volume(UID));
      primary.scrub = { ...SCRUB, endedAtMs: 9 };
      await node.run(1_000);
      expect(scrubWrites(node), 'it did try').to.not.deep.equal([]);
      expect(recorded(node)).to.equal(null);
      const { node: other, primary: zombie } = await served();
      other.store.viewsAreHeld = true;
      other.store.put(keys.volume(UID), ELSEWHERE);
      other.store.put(keys.scrub(UID), SCRUB);
      zombie.scrub = { ...SCRUB, endedAtMs: 9 };
      await other.run(1_000);
      expect(recorded(other)).to.deep.equal(SCRUB);
    });

    it('is read without holding up a primary that nobody answers', async () => {
      const node = new Node();
      node.store.put(keys.scrub(UID), SCRUB);
      node.write(NOBODY);
      await node.run();
      const held = node.store.get.bind(node.store);
      node.store.get = (key) => {
        if (key === keys.scrub(UID)) node.store.failingReads = 1;
        return held(key);
      };
      node.write(configWith({ version: NOBODY.version + 1 }));
      await node.run();
      expect(node.primaries.map(({ options }) => options.scrub)).to.deep.equal([null]);
    });
  });

  it('its own change is told to it and to the replicas', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    const next = { ...HERE, version: HERE.version + 1, minInSync: 1 };
    node.primaries[0]?.options.configPort.propose(HERE, next);
    await node.run();
    expect(node.primaries[0]?.observed).to.deep.equal([next]);
    expect(node.toReplicas).to.deep.equal([HERE, next]);
  });

  it('while the agent stops no primary is started', async () => {
    const node = new Node();
    node.volumes.letGo();
    node.write(HERE);
    await node.run();
    expect(node.primaries).to.deep.equal([]);
  });

  it('stopped at once, nobody is answered any more', async () => {
    const node = new Node();
    node.write(HERE);
    await node.run();
    node.primaries[0]?.options.events.socket(true);
    await node.run();
    node.volumes.stop('the agent is stopping');
    await atRest();
    expect(node.primaries[0]?.isEnded).to.equal(true);
    expect(node.sockets.servers.map(({ state }) => state)).to.deep.equal(['dropped']);
  });
});
