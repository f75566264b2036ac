/** Which config is in force, as a replica's worker asks it when somebody seals under an epoch that is not known: how often etcd is read, and what is the last word. */
import { expect } from 'chai';
import type { InForce } from '../../../../agent/workers/messages.ts';
import { configWith, INSTANCE, OTHER_INSTANCE, UID } from '../../../support/configs.ts';
import { atRest } from '../../../support/scriptedStore.ts';
import { keys, VolumesBench } from '../../../support/volumesBench.ts';

const KNOWN = configWith({ primary: { node: 'node-b', instance: OTHER_INSTANCE, mode: 'serve' } });
const NEXT = configWith({ version: 4, epoch: 2, primary: { node: 'node-c', instance: INSTANCE, mode: 'serve' } });

class Bench extends VolumesBench {
  readonly told: InForce[] = [];

  /** Not waited for. */
  ask(epoch: number): void {
    this.volumes.ask(UID, epoch, (inForce) => this.told.push(inForce));
  }

  get configReads(): number {
    return this.store.reads.filter((key) => key === keys.volume(UID)).length;
  }

  /** It is known, and no reading is near. */
  async knows(config = KNOWN): Promise<this> {
    this.write(config);
    await this.run(1_000);
    this.store.reads.length = 0;
    return this;
  }
}

describe('the config in force', () => {
  let node: Bench;
  beforeEach(() => {
    node = new Bench();
  });

  it('is told from what is known, and nothing is read, if that is of the epoch or a later one', async () => {
    await node.knows(NEXT);
    node.ask(1);
    node.ask(2);
    expect(node.told).to.deep.equal([
      { config: NEXT, isCurrent: true },
      { config: NEXT, isCurrent: true },
    ]);
    await node.run();
    expect(node.configReads).to.equal(0);
  });

  it('is read at once, by no tick and through every pause between readings, and goes to the replicas, too', async () => {
    await node.knows();
    node.store.viewsAreHeld = true;
    node.write(NEXT);
    node.ask(2);
    await atRest();
    expect(node.told).to.deep.equal([{ config: NEXT, isCurrent: true }]);
    expect(node.configReads).to.be.within(1, 2);
    expect(node.toReplicas.at(-1)).to.deep.equal(NEXT);
  });

  it('is read once for all that come while it is read', async () => {
    await node.knows();
    for (let asked = 0; asked < 20; asked++) node.ask(2);
    await node.run(300);
    expect(node.told.length).to.equal(20);
    expect(node.told.every(({ config, isCurrent }) => config?.epoch === 1 && isCurrent)).to.equal(true);
    // The first began one, the others came while it was under way.
    expect(node.configReads).to.equal(2);
  });

  it('is not what a reading found that began before it was asked', async () => {
    await node.knows();
    node.ask(2);
    // It is under way, and may have been answered by what stood there before.
    node.write(NEXT);
    node.ask(9);
    await node.run(50);
    expect(node.told.length).to.be.within(1, 2);
    await node.run(500);
    expect(node.told.length).to.equal(2);
    expect(node.told[1]).to.deep.equal({ config: NEXT, isCurrent: true });
    expect(node.configReads).to.be.within(2, 4);
  });

  it('is read for epochs that are made up no oftener than ten times a second', async () => {
    await node.knows();
    for (let round = 0; round < 20; round++) {
      node.ask(1_000 + round);
      await node.run(50);
    }
    await node.run(500);
    expect(node.told.length).to.equal(20);
    expect(node.configReads).to.be.within(8, 12);
  });

  it('is told as what is known, with the doubt, when etcd does not answer; the next who asks has it read again', async () => {
    await node.knows();
    node.store.failingReads = 1;
    node.ask(2);
    await node.run(50);
    expect(node.told).to.deep.equal([{ config: KNOWN, isCurrent: false }]);
    node.write(NEXT);
    await node.run(100);
    node.ask(2);
    await node.run(200);
    expect(node.told.at(-1)).to.deep.equal({ config: NEXT, isCurrent: true });
  });

  it('of a volume of which nothing was heard is read, and forgotten again where it does not concern this node', async () => {
    const elsewhere = { node: 'node-x', replica: KNOWN.shards[0]?.members[0]?.replica as never, pool: 'default' };
    const config = configWith({ shards: [{ members: [elsewhere], inSync: [] }], primary: null });
    node.store.put(keys.volume(UID), config);
    node.ask(1);
    await node.run(100);
    expect(node.told).to.deep.equal([{ config, isCurrent: true }]);
    await node.run(200);
    expect(node.volumes.configOf(UID)).to.equal(null);
  });

  it('of a volume that is not there is none; one that is there a moment later begins as if nobody had asked', async () => {
    node.ask(1);
    await atRest();
    expect(node.told).to.deep.equal([{ config: null, isCurrent: true }]);
    // No tick has come that would forget it.
    node.write(configWith());
    await atRest();
    await node.run(1_000);
    expect(node.primaries.length).to.equal(1);
  });

  it('of a volume that was deleted is none, and is not read again at once', async () => {
    await node.knows();
    node.store.put(keys.deletedOf(UID), { generation: 1 });
    node.store.delete(keys.volume(UID));
    node.ask(2);
    await atRest();
    const { configReads } = node;
    node.ask(2);
    expect(node.told).to.deep.equal([
      { config: null, isCurrent: true },
      { config: null, isCurrent: true },
    ]);
    expect([configReads, node.configReads]).to.deep.equal([1, 1]);
  });

  it('that was lost is what is known: who was appointed then still is', async () => {
    await node.knows(NEXT);
    node.store.delete(keys.volume(UID));
    node.store.delete(keys.pointer('node-a', UID));
    await node.run(500);
    node.ask(2);
    node.ask(3);
    await node.run(500);
    expect(node.told).to.deep.equal([
      { config: NEXT, isCurrent: true },
      { config: NEXT, isCurrent: true },
    ]);
  });

  it('is told to nobody twice, in whatever order etcd loses answers', async () => {
    await node.knows();
    const counts: number[] = [];
    for (let round = 0; round < 30; round++) {
      const index = counts.push(0) - 1;
      node.store.failingReads = round % 3;
      node.volumes.ask(UID, 2 + (round % 4), () => {
        counts[index] = (counts[index] ?? 0) + 1;
      });
      if (round === 15) node.write(NEXT);
      await node.run(50 * (round % 4));
    }
    node.store.failingReads = 0;
    await node.run(3_000);
    expect(counts).to.deep.equal(counts.map(() => 1));
  });
});
