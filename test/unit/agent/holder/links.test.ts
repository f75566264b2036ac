/** What keeps the kernel's devices connected, with a kernel and a server of the test's own. */
import { expect } from 'chai';
import { type Link, Links } from '../../../../agent/holder/edge/links.ts';
import type { Change } from '../../../../agent/holder/kernelMessages.ts';
import { silentLog } from '../../../../core/log.ts';
import { until } from '../../../support/until.ts';

const LINK: Link = { index: 3, name: 'pgdata', uid: 'uid-1', socket: '/run/pgdata.sock' };

/** The kernel takes a connection only where one is missing. */
class World {
  isServing = true;
  isAlive = true;
  isLinked = true;
  dialled = 0;
  closed = 0;
  timeoutSeconds = 0;
  readonly changes: Change[] = [];
  /** Whether it was linked, each time. */
  readonly lookedAgain: boolean[] = [];
  /** Held here until the test lets it go on. */
  gate: Promise<void> = Promise.resolve();
  readonly links = new Links(
    {
      dial: async (_link, signal) => {
        this.dialled++;
        await this.gate;
        signal.throwIfAborted();
        if (!this.isServing) throw new Error('nobody listens');
        return { descriptor: 100 + this.dialled, flags: 0, close: () => void this.closed++ };
      },
      reconfigure: async (_link, change) => {
        this.changes.push(change);
        this.timeoutSeconds = change.timeoutSeconds ?? this.timeoutSeconds;
        if (change.descriptor === undefined) return;
        expect(this.timeoutSeconds, 'with a time-out a slow connection would be given up').to.equal(0);
        this.isLinked = true;
      },
      isAlive: () => this.isAlive,
      lookAgainSoon: () => void this.lookedAgain.push(this.isLinked),
    },
    silentLog,
  );

  dies(): void {
    this.isLinked = false;
    this.links.died(LINK.index);
  }
}

describe('agent/holder: links', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });
  afterEach(() => world.links.close());

  it('offers a connection when it begins, for one that died before anybody listened', async () => {
    world.isLinked = false;
    world.links.watch(LINK);
    await until('it is linked', () => world.isLinked);
    await until('ours is closed', () => world.closed === world.dialled);
  });

  it('connects again when a connection dies, also one that dies at once', async () => {
    world.links.watch(LINK);
    await until('the first offer', () => world.closed === 1);
    world.dies();
    await until('it is linked again', () => world.isLinked);
    world.dies();
    world.dies();
    await until('and again', () => world.isLinked && world.closed === world.dialled);
  });

  it('says whether a device has a connection: not while one is missing, nor of what it does not watch', async () => {
    expect(world.links.isLinked(LINK.index)).to.equal(false);
    world.links.watch(LINK);
    await until('it is linked', () => world.links.isLinked(LINK.index));
    world.isServing = false;
    world.dies();
    expect(world.links.isLinked(LINK.index)).to.equal(false);
    world.isServing = true;
    await until('it is linked again', () => world.links.isLinked(LINK.index));
    expect(world.lookedAgain, 'a change that waits for what is in flight waits for the connection').to.deep.equal([true, true]);
  });

  it('one that dies while another is on its way is not forgotten', async () => {
    const { promise, resolve: open } = Promise.withResolvers<void>();
    world.gate = promise;
    world.links.watch(LINK);
    await until('on its way', () => world.dialled === 1);
    world.dies();
    open();
    await until('a second one was made', () => world.closed === 2);
  });

  it('goes on for as long as nobody listens, puts back what was not answered, and lifts the time-out before it connects', async () => {
    world.isServing = false;
    world.links.watch(LINK);
    world.dies();
    await until('silence', () => world.timeoutSeconds === 1);
    const before = world.dialled;
    await until('it tries on', () => world.dialled > before + 1);
    expect(world.changes.filter(({ timeoutSeconds }) => timeoutSeconds === 1)).to.have.length(1);
    world.isServing = true;
    await until('it is linked', () => world.isLinked);
    expect(world.timeoutSeconds).to.equal(0);
  });

  it('sets no time-out where nobody said that the connection died: it may be alive, and only slow', async () => {
    world.isServing = false;
    world.links.watch(LINK);
    await until('long enough for silence', () => world.dialled > 10);
    expect(world.changes).to.deep.equal([]);
  });

  it('ends where the device is gone', async () => {
    world.isServing = false;
    world.isAlive = false;
    world.links.watch(LINK);
    await world.links.forget(LINK.index);
    const { dialled } = world;
    world.links.died(LINK.index);
    expect(world.dialled).to.equal(dialled);
    expect(world.links.size).to.equal(0);
  });

  it('what is forgotten is not connected any more, not even by what was on its way', async () => {
    const { promise, resolve: open } = Promise.withResolvers<void>();
    world.gate = promise;
    world.links.watch(LINK);
    await until('on its way', () => world.dialled === 1);
    world.isLinked = false;
    const forgotten = world.links.forget(LINK.index);
    open();
    await forgotten;
    expect(world.isLinked).to.equal(false);
    world.links.anyMayHaveDied();
    expect(world.dialled).to.equal(1);
  });
});
