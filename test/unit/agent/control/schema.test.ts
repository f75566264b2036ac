/** What an agent does while etcd is of a schema that it does not know, volume by volume. */
import { expect } from 'chai';
import { configWith } from '../../../support/configs.ts';
import { VolumesBench } from '../../../support/volumesBench.ts';

const HERE = configWith();

describe('the volumes of a node, and the schema of etcd', () => {
  it('starts no primary while etcd is of a schema that is not known here; one that runs goes on', async () => {
    const node = new VolumesBench();
    node.schema.problem = 'etcd is of schema 9';
    node.write(HERE);
    await node.run(10_000);
    expect(node.primaries).to.deep.equal([]);
    expect(node.toReplicas, 'what its replicas promise is promised').to.deep.equal([HERE]);
    node.schema.problem = null;
    node.write({ ...HERE, version: HERE.version + 1 });
    await node.run(3_000);
    expect(node.primaries.length).to.equal(1);
    node.schema.problem = 'etcd is of schema 9';
    node.write({ ...HERE, version: HERE.version + 2 });
    await node.run(10_000);
    expect([node.volumes.primaries, node.ends]).to.deep.equal([1, []]);
  });
});
