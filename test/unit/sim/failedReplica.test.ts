/** What an agent finds to have failed is known to whoever decides on members, also where the agent before it could not say so any more. */
import { expect } from 'chai';
import { CALM } from '../../sim/mutants/situations.ts';
import { drawOptions } from '../../sim/options.ts';
import { World } from '../../sim/world.ts';

const NODE = 'node-b';
const EVENTS_MAX = 10_000;

function runUntil(world: World, what: string, isSo: () => boolean): void {
  for (let events = 0; !isSo(); events++) {
    if (events === EVENTS_MAX) throw new Error(`not within ${EVENTS_MAX} events: ${what}`);
    world.schedule.runNext();
  }
}

describe('A simulated replica whose last flush fails while its agent closes it', () => {
  it('is reported by the next agent, and exchanged', () => {
    const world = new World({ ...drawOptions(1, 0), ...CALM, clients: 0, usesDisks: true, failingFlush: 1 });
    const shard = () => world.register.config.shards[0] ?? { members: [], inSync: [] };
    const replica = shard().members.find(({ node }) => node === NODE)?.replica;
    runUntil(world, 'a primary is ready', () => world.openSockets().length > 0);

    world.shutDown(NODE);
    runUntil(world, 'the agent is gone', () => !world.isRunning(NODE));
    expect([...world.failed], 'heard of before anybody looked').to.deep.equal([]);

    world.start(NODE);
    runUntil(world, 'the failure is reported', () => world.failed.size > 0);
    expect([...world.failed]).to.deep.equal([replica]);
    runUntil(
      world,
      'another is in sync in its place',
      () => shard().inSync.length === 3 && !shard().members.some((one) => one.replica === replica),
    );
  });
});
