/** How far a scrub is, between etcd and the primaries of a node. */
import { expect } from 'chai';
import type { ScrubState } from '../../../../core/scrub.ts';
import { configWith, OTHER_INSTANCE, UID } from '../../../support/configs.ts';
import type { FakePrimary } from '../../../support/fakeEngines.ts';
import { keys, VolumesBench } from '../../../support/volumesBench.ts';

const SCRUB: ScrubState = { position: { shard: 0, extent: 7 }, startedAtMs: 5, endedAtMs: null, repairedBlocks: 2, unresolvedBlocks: 0 };
const HERE = configWith();

const NOBODY = configWith({ primary: null });
const ELSEWHERE = configWith({ version: 4, epoch: 2, primary: { node: 'node-b', instance: OTHER_INSTANCE, mode: 'serve' } });

describe('how far the replicas of a volume are compared', () => {
  const recorded = (node: VolumesBench) => node.store.json<ScrubState>(keys.scrub(UID));
  const scrubWrites = (node: VolumesBench) =>
    node.store.asked.filter((changes) => changes.some((change) => 'put' in change && change.put === keys.scrub(UID)));
  async function served(): Promise<{ node: VolumesBench; primary: FakePrimary }> {
    const node = new VolumesBench();
    node.write(HERE);
    await node.run();
    const [primary] = node.primaries;
    if (!primary) throw new Error('no primary was started');
    return { node, primary };
  }

  it('goes from one primary to the next', async () => {
    const node = new VolumesBench();
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
    const node = new VolumesBench();
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
    const node = new VolumesBench();
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
