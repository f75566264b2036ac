/** Devices left behind: only what etcd says is elsewhere fails. */
import { expect } from 'chai';
import { Abandoned } from '../../../../agent/csi/abandoned.ts';
import type { Device } from '../../../../agent/csi/ports.ts';
import { silentLog } from '../../../../core/log.ts';
import { FakeNode, OTHER_UID, UID } from '../../../support/csi/fakeNode.ts';

describe('agent/csi: abandoned devices', () => {
  let node: FakeNode;
  let abandoned: Abandoned;
  const device = (name: string, uid = UID): Device => ({ name, uid, device: `/dev/${name}`, sizeBytes: 1, readonly: false, failed: false });
  const failed = () => node.steps.filter((step) => step.startsWith('fail'));
  beforeEach(() => {
    node = new FakeNode();
    node.devices.set('pgdata', device('pgdata'));
    abandoned = new Abandoned(node.ports, silentLog);
  });

  for (const place of ['here', 'lost'] as const)
    it(`go on when etcd says ${place}, though nobody serves them`, async () => {
      node.places.set(UID, place);
      await abandoned.look();
      expect(failed()).to.deep.equal([]);
    });

  it('go on while etcd is silent', async () => {
    await abandoned.look().catch(() => undefined);
    expect(failed()).to.deep.equal([]);
  });

  it('go on while the volume is served here, whatever etcd says', async () => {
    node.serve();
    node.places.set(UID, 'elsewhere');
    await abandoned.look();
    expect(failed()).to.deep.equal([]);
  });

  it('fail when the volume is elsewhere, once', async () => {
    node.places.set(UID, 'elsewhere');
    await abandoned.look();
    await abandoned.look();
    expect(failed()).to.deep.equal(['fail pgdata']);
  });

  it('fail when another volume of the name has its socket here', async () => {
    node.serve('pgdata', OTHER_UID);
    await abandoned.look();
    expect(failed()).to.deep.equal(['fail pgdata']);
  });

  it('one that is gone by now does not keep others from failing', async () => {
    node.devices.set('second', device('second', OTHER_UID));
    node.places.set(UID, 'here').set(OTHER_UID, 'here');
    await abandoned.look();
    // Gone without a word.
    node.devices.delete('pgdata');
    node.places.set(UID, 'elsewhere').set(OTHER_UID, 'elsewhere');
    await abandoned.look().catch(() => undefined);
    await abandoned.look();
    expect(failed()).to.deep.equal(['fail second']);
  });

  it('one that was attached while the holder was being asked is not overlooked', async () => {
    const all = node.holder.all;
    node.holder.all = async () => {
      const before = await all();
      node.devices.set('late', device('late', OTHER_UID));
      abandoned.changed();
      return before;
    };
    node.places.set(UID, 'here');
    node.places.set(OTHER_UID, 'elsewhere');
    await abandoned.look();
    node.holder.all = all;
    await abandoned.look();
    expect(failed()).to.deep.equal(['fail late']);
  });
});
