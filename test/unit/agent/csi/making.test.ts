/** A file system that was begun: made again for as long as nobody can have mounted it, and never over anything else. */
import { expect } from 'chai';
import { BEGINNING_BYTES, MARK_BYTES, MARK_PLACE, markOf, mayHaveBeenMounted } from '../../../../agent/csi/mark.ts';
import { nodeService } from '../../../../agent/csi/node.ts';
import { CsiError } from '../../../../edge/csi/codes.ts';
import type { NodeService, NodeStageVolumeRequest, VolumeCapability } from '../../../../edge/csi/generated/csi.ts';
import { CALL, FakeNode, OTHER_UID, UID } from '../../../support/csi/fakeNode.ts';

const STAGING = '/staging';
const capability = { mount: { fsType: '', mountFlags: [] }, block: null, accessMode: { mode: 'SINGLE_NODE_WRITER' } };
const raw = (mode = 'SINGLE_NODE_WRITER') => ({ block: {}, mount: null, accessMode: { mode } }) as unknown as VolumeCapability;
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'OK',
    (error: unknown) => (error instanceof CsiError ? error.code : String(error)),
  );

describe('agent/csi: making file systems', () => {
  let node: FakeNode;
  let service: NodeService<typeof CALL>;
  beforeEach(() => {
    node = new FakeNode();
    node.serve('pgdata', UID, 1024 ** 3);
    service = nodeService(node.ports, () => undefined) as NodeService<typeof CALL>;
  });

  const stage = (change: Partial<NodeStageVolumeRequest> = {}) =>
    service.nodeStageVolume(
      {
        volumeId: 'pgdata',
        stagingTargetPath: STAGING,
        volumeCapability: capability,
        volumeContext: {},
        ...change,
      } as unknown as NodeStageVolumeRequest,
      CALL,
    );
  const unstage = () => service.nodeUnstageVolume({ volumeId: 'pgdata', stagingTargetPath: STAGING }, CALL);

  for (const left of [undefined, 'ext4', 'several signatures', 'data that is no file system'])
    it(`makes again what was begun and never mounted, over ${left ?? 'nothing'}`, async () => {
      if (left !== undefined) node.content.set('/dev/loop0', left);
      node.marks.set('/dev/loop0', `${UID} ext4`);
      await stage();
      const made = ['format again /dev/loop0 ext4', 'unmark /dev/loop0 ext4', 'mount /dev/loop0 /staging ext4 '];
      expect(node.steps).to.deep.equal(['attach pgdata', ...made]);
    });

  for (const [whose, mark, found] of [
    ['of another volume', `${OTHER_UID} ext4`, 'data that is no file system'],
    ['of another type', `${UID} xfs`, 'data that is no file system'],
    ['beside what no mkfs of it leaves', `${UID} ext4`, 'dos'],
    ['beside another file system', `${UID} ext4`, 'xfs'],
  ] as const)
    it(`makes nothing again for a mark ${whose}`, async () => {
      node.content.set('/dev/loop0', found);
      node.marks.set('/dev/loop0', mark);
      expect(await codeOf(stage())).to.equal('FailedPrecondition');
      expect(node.steps).to.deep.equal(['attach pgdata']);
    });

  it('takes the mark away and nothing else where somebody may have mounted what is there', async () => {
    node.content.set('/dev/loop0', 'ext4');
    node.marks.set('/dev/loop0', `${UID} ext4`);
    node.wasMounted = true;
    await stage();
    expect(node.steps.slice(1, 4)).to.deep.equal(['unmark /dev/loop0 ext4', 'check /dev/loop0 ext4', 'mount /dev/loop0 /staging ext4 ']);
  });

  it('leaves the mark where mkfs fails, or was told to write over it', async () => {
    const { format } = node.mounts;
    node.mounts.format = () => Promise.reject(new CsiError('Unavailable', 'mkfs'));
    expect(await codeOf(stage())).to.equal('Unavailable');
    expect([...node.marks.values()]).to.deep.equal([`${UID} ext4`]);
    node.mounts.format = async (...words) => {
      await format(...words);
      node.marks.clear();
    };
    await stage();
    expect(node.steps.slice(1)).to.deep.equal(['mark /dev/loop0 ext4', 'format again /dev/loop0 ext4', 'mount /dev/loop0 /staging ext4 ']);
  });

  it('gives nobody a mount behind which a mark was written', async () => {
    const { mount } = node.mounts;
    node.mounts.mount = async (device, ...words) => {
      await mount(device, ...words);
      node.marks.set(device, `${UID} ext4`);
    };
    expect(await codeOf(stage())).to.equal('Aborted');
    expect(node.mounted).to.deep.equal([]);
  });

  it('takes the mark away before somebody has the whole device, and not where he may only read', async () => {
    node.marks.set('/dev/loop0', `${UID} xfs`);
    await stage({ volumeCapability: raw('SINGLE_NODE_READER_ONLY') });
    expect(node.steps).to.deep.equal(['attach pgdata ro']);
    await unstage();
    node.marks.set('/dev/loop1', `${UID} xfs`);
    await stage({ volumeCapability: raw() });
    expect(node.steps.slice(2)).to.deep.equal(['attach pgdata', 'unmark /dev/loop1 xfs']);
  });

  it('begins without a mark where there is no room for one: mkfs says what it thinks of that', async () => {
    node.serve();
    await stage({ volumeContext: { fsType: 'xfs' } });
    expect(node.steps.slice(1, 2)).to.deep.equal(['format /dev/loop0 xfs']);
  });

  it('the mark is one sector that names volume and type', () => {
    const mark = markOf(UID, 'xfs');
    expect([mark.length, MARK_PLACE.ext4 % MARK_BYTES, MARK_PLACE.xfs % MARK_BYTES]).to.deep.equal([512, 0, 0]);
    expect(mark.equals(markOf(OTHER_UID, 'xfs')) || mark.equals(markOf(UID, 'ext4'))).to.equal(false);
  });

  it('an ext4 may have been mounted when it counts that, an XFS when its mkfs was through', () => {
    const device = (at: number, value: number): Buffer => {
      const beginning = Buffer.alloc(BEGINNING_BYTES);
      beginning[at] = value;
      return beginning;
    };
    expect(mayHaveBeenMounted(device(0, 0), 'ext4')).to.equal(false);
    expect(mayHaveBeenMounted(device(1024 + 0x2f, 1), 'ext4')).to.equal(true);
    expect(mayHaveBeenMounted(device(1024 + 0x35, 1), 'ext4')).to.equal(true);
    expect(mayHaveBeenMounted(device(126, 1), 'xfs')).to.equal(false);
    expect(mayHaveBeenMounted(device(126, 0), 'xfs')).to.equal(true);
  });
});
