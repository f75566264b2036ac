/** Volumes that cannot be: refused with a sentence, or Pending with a reason for every node, until one fits. */
import { expect } from 'chai';
import type { VolumeSpec } from '../../operator/generated/volume.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { FAILOVER_BOUND_MS, HEALTHY_BOUND_MS, qemuIo, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';

const NODES = ['node-a', 'node-b', 'node-c'];
/** More than any of this machine's pools may promise. */
const TOO_LARGE = '16Ti';

describe('end to end: volumes that cannot be placed', function () {
  this.timeout(60_000);
  let world: World;
  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3, (node) => (node === 'node-d' ? { labels: { disk: 'nvme' } } : {}));
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  const pending = async (size: string, replicas: number, spec: Partial<VolumeSpec> = {}): Promise<DemoVolume> => {
    const volume = world.newVolume();
    await volume.create(size, replicas, spec);
    await volume.until(
      'Pending',
      HEALTHY_BOUND_MS,
      ({ phase, unschedulable }) => phase === 'Pending' && unschedulable?.length === NODES.length,
    );
    return volume;
  };
  /** As a person reads it: one node, one reason. */
  const reasons = async (volume: DemoVolume): Promise<string> => {
    const yaml = await world.cluster.kubectl(['get', 'hv', volume.name, '-o', 'yaml']);
    return yaml.slice(yaml.indexOf('  unschedulable:'));
  };

  it('a rule that is broken is told in its sentence, and nothing is made', async () => {
    const refused = await world
      .newVolume()
      .create('0', 3)
      .then(() => 'it was taken', String);
    expect(refused).to.include('must be more than 0 (is 0)');
    expect(await world.cluster.kubectl(['get', 'hv', '-o', 'name'])).to.equal('');
  });

  it('one that is larger than every node says what each has free, and nothing of it is left when it is deleted', async () => {
    const volume = await pending(TOO_LARGE, 3);
    const told = await reasons(volume);
    for (const node of NODES) {
      expect(told).to.match(new RegExp(`- node: ${node}\\n\\s+reason: \\S+ free after reserve, 16Ti needed`));
    }
    await world.deleteLast(volume);
  });

  it('those that want one node more, or a label that no node has, go on untouched when such a node appears', async () => {
    const wide = await pending('64Mi', 4, { attachTo: 'node-b' });
    const choosy = await pending('64Mi', 1, { placement: { nodeSelector: { disk: 'nvme' }, poolTags: [], zones: 'Prefer' } });
    const toldWide = await reasons(wide);
    const toldChoosy = await reasons(choosy);
    for (const node of NODES) {
      expect(toldWide).to.match(new RegExp(`- node: ${node}\\n\\s+reason: \\S`));
      expect(toldChoosy).to.match(new RegExp(`- node: ${node}\\n\\s+reason: excluded by placement.nodeSelector disk=nvme`));
    }
    await world.cluster.grow(4, 2);
    const socket = await wide.untilServedBy('node-b', FAILOVER_BOUND_MS);
    await wide.untilHealthy(4, HEALTHY_BOUND_MS);
    await qemuIo(socket, 'write -P 0x21 0 1M', 'flush', 'read -P 0x21 0 1M');
    const { replicas, unschedulable } = await choosy.untilHealthy(1, HEALTHY_BOUND_MS);
    expect(replicas?.map(({ node }) => node)).to.deep.equal(['node-d']);
    expect(unschedulable, 'it is told no longer').to.equal(undefined);
    await choosy.delete();
    await world.deleteLast(wide);
  });
});
