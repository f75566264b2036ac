/** The CSI node: what it makes of a device, and what it must never do to one. */
import { expect } from 'chai';
import { nodeService } from '../../../../agent/csi/node.ts';
import { fileSystemOf, mountOptions } from '../../../../agent/csi/staging.ts';
import { CsiError } from '../../../../edge/csi/codes.ts';
import type {
  NodePublishVolumeRequest,
  NodeService,
  NodeStageVolumeRequest,
  VolumeCapability,
  VolumeCapabilityAccessModeMode,
} from '../../../../edge/csi/generated/csi.ts';
import { CALL, FakeNode, OTHER_UID, UID } from '../../../support/csi/fakeNode.ts';

const STAGING = '/staging';
const TARGET = '/pods/a';
const capability = (mode: VolumeCapabilityAccessModeMode = 'SINGLE_NODE_WRITER', fsType = ''): VolumeCapability =>
  ({ mount: { fsType, mountFlags: [], volumeMountGroup: '' }, block: null, accessMode: { mode } }) as unknown as VolumeCapability;
const raw = (mode: VolumeCapabilityAccessModeMode = 'SINGLE_NODE_WRITER'): VolumeCapability =>
  ({ block: {}, mount: null, accessMode: { mode } }) as unknown as VolumeCapability;

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error === null ? 'OK' : error instanceof CsiError ? error.code : String(error);
}

describe('agent/csi: the node', () => {
  let node: FakeNode;
  let service: NodeService<typeof CALL>;
  let changes: number;
  beforeEach(() => {
    node = new FakeNode();
    node.serve();
    changes = 0;
    service = nodeService(node.ports, () => changes++) as NodeService<typeof CALL>;
  });

  const stage = (change: Partial<NodeStageVolumeRequest> = {}) =>
    service.nodeStageVolume(
      {
        volumeId: 'pgdata',
        stagingTargetPath: STAGING,
        volumeCapability: capability(),
        volumeContext: {},
        ...change,
      } as NodeStageVolumeRequest,
      CALL,
    );
  const publish = (targetPath = TARGET, change: Partial<NodePublishVolumeRequest> = {}) =>
    service.nodePublishVolume(
      {
        volumeId: 'pgdata',
        targetPath,
        stagingTargetPath: STAGING,
        volumeCapability: capability(),
        readonly: false,
        ...change,
      } as NodePublishVolumeRequest,
      CALL,
    );
  const unstage = () => service.nodeUnstageVolume({ volumeId: 'pgdata', stagingTargetPath: STAGING }, CALL);
  const unpublish = (targetPath = TARGET) => service.nodeUnpublishVolume({ volumeId: 'pgdata', targetPath }, CALL);
  const stats = (volumePath: string) =>
    service.nodeGetVolumeStats({ volumeId: 'pgdata', volumePath, stagingTargetPath: '' } as never, CALL);

  describe('staging', () => {
    it('makes a file system once, on nothing', async () => {
      node.serve('pgdata', UID, 1024 ** 3);
      await stage({ volumeContext: { fsType: 'xfs', mkfsOptions: '-i  size=1024', mountOptions: 'noatime' } });
      await stage({ volumeContext: { fsType: 'xfs' } });
      expect(node.steps).to.deep.equal([
        'attach pgdata',
        'mark /dev/loop0 xfs',
        'format /dev/loop0 xfs -i size=1024',
        'unmark /dev/loop0 xfs',
        'mount /dev/loop0 /staging xfs noatime,nouuid',
      ]);
    });

    for (const found of ['xfs', 'dos', 'several signatures', 'data that is no file system', 'LVM2_member'])
      it(`never makes one over ${found}`, async () => {
        node.content.set('/dev/loop0', found);
        expect(await codeOf(stage())).to.equal('FailedPrecondition');
        expect(node.steps).to.deep.equal(['attach pgdata']);
        expect(node.mounted).to.deep.equal([]);
      });

    it('makes none where it cannot be seen what is there', async () => {
      node.mounts.probe = () => Promise.reject(new CsiError('Unavailable', 'blkid'));
      expect(await codeOf(stage())).to.equal('Unavailable');
      expect(node.steps).to.deep.equal(['attach pgdata']);
    });

    it('checks and grows what it finds, in this order', async () => {
      node.content.set('/dev/loop0', 'ext4');
      await stage();
      expect(node.steps).to.deep.equal([
        'attach pgdata',
        'check /dev/loop0 ext4',
        'mount /dev/loop0 /staging ext4 ',
        'grow /dev/loop0 /staging ext4',
      ]);
    });

    it('mounts nothing that its check refuses', async () => {
      node.content.set('/dev/loop0', 'ext4');
      node.mounts.check = () => Promise.reject(new CsiError('Internal', 'somebody has to look'));
      expect(await codeOf(stage())).to.equal('Internal');
      expect(node.mounted).to.deep.equal([]);
    });

    it('refuses what is not served here, after the time an agent needs', async () => {
      node.served.clear();
      expect(await codeOf(stage())).to.equal('FailedPrecondition');
      expect(node.steps).to.deep.equal([]);
      expect(node.slept).to.be.greaterThan(100);
    });

    it('refuses a path where something else is mounted', async () => {
      node.mounted.push({ path: STAGING, source: '/dev/sda', root: '/', options: ['rw'], device: '8:0' });
      expect(await codeOf(stage())).to.equal('AlreadyExists');
      expect(node.steps).to.deep.equal(['attach pgdata']);
    });

    it('lets a device grow that is smaller than its volume', async () => {
      await stage({ volumeCapability: raw() });
      node.serve('pgdata', UID, 8192);
      await stage({ volumeCapability: raw() });
      expect(node.steps).to.deep.equal(['attach pgdata', 'resize pgdata 8192']);
    });

    it('of a block volume for reading attaches a device that cannot be written, and mounts nothing', async () => {
      await stage({ volumeCapability: raw('SINGLE_NODE_READER_ONLY') });
      expect(node.steps).to.deep.equal(['attach pgdata ro']);
    });

    it('names all that is missing', async () => {
      const error = await stage({ volumeId: '', stagingTargetPath: '', volumeCapability: null }).catch((thrown: unknown) => thrown);
      expect((error as CsiError).message).to.equal(
        'volume_id: must be given; staging_target_path: must be given; volume_capability: must be given',
      );
    });

    it('knows its file systems and options', () => {
      expect(fileSystemOf(capability(), {})).to.equal('ext4');
      expect(fileSystemOf(capability('SINGLE_NODE_WRITER', 'xfs'), { fsType: 'ext4' }), 'the claim wins').to.equal('xfs');
      expect(() => fileSystemOf(capability('SINGLE_NODE_WRITER', 'btrfs'), {})).to.throw('must be ext4 or xfs');
      expect(mountOptions(capability('SINGLE_NODE_READER_ONLY'), 'xfs', { mountOptions: 'noatime,,noatime' })).to.deep.equal([
        'noatime',
        'nouuid',
        'ro',
      ]);
    });
  });

  describe('one operation at a time', () => {
    it('refuses a second one of the volume, lets others pass, and lets it come again', async () => {
      const { promise: gate, resolve: open } = Promise.withResolvers<void>();
      const attach = node.holder.attach;
      node.holder.attach = async (wish) => {
        await gate;
        return attach(wish);
      };
      const first = stage();
      expect(await codeOf(stage())).to.equal('Aborted');
      expect(await codeOf(unstage())).to.equal('Aborted');
      expect(await codeOf(service.nodeUnstageVolume({ volumeId: 'other', stagingTargetPath: '/other' }, CALL))).to.equal('OK');
      open();
      await first;
      expect(await codeOf(stage())).to.equal('OK');
      expect(changes, 'whoever watches devices is told').to.equal(3);
    });

    it('is over when it failed', async () => {
      node.holder.attach = () => Promise.reject(new CsiError('Unavailable', 'no holder'));
      expect(await codeOf(stage())).to.equal('Unavailable');
      expect(await codeOf(stage())).to.equal('Unavailable');
    });
  });

  describe('publishing', () => {
    beforeEach(() => stage());

    it('binds what is staged, once', async () => {
      await publish();
      await publish();
      expect(node.steps.filter((step) => step.startsWith('bind'))).to.deep.equal([`bind ${STAGING} ${TARGET}`]);
    });

    for (const [what, change] of [
      ['asked for', { readonly: true }],
      ['all that its mode allows', { volumeCapability: capability('SINGLE_NODE_READER_ONLY') }],
    ] as const)
      it(`is read-only where that is ${what}`, async () => {
        await publish(TARGET, change);
        expect(node.steps.at(-1)).to.equal(`bind ${STAGING} ${TARGET} ro`);
        expect(await codeOf(publish(TARGET, change))).to.equal('OK');
      });

    for (const [what, volumeCapability] of [
      ['a file system', capability()],
      ['a block device', raw()],
    ] as const)
      it(`makes ${what} read-only that a crash left writable before it was told as published`, async () => {
        await publish(TARGET, { volumeCapability });
        expect(await codeOf(publish(TARGET, { volumeCapability, readonly: true }))).to.equal('OK');
        expect(node.steps.at(-1)).to.equal(`protect ${TARGET}`);
        expect(await codeOf(publish(TARGET, { volumeCapability, readonly: true }))).to.equal('OK');
        expect(node.steps.filter((step) => step.startsWith('protect'))).to.have.length(1);
        expect(await codeOf(publish(TARGET, { volumeCapability })), 'for writing again').to.equal('AlreadyExists');
      });

    for (const [what, volumeCapability] of [
      ['a file system', capability()],
      ['a block device', raw()],
    ] as const)
      it(`of ${what} does not take what else is mounted there for the volume`, async () => {
        node.mounted.push({ path: TARGET, source: '/dev/sda', root: '/', options: ['rw'], device: '8:0' });
        for (const readonly of [false, true])
          expect(await codeOf(publish(TARGET, { volumeCapability, readonly }))).to.equal('AlreadyExists');
        expect(node.steps.filter((step) => /^(bind|protect)/.test(step))).to.deep.equal([]);
      });

    it('gives a ReadWriteOncePod volume to one pod, others to several', async () => {
      const single = { volumeCapability: capability('SINGLE_NODE_SINGLE_WRITER') };
      await publish(TARGET, single);
      expect(await codeOf(publish(TARGET, single)), 'the same again').to.equal('OK');
      expect(await codeOf(publish('/pods/b', single))).to.equal('FailedPrecondition');
      expect(await codeOf(publish('/pods/b', { volumeCapability: capability('SINGLE_NODE_MULTI_WRITER') }))).to.equal('OK');
      await unpublish('/pods/b');
      await unpublish();
      expect(await codeOf(publish('/pods/b', single)), 'after the first has left').to.equal('OK');
    });

    it('gives a ReadWriteOncePod block device to one pod', async () => {
      const single = { volumeCapability: raw('SINGLE_NODE_SINGLE_WRITER') };
      expect(await codeOf(publish(TARGET, single))).to.equal('OK');
      expect(await codeOf(publish('/pods/b', single))).to.equal('FailedPrecondition');
    });

    it('refuses what is not staged, has failed, or is not served at this moment', async () => {
      expect(await codeOf(publish(TARGET, { stagingTargetPath: '/elsewhere' }))).to.equal('FailedPrecondition');
      node.served.clear();
      expect(await codeOf(publish())).to.equal('Unavailable');
      node.serve('pgdata', OTHER_UID);
      expect(await codeOf(publish()), 'another volume of its name').to.equal('Unavailable');
      await node.holder.fail('pgdata');
      expect(await codeOf(publish())).to.equal('FailedPrecondition');
      expect(node.mounted.map(({ path }) => path)).to.deep.equal([STAGING]);
    });

    it('is taken back however often, and torn away where the device has failed', async () => {
      await publish();
      await unpublish();
      await unpublish();
      await publish();
      await node.holder.fail('pgdata');
      await unpublish();
      expect(node.steps.filter((step) => step.startsWith('unmount'))).to.deep.equal([`unmount ${TARGET}`, `unmount ${TARGET} lazy`]);
    });
  });

  describe('unstaging', () => {
    it('waits for what is unwritten: unmounts, then detaches, and does so once', async () => {
      await stage();
      await unstage();
      await unstage();
      expect(node.steps.slice(-2)).to.deep.equal([`unmount ${STAGING}`, 'detach pgdata']);
    });

    for (const [what, volumeCapability] of [
      ['file system', capability()],
      ['block device', raw()],
    ] as const)
      it(`keeps the device while a pod has its ${what}, and says where`, async () => {
        await stage({ volumeCapability });
        await publish(TARGET, { volumeCapability });
        expect(await codeOf(unstage())).to.equal('FailedPrecondition');
        await unstage().catch((error: unknown) => expect(String(error)).to.contain(TARGET));
        expect(node.steps.filter((step) => /^(unmount|detach)/.test(step))).to.deep.equal([]);
      });

    it('never fails a device whose volume shall be here, nor one of which etcd says nothing', async () => {
      await stage();
      node.served.clear();
      node.places.set(UID, 'here');
      expect(await codeOf(unstage())).to.equal('Unavailable');
      node.places.set(UID, 'lost');
      expect(await codeOf(unstage()), 'it may be recovered').to.equal('Unavailable');
      node.places.delete(UID);
      expect(await codeOf(unstage())).to.equal('Error: etcd is silent');
      expect(node.steps.filter((step) => /^(fail|unmount|detach)/.test(step))).to.deep.equal([]);
      node.serve();
      expect(await codeOf(unstage())).to.equal('OK');
    });

    for (const [what, prepare] of [
      ['the volume is elsewhere', () => node.served.clear()],
      ['another volume has its name by now', () => node.serve('pgdata', OTHER_UID)],
    ] as const)
      it(`fails the device before anything waits for it, where ${what}`, async () => {
        await stage();
        await publish();
        prepare();
        node.places.set(UID, 'elsewhere');
        await unstage();
        expect(node.steps.slice(-4)).to.deep.equal(['fail pgdata', `unmount ${STAGING} lazy`, `unmount ${TARGET} lazy`, 'detach pgdata']);
      });
  });

  describe('statistics and growing', () => {
    beforeEach(async () => {
      await stage();
      await publish();
    });

    it('tell how full it is and that it is well', async () => {
      const { usage, volumeCondition } = await stats(TARGET);
      expect(usage).to.deep.equal([
        { unit: 'BYTES', total: 10, available: 6, used: 4 },
        { unit: 'INODES', total: 5, available: 3, used: 2 },
      ]);
      expect(volumeCondition).to.include({ abnormal: false });
    });

    it('never ask a file system that may hang', async () => {
      node.mounts.usage = () => Promise.reject(new Error('asked'));
      node.served.clear();
      expect((await stats(TARGET)).volumeCondition).to.include({ abnormal: true });
    });

    it('do not tell of the machine where the volume is not mounted', async () => {
      node.kinds.set('/pods/b', 'directory');
      node.kinds.set('/pods/c', 'file');
      for (const path of ['/pods/b', '/pods/c', '/nowhere']) expect(await codeOf(stats(path))).to.equal('NotFound');
      expect(await codeOf(service.nodeExpandVolume({ volumeId: 'pgdata', volumePath: '/pods/b' } as never, CALL))).to.equal('NotFound');
    });

    it('grow the device, then the file system, when the volume has grown', async () => {
      const grow = () =>
        service.nodeExpandVolume(
          { volumeId: 'pgdata', volumePath: TARGET, capacityRange: { requiredBytes: 8192, limitBytes: 0 } } as never,
          CALL,
        );
      expect(await codeOf(grow())).to.equal('Unavailable');
      node.serve('pgdata', UID, 8192);
      expect(await grow()).to.deep.equal({ capacityBytes: 8192 });
      expect(node.steps.slice(-2)).to.deep.equal(['resize pgdata 8192', `grow /dev/loop0 ${TARGET} ext4`]);
    });
  });
});
