/** etcd was restored from a backup: a primary that it promotes meets replicas that know better, and must not go on without them. */
import { expect } from 'chai';
import { PrimaryBench } from '../../../support/primaryBench.ts';

/** `a`'s part of the set that etcd forgot: it has promised epoch 8 and seen version 30; the bench's primary is of epoch 5, version 20. */
const refusal = { type: 'refused', code: 'fenced', message: 'epoch 8 is promised, not 5', promisedEpoch: 8, seenVersion: 30 } as const;

const bench = (): PrimaryBench => new PrimaryBench({ inSync: 'abc', minInSync: 1, before: (each) => each.replica('b').mute.add('seal') });

function refuses(each: PrimaryBench, change: Partial<typeof refusal> | { code: 'newerConfig' } = {}): void {
  const replica = each.replica('b');
  const { listener } = replica;
  replica.listener = null;
  listener?.message({ ...refusal, ...change });
  listener?.closed('refused');
}

describe('agent: a primary whose replica knows better than etcd', () => {
  for (const code of ['fenced', 'newerConfig'] as const) {
    it(`does not go on without it, though minInSync allows it (${code})`, () => {
      const each = bench();
      each.settle();
      for (let round = 0; round < 20; round++) {
        refuses(each, { code });
        each.pass(500);
      }
      expect(each.proposed(), 'proposals').to.deep.equal([]);
      expect(each.events).to.not.include('socket opens');
      expect(each.primary.report().ahead).to.deep.equal({ node: 'node-b', epoch: 8, version: 30 });
    });
  }

  it('does not go on without it either when its connection breaks afterwards', () => {
    const each = bench();
    each.settle();
    refuses(each);
    each.replica('b').isReachable = false;
    each.pass(10_000);
    expect(each.proposed()).to.deep.equal([]);
  });

  it('drops one that is silent, as before', () => {
    const each = bench();
    each.settle();
    each.replica('b').breaks();
    each.pass(3_000);
    expect(each.proposed()).to.include('ac');
  });

  it('drops one that only saw a config that the primary has heard of since', () => {
    const each = bench();
    each.settle();
    refuses(each, { code: 'newerConfig', promisedEpoch: 5, seenVersion: 21 } as never);
    each.replica('b').isReachable = false;
    each.pass(3_000);
    expect(each.proposed()).to.deep.equal([]);
    each.lands((config) => config);
    each.pass(3_000);
    expect(each.proposed()).to.include('ac');
    expect(each.primary.report().ahead).to.equal(undefined);
  });

  it('says nothing of one that knows better for a moment only', () => {
    const each = bench();
    each.settle();
    refuses(each);
    each.pass(100);
    expect(each.primary.report().ahead).to.equal(undefined);
  });
});
