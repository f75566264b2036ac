/** From pointers to configs to replicas and primaries, over a scripted store and fake engines. */
import { expect } from 'chai';
import type { VolumeConfig } from '../../../../core/config.ts';
import type { ServingReport } from '../../../../core/machine.ts';
import { configWith, INSTANCE, OTHER_INSTANCE, UID } from '../../../support/configs.ts';
import { configIn } from '../../../support/configsInStore.ts';
import { atRest } from '../../../support/scriptedStore.ts';
import { keys, NODE, VolumesBench } from '../../../support/volumesBench.ts';

const HERE = configWith();
const NOBODY = configWith({ primary: null });
const ELSEWHERE = configWith({ version: 4, epoch: 2, primary: { node: 'node-b', instance: OTHER_INSTANCE, mode: 'serve' } });

describe('the volumes of a node', () => {
  it('a config that names nobody goes to the replicas and starts no primary', async () => {
    const node = new VolumesBench();
    node.write(NOBODY);
    await node.run();
    expect(node.toReplicas).to.deep.equal([NOBODY]);
    expect(node.primaries).to.deep.equal([]);
  });

  it('a config that names this process starts a primary, once, after the replicas have heard of it', async () => {
    const node = new VolumesBench();
    node.write(HERE);
    await node.run(20_000);
    expect(node.primaries.length).to.equal(1);
    expect(node.primaries[0]?.options.config).to.deep.equal(HERE);
    expect(node.toReplicas).to.deep.equal([HERE]);
    expect(node.volumes.primaries).to.equal(1);
  });

  it('a config that names a former process of this node starts none', async () => {
    const node = new VolumesBench();
    node.write(configWith({ primary: { node: NODE, instance: OTHER_INSTANCE, mode: 'serve' } }));
    await node.run();
    expect(node.primaries).to.deep.equal([]);
  });

  it('opens the socket when told, says so in the report, and takes both back when it is let go', async () => {
    const node = new VolumesBench();
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
    expect((await configIn(node.store, keys, UID))?.config.primary).to.equal(null);
    expect(node.store.json<VolumeConfig>(keys.volume(UID)), 'the leader’s alone').to.deep.equal(HERE);
    expect(node.volumes.primaries).to.equal(0);
  });

  it('a fenced primary loses its socket without a word, and leaves the report of the newer one alone', async () => {
    const node = new VolumesBench();
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
    const node = new VolumesBench();
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
    const node = new VolumesBench();
    node.store.put(keys.servingOf(UID), { uid: UID, node: 'node-b', instance: OTHER_INSTANCE, epoch: 0 });
    node.write(HERE);
    await node.run(3_000);
    expect(node.report).to.include({ epoch: 1, instance: INSTANCE });
  });

  it('a report is written at most once a second however often it changes', async () => {
    const node = new VolumesBench();
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

  it('a socket that opens is told at once, though another report was written a moment before', async () => {
    const node = new VolumesBench();
    node.write(HERE);
    await node.run(200);
    expect(node.report).to.include({ socket: null });
    node.primaries[0]?.options.events.socket(true);
    await node.run(200);
    expect(node.report).to.include({ socket: '/run/holdfast/pgdata.sock' });
  });

  it('a socket that opens and closes without an end is written at most twice a second', async () => {
    const node = new VolumesBench();
    node.write(HERE);
    await node.run(2_000);
    const before = node.store.asked.length;
    for (let round = 0; round < 100; round++) {
      const report = node.reports.at('/run/holdfast/pgdata.sock') ?? (node.report as ServingReport);
      node.reports.tell({ ...report, socket: round % 2 ? null : '/run/holdfast/pgdata.sock' });
      await node.run(50);
    }
    expect(node.store.asked.length - before).to.be.within(5, 11);
  });

  it('I/O that waits is told of when it waits for two seconds, not for the moment that taking a replica out needs', async () => {
    const node = new VolumesBench();
    node.write(HERE);
    await node.run(2_000);
    const [primary] = node.primaries;
    const become = (state: 'serving' | 'stalled') => {
      if (primary) primary.state = { state, ...(state === 'stalled' ? { reason: 'no answer from node-b' } : {}), replicas: [] };
      primary?.options.events.reportChanged();
    };
    for (let time = 0; time < 3; time++) {
      become('stalled');
      await node.run(1_500);
      expect(node.report?.state).to.equal('serving');
      become('serving');
      await node.run(200);
    }
    become('stalled');
    await node.run(4_500);
    expect(node.report).to.include({ state: 'stalled', reason: 'no answer from node-b' });
    become('serving');
    await node.run(1_500);
    expect(node.report?.state).to.equal('serving');
  });

  it('after a new lease the report stands again', async () => {
    const node = new VolumesBench();
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
    const node = new VolumesBench();
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
    const node = new VolumesBench();
    node.write(HERE);
    await node.run();
    node.primaries[0]?.end('lost');
    node.write(configWith({ version: 4 }));
    await node.run(20_000);
    expect(node.primaries.length).to.equal(1);
    expect(node.volumes.primaries).to.equal(0);
  });

  it('an earlier version than was seen changes nothing (etcd was restored, or an answer overtaken)', async () => {
    const node = new VolumesBench();
    node.write(ELSEWHERE);
    await node.run();
    node.write(HERE);
    node.store.put(keys.pointer(NODE, UID), '9');
    await node.run(20_000);
    expect(node.primaries).to.deep.equal([]);
    expect(node.toReplicas).to.deep.equal([ELSEWHERE]);
  });

  it('a config that cannot be read changes nothing, the next good one does', async () => {
    const node = new VolumesBench();
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
    const node = new VolumesBench();
    node.write(HERE);
    await node.run();
    node.primaries[0]?.options.events.socket(true);
    await node.run();
    node.store.put(keys.deletedOf(UID), '{}');
    node.store.delete(keys.volume(UID));
    node.store.delete(keys.pointer(NODE, UID));
    await node.run(3_000);
    expect(node.ends).to.deep.equal(['lost']);
    expect(node.sockets.servers.map(({ state }) => state)).to.deep.equal(['dropped']);
    expect(node.report).to.equal(null);
  });

  describe('whose config the store has lost, with nobody having deleted it', () => {
    const losing = async (): Promise<VolumesBench> => {
      const node = new VolumesBench();
      node.write(HERE);
      await node.run();
      node.primaries[0]?.options.events.socket(true);
      await node.run(3_000);
      node.store.delete(keys.volume(UID));
      node.store.delete(keys.pointer(NODE, UID));
      await node.run(10_000);
      return node;
    };

    it('is served on, its report stays, and its replicas are still expected here', async () => {
      const node = await losing();
      expect([node.ends, node.volumes.primaries, node.sockets.servers.map(({ state }) => state)]).to.deep.equal([[], 1, ['open']]);
      expect(node.report).to.include({ epoch: 1, state: 'serving' });
      expect([...node.volumes.replicasHere()]).to.have.length(1);
    });

    it('gets no other primary here, when the one there was has ended', async () => {
      const node = await losing();
      node.primaries[0]?.end('lost');
      await node.run(20_000);
      expect([node.primaries.length, node.volumes.primaries]).to.deep.equal([1, 0]);
    });

    it('goes on under the config that it gets anew', async () => {
      const node = await losing();
      const later = { ...HERE, version: HERE.version + 1_000, epoch: HERE.epoch + 1_000 };
      node.write({ ...later, primary: null });
      await node.run(3_000);
      expect(node.ends).to.deep.equal(['fenced']);
      node.sockets.servers[0]?.lastConnectionLeft();
      node.write({ ...later, version: later.version + 1, epoch: later.epoch + 1 });
      await node.run(3_000);
      expect([node.primaries.length, node.volumes.primaries]).to.deep.equal([2, 1]);
    });

    it('ends when it is deleted after all', async () => {
      const node = await losing();
      node.store.put(keys.deletedOf(UID), '{}');
      await node.run(70_000);
      expect([node.ends, node.report]).to.deep.equal([['lost'], null]);
    });
  });

  it('what a watch misses that is proven to be current, the listing finds after a while', async () => {
    const node = new VolumesBench();
    await node.run();
    node.store.viewsAreHeld = true;
    node.write(HERE);
    await node.run(59_000);
    expect(node.primaries.length).to.equal(0);
    await node.run(2_000);
    expect(node.primaries.length).to.equal(1);
  });

  it('what a watch misses that nobody proves, the listing finds', async () => {
    const node = new VolumesBench();
    await node.run();
    node.store.viewsAreHeld = true;
    node.store.viewsAreCurrent = false;
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
    const node = new VolumesBench();
    node.store.failingReads = 4;
    node.write(HERE);
    await node.run(5_000);
    expect(node.primaries.length).to.equal(1);
  });

  it('a recheck reads the config again, and many in a moment read it once', async () => {
    const node = new VolumesBench();
    node.write(HERE);
    await node.run();
    node.store.viewsAreHeld = true;
    node.store.reads.length = 0;
    const [primary] = node.primaries;
    for (let time = 0; time < 20; time++) {
      primary?.options.configPort.recheck();
      await node.run(50);
    }
    expect(node.store.reads.filter((key) => key === keys.volume(UID)).length, 'one in 100 ms').to.be.within(9, 11);
    expect(primary?.observed, 'the same version again is no news').to.deep.equal([]);
    node.store.put(keys.volume(UID), ELSEWHERE);
    primary?.options.configPort.recheck();
    await node.run(200);
    expect(node.ends).to.deep.equal(['fenced']);
  });

  it('asks for nothing more once it has ended, though its last proposal was never answered', async () => {
    const node = new VolumesBench();
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

  it('its own change is told to it and to the replicas', async () => {
    const node = new VolumesBench();
    node.write(HERE);
    await node.run();
    const next = { ...HERE, version: HERE.version + 1, minInSync: 1 };
    node.primaries[0]?.options.configPort.propose(HERE, next);
    await node.run();
    expect(node.primaries[0]?.observed).to.deep.equal([next]);
    expect(node.toReplicas).to.deep.equal([HERE, next]);
  });

  it('while the agent stops no primary is started', async () => {
    const node = new VolumesBench();
    node.volumes.letGo();
    node.write(HERE);
    await node.run();
    expect(node.primaries).to.deep.equal([]);
  });

  it('stopped at once, nobody is answered any more', async () => {
    const node = new VolumesBench();
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
