/** What wakes the control loop: all that comes from outside, and nothing that is said again and again. */
import { expect } from 'chai';
import { Doorbell } from '../../../../agent/control/doorbell.ts';
import { channelWithinThread } from '../../../../agent/workers/channel.ts';
import { atRest, ScriptedStore } from '../../../support/scriptedStore.ts';

const setUp = () => {
  const doorbell = new Doorbell();
  const rings: string[] = [];
  let heard = 'nothing';
  doorbell.answer(() => rings.push(heard));
  const within = async (what: string, act: () => unknown): Promise<number> => {
    const before = rings.length;
    heard = what;
    await act();
    await atRest();
    return rings.length - before;
  };
  return { doorbell, within };
};

describe('the doorbell of the control loop', () => {
  it('rings with every answer of the store, also with one that is none', async () => {
    const { doorbell, within } = setUp();
    const scripted = new ScriptedStore();
    const store = doorbell.store(scripted);
    expect(await within('get', () => store.get('/a'))).to.equal(1);
    expect(await within('list', () => store.list('/'))).to.equal(1);
    expect(await within('commit', () => store.commit([], [{ put: '/a', value: '1' }]))).to.equal(1);
    scripted.failingReads = 1;
    expect(await within('no answer', () => store.get('/a').catch(() => undefined))).to.equal(1);
  });

  it('rings when what is watched changes', async () => {
    const { doorbell, within } = setUp();
    const scripted = new ScriptedStore();
    let seen = 0;
    const view = doorbell.store(scripted).view('/', () => seen++);
    expect(await within('put', () => scripted.put('/a', '1'))).to.equal(1);
    expect(seen).to.equal(1);
    view.close();
  });

  it('rings with what a worker says, but not with its chatter', async () => {
    const { doorbell, within } = setUp();
    const [here, there] = channelWithinThread<{ type: string }, { type: string }>();
    const heard: string[] = [];
    doorbell.channel(here).listen(({ type }) => heard.push(type));
    expect(await within('propose', () => there.post({ type: 'propose' }))).to.equal(1);
    for (const type of ['pong', 'log', 'metrics']) expect(await within(type, () => there.post({ type }))).to.equal(0);
    expect(heard).to.deep.equal(['propose', 'pong', 'log', 'metrics']);
  });
});
