import { expect } from 'chai';
import { isOperatingError } from '../../../../core/errors.ts';
import { keysOf } from '../../../../core/keys.ts';
import { claimGeneration, parseLeaderRecord } from '../../../../operator/election/generation.ts';
import { ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');
const other = { generation: 8, holder: 'other' };

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  return null;
}

describe('operator: the generation', () => {
  const rows: [says: string, inEtcd: object | string | null, transitions: number, generation: number][] = [
    ['is the Lease count where etcd knows none', null, 3, 3],
    ['is at least 1', null, 0, 1],
    ['is above what etcd holds, though the Lease was made anew', other, 1, 9],
    ['is the Lease count where that is higher', other, 20, 20],
    ['is the Lease count where etcd holds nonsense', 'nonsense', 12, 12],
  ];
  for (const [says, inEtcd, transitions, generation] of rows) {
    it(says, async () => {
      const store = new ScriptedStore();
      if (inEtcd !== null) store.put(keys.leader, inEtcd);
      const leadership = await claimGeneration(store, keys, 'me', transitions);
      expect(leadership.generation).to.equal(generation);
      expect(store.json(keys.leader)).to.deep.equal({ generation, holder: 'me' });
    });
  }

  it('is found again when its writing landed without an answer', async () => {
    const store = new ScriptedStore();
    store.commitFaults.push('lostAfter');
    expect(isOperatingError(await failureOf(claimGeneration(store, keys, 'me', 5)), 'Unavailable')).to.equal(true);
    expect((await claimGeneration(store, keys, 'me', 5)).generation).to.equal(5);
    expect(store.landed.length).to.equal(1);
  });

  it('rises again when another claims in between', async () => {
    const store = new ScriptedStore();
    store.commitFaults.push('held');
    const claiming = claimGeneration(store, keys, 'me', 5);
    for (; store.asked.length === 0; ) await new Promise((resolve) => setImmediate(resolve));
    store.put(keys.leader, other);
    store.release();
    expect((await claiming).generation).to.equal(9);
  });

  it('gives up after a bound when somebody else writes all the time', async () => {
    const store = new ScriptedStore();
    const commit = store.commit.bind(store);
    store.commit = (conditions, changes) => {
      store.put(keys.leader, { generation: store.landed.length, holder: 'other' });
      return commit(conditions, changes);
    };
    expect(isOperatingError(await failureOf(claimGeneration(store, keys, 'me', 1)), 'Conflict')).to.equal(true);
  });

  it('is read only from a record that has both parts', () => {
    expect([null, '', '5', 'null', '{}', '{"generation":"1","holder":"x"}'].map(parseLeaderRecord)).to.deep.equal([
      null,
      null,
      null,
      null,
      null,
      null,
    ]);
  });
});

describe('operator: writes of a leader', () => {
  const change = { put: '/x', value: '1' };

  it('land while it leads', async () => {
    const store = new ScriptedStore();
    const leadership = await claimGeneration(store, keys, 'me', 1);
    expect((await leadership.commit([{ key: '/x', is: 'absent' }], [change])).kind).to.equal('committed');
    expect(store.entry('/x')?.value).to.equal('1');
  });

  it('that lose to another change are conflicts, and it leads on', async () => {
    const store = new ScriptedStore();
    const leadership = await claimGeneration(store, keys, 'me', 1);
    store.put('/x', 'before');
    expect((await leadership.commit([{ key: '/x', is: 'absent' }], [change])).kind).to.equal('conflict');
    expect(leadership.isDeposed).to.equal(false);
  });

  it('never land once another leads, and it knows from then on', async () => {
    const store = new ScriptedStore();
    const old = await claimGeneration(store, keys, 'me', 1);
    let told = 0;
    old.onDeposed(() => told++);
    await claimGeneration(store, keys, 'other', 2);
    expect((await old.commit([], [change])).kind).to.equal('fenced');
    expect(store.entry('/x')).to.equal(null);
    const asked = store.asked.length;
    expect((await old.commit([], [change])).kind).to.equal('fenced');
    expect([old.isDeposed, told, store.asked.length - asked]).to.deep.equal([true, 1, 0]);
  });

  it('that get no answer may land late, but not after another has claimed', async () => {
    const store = new ScriptedStore();
    const old = await claimGeneration(store, keys, 'me', 1);
    store.commitFaults.push('late');
    expect(isOperatingError(await failureOf(old.commit([], [change])), 'Unavailable')).to.equal(true);
    await claimGeneration(store, keys, 'other', 2);
    store.land();
    expect(store.entry('/x')).to.equal(null);
  });
});
