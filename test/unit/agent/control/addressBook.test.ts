/** Where the pools of other nodes answer. */
import { expect } from 'chai';
import { AddressBook } from '../../../../agent/control/addressBook.ts';
import { CallSlots } from '../../../../agent/control/calls.ts';
import type { Address } from '../../../../agent/workers/messages.ts';
import { keysOf } from '../../../../core/keys.ts';
import { INSTANCE, OTHER_INSTANCE } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest, ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');

describe('the address book', () => {
  const machine = (...pools: [string, string][]) => ({
    node: 'node-b',
    instance: OTHER_INSTANCE,
    bootId: 'b',
    addresses: { http: '' },
    pools: pools.map(([name, address]) => ({ name, address })),
  });

  function setUp() {
    const store = new ScriptedStore();
    const clock = new ManualClock();
    const book = new AddressBook({ store, keys, clock, slots: new CallSlots() });
    const resolve = async (pool = 'default') => {
      clock.advance(1_500);
      const answers: (Address | null)[] = [];
      book.resolve('node-b', pool, 'asker', (address, isNew) => isNew || answers.push(address));
      await atRest();
      expect(answers.length).to.equal(1);
      return answers[0];
    };
    return { store, clock, book, resolve };
  }

  it('reads a node when it is asked for, follows its changes, and keeps the last address when its key goes', async () => {
    const { store, resolve } = setUp();
    expect(await resolve()).to.equal(null);
    store.put(keys.machine('node-b'), machine(['default', '10.0.0.2:9450'], ['fast', '10.0.0.2:9451']));
    expect(await resolve()).to.deep.equal({ host: '10.0.0.2', port: 9450 });
    expect(await resolve('fast')).to.deep.equal({ host: '10.0.0.2', port: 9451 });
    expect(await resolve('slow')).to.equal(null);
    store.put(keys.machine('node-b'), machine(['default', '[fd00::2]:9453']));
    expect(await resolve()).to.deep.equal({ host: 'fd00::2', port: 9453 });
    expect(await resolve('fast'), 'it may only be starting').to.deep.equal({ host: '10.0.0.2', port: 9451 });
    store.delete(keys.machine('node-b'));
    expect(await resolve()).to.deep.equal({ host: 'fd00::2', port: 9453 });
  });

  it('reads once for all who ask at the same time, and answers each', async () => {
    const { store, book } = setUp();
    store.put(keys.machine('node-b'), machine(['default', '10.0.0.2:9450'], ['fast', '10.0.0.2:9451']));
    const answers: (number | undefined)[] = [];
    for (const pool of ['default', 'fast', 'default'])
      book.resolve('node-b', pool, 'asker', (address, isNew) => isNew || answers.push(address?.port));
    expect(answers).to.deep.equal([]);
    await atRest();
    expect(answers).to.deep.equal([9450, 9451, 9450]);
    book.resolve('node-b', 'fast', 'asker', (address, isNew) => isNew || answers.push(address?.port));
    expect(answers.at(-1), 'it was read a moment ago').to.equal(9451);
  });

  it('tells whoever could not reach a node when an agent comes to it, once, and no longer than they ask', async () => {
    const { store, clock, book } = setUp();
    store.put(keys.machine('node-bb'), machine(['default', '10.0.0.9:9450']));
    const news: (number | undefined)[] = [];
    const ask = () => book.resolve('node-b', 'default', 'asker', (address, isNew) => isNew && news.push(address?.port));
    ask();
    ask();
    await atRest();
    expect(news, 'another node').to.deep.equal([]);
    store.put(keys.machine('node-b'), machine(['default', '10.0.0.2:9450']));
    await atRest();
    expect(news).to.deep.equal([9450]);
    store.put(keys.machine('node-b'), { ...machine(['default', '10.0.0.2:9450']), bootId: 'the same agent tells something else' });
    await atRest();
    expect(news).to.deep.equal([9450]);
    clock.advance(9_000);
    ask();
    clock.advance(9_000);
    book.tick();
    store.put(keys.machine('node-b'), { ...machine(['default', '10.0.0.3:9450']), instance: INSTANCE });
    await atRest();
    expect(news).to.deep.equal([9450, 9450]);
    clock.advance(11_000);
    book.tick();
    store.put(keys.machine('node-b'), machine(['default', '10.0.0.4:9450']));
    await atRest();
    expect(news).to.deep.equal([9450, 9450]);
  });

  it('tells beside the address what the agent there speaks, as it is now', async () => {
    const { store, resolve } = setUp();
    const place = { host: '10.0.0.2', port: 9450 };
    const registered = machine(['default', '10.0.0.2:9450']);
    const speaks = { protocol: { lowest: 1, highest: 2 }, schema: { lowest: 1, highest: 9 } };
    store.put(keys.machine('node-b'), { ...registered, speaks });
    expect(await resolve()).to.deep.equal({ ...place, protocol: speaks.protocol });
    store.put(keys.machine('node-b'), registered);
    expect(await resolve(), 'it went back to a version that says nothing').to.deep.equal(place);
    for (const nonsense of ['all', null, { protocol: 2 }, { protocol: { lowest: 3, highest: 2 } }]) {
      store.put(keys.machine('node-b'), { ...registered, speaks: nonsense });
      expect(await resolve()).to.deep.equal({ ...place, protocol: { lowest: 0, highest: 0 } });
    }
  });

  for (const bad of ['', 'node-b', '10.0.0.2:0', '10.0.0.2:65536', ':9442', 'fd00::2:9443']) {
    it(`does not dial ${JSON.stringify(bad)}`, async () => {
      const { store, resolve } = setUp();
      store.put(keys.machine('node-b'), machine(['default', bad]));
      expect(await resolve()).to.equal(null);
    });
  }
});
