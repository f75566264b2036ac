/** What an agent makes of bells, which any agent may ring: it looks, and concludes nothing. */
import { expect } from 'chai';
import { withInSync } from '../../../../core/config.ts';
import { volumeUid } from '../../../../core/ids.ts';
import { configWith, INSTANCE, UID } from '../../../support/configs.ts';
import { keys, NODE, VolumesBench } from '../../../support/volumesBench.ts';

const HERE = configWith();

describe('the volumes of a node, and bells', () => {
  it('a bell has the config of a volume read that has a pointer: once for each that tells of something later, true or not', async () => {
    const node = new VolumesBench();
    const leaders = { ...HERE, primary: { node: 'node-b', instance: INSTANCE, mode: 'serve' as const } };
    node.write(leaders);
    await node.run();
    const reads = () => node.store.reads.filter((key) => key === keys.volume(UID)).length;
    const made = withInSync(leaders, 0, leaders.shards[0]?.inSync.slice(1) ?? []);
    node.store.put(keys.primary('node-b', UID), { base: leaders.version, config: made });
    await node.run();
    expect(node.toReplicas).to.deep.equal([leaders]);
    node.store.put(keys.bell(NODE, UID), String(made.version));
    await node.run();
    expect(node.toReplicas).to.deep.equal([leaders, made]);
    const before = reads();
    for (let time = 0; time < 3; time++) {
      node.store.put(keys.bell(NODE, UID), '999');
      node.store.touchViews();
      await node.run();
    }
    node.store.put(keys.bell(NODE, UID), 'nonsense');
    node.store.put(keys.bell(NODE, UID), String(made.version));
    node.store.put(keys.bell(NODE, volumeUid('99999999-2222-3333-4444-555555555555')), '9');
    await node.run();
    expect(reads() - before).to.equal(1);
    expect(node.store.reads.filter((key) => key.endsWith('999999999999'))).to.deep.equal([]);
    node.store.delete(keys.bell(NODE, UID));
    node.write({ ...made, version: made.version + 1 });
    await node.run();
    expect(node.toReplicas.length, 'without a bell, by the pointer').to.equal(3);
  });
});
