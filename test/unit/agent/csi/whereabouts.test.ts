/** Where a volume's clients shall be: what may be done to its device here depends on it, so what nobody said is never "elsewhere". */
import { expect } from 'chai';
import { whereaboutsIn } from '../../../../agent/csi/whereabouts.ts';
import type { VolumeConfig } from '../../../../core/config.ts';
import { keysOf } from '../../../../core/keys.ts';
import { config, UID } from '../../../support/operator/builders.ts';
import { ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');
const attachedTo = (node: string): VolumeConfig => config({ attachment: { node, bootId: 'boot-1', epoch: 1 } });

describe('agent/csi: whereabouts', () => {
  let store: ScriptedStore;
  const whereabouts = () => whereaboutsIn(store, keys, 'node-a')(UID);
  beforeEach(() => {
    store = new ScriptedStore();
  });

  for (const [what, value, expected] of [
    ['is attached here', attachedTo('node-a'), 'here'],
    ['is attached elsewhere', attachedTo('node-b'), 'elsewhere'],
    ['is attached nowhere', config(), 'elsewhere'],
    ['cannot be read', 'no config', 'here'],
  ] as const)
    it(`of a volume that ${what}: ${expected}`, async () => {
      store.put(keys.volume(UID), value);
      expect(await whereabouts()).to.equal(expected);
    });

  it('of one that was deleted: elsewhere, whatever is there by its name', async () => {
    store.put(keys.deletedOf(UID), { generation: 1, traceId: 'f'.repeat(32) });
    expect(await whereabouts()).to.equal('elsewhere');
  });

  it('of one of which etcd says nothing: lost, it may be recovered', async () => {
    expect(await whereabouts()).to.equal('lost');
  });

  it('is not told while etcd does not answer', async () => {
    store.failingReads = 1;
    const answer = await whereabouts().then(
      (place) => place,
      () => 'rejected',
    );
    expect(answer).to.equal('rejected');
  });
});
