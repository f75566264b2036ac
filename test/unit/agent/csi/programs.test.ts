/** What the machine's own programs are asked, and what is made of their answers: whatever is not known is never taken for an empty device or a sound file system. */
import { expect } from 'chai';
import {
  checkCommand,
  growCommand,
  isSound,
  mkfsCommand,
  mountCommand,
  type Probed,
  probeCommand,
  probed,
} from '../../../../agent/csi/programs.ts';

const DEVICE = '/dev/loop7';

describe('agent/csi: programs', () => {
  it('mkfs is never forced, and people’s options come after ours', () => {
    expect(mkfsCommand(DEVICE, 'ext4', ['-m', '1'])).to.deep.equal([
      'mkfs.ext4',
      '-q',
      '-m',
      '0',
      '-E',
      'nodiscard,lazy_itable_init=1',
      '-m',
      '1',
      DEVICE,
    ]);
    expect(mkfsCommand(DEVICE, 'xfs', [])).to.deep.equal(['mkfs.xfs', '-q', '-K', DEVICE]);
    for (const type of ['ext4', 'xfs'] as const)
      expect(mkfsCommand(DEVICE, type, []).filter((word) => /^-.*[fF]$/.test(word))).to.deep.equal([]);
  });

  it('mkfs may write over what an attempt before it left, and nothing else is forced', () => {
    expect(mkfsCommand(DEVICE, 'xfs', ['-m', 'crc=1'], true)).to.deep.equal(['mkfs.xfs', '-f', '-q', '-K', '-m', 'crc=1', DEVICE]);
    expect(mkfsCommand(DEVICE, 'ext4', [], true)).to.deep.equal(mkfsCommand(DEVICE, 'ext4', []));
  });

  it('mkfs.ext4 is given one -E, people’s behind ours', () => {
    const words = mkfsCommand(DEVICE, 'ext4', ['-E', 'stride=16', '-L', 'data', '-Estripe_width=32']);
    expect(words.slice(4)).to.deep.equal(['-E', 'nodiscard,lazy_itable_init=1,stride=16,stripe_width=32', '-L', 'data', DEVICE]);
  });

  it('mount says the type, and options only where there are any', () => {
    expect(mountCommand(DEVICE, '/staging', 'ext4', [])).to.deep.equal(['mount', '-t', 'ext4', DEVICE, '/staging']);
    expect(mountCommand(DEVICE, '/staging', 'xfs', ['noatime', 'nouuid'])).to.deep.equal([
      'mount',
      '-t',
      'xfs',
      '-o',
      'noatime,nouuid',
      DEVICE,
      '/staging',
    ]);
  });

  it('ext4 grows by its device, XFS by its path, others not', () => {
    expect(growCommand(DEVICE, '/staging', 'ext4')).to.deep.equal(['resize2fs', DEVICE]);
    expect(growCommand(DEVICE, '/staging', 'xfs')).to.deep.equal(['xfs_growfs', '/staging']);
    for (const type of ['', 'tmpfs', 'ext3']) expect(growCommand(DEVICE, '/staging', type)).to.equal(null);
  });

  it('only ext4 is checked before it is mounted', () => {
    expect(checkCommand(DEVICE, 'ext4')).to.deep.equal(['e2fsck', '-p', DEVICE]);
    expect(checkCommand(DEVICE, 'xfs')).to.equal(null);
    expect([0, 1, 2, 3].map(isSound)).to.deep.equal([true, true, true, true]);
    // 4: something is left; 8: it could not work; 12: both; 16: wrong words; 32: somebody ended it; 128: it was killed.
    expect([4, 5, 8, 12, 16, 32, 128, 137, -1].map(isSound)).to.deep.equal(Array(9).fill(false));
  });

  const answers: [what: string, code: number, output: string, expected: Probed][] = [
    ['nothing', 2, '', 'nothing'],
    ['ext4', 0, 'DEVNAME=/dev/loop7\nTYPE=ext4\n', { found: 'ext4' }],
    ['a partition table', 0, 'DEVNAME=/dev/loop7\nPTTYPE=gpt\n', { found: 'gpt' }],
    ['a file system and a partition table', 0, 'PTTYPE=dos\nTYPE=xfs\n', { found: 'xfs' }],
    ['a member of something', 0, 'TYPE=LVM2_member\n', { found: 'LVM2_member' }],
    ['several', 8, '', { found: 'several signatures' }],
    ['several, and one of them named', 8, 'TYPE=ext4\n', { found: 'several signatures' }],
    ['something without a name', 0, 'DEVNAME=/dev/loop7\n', 'failed'],
    ['an empty name', 0, 'TYPE=\n', 'failed'],
    ['wrong words', 4, '', 'failed'],
    ['an end by a signal', 137, '', 'failed'],
    ['a type in other words', 2, 'SUBTYPE=ext4\n', 'nothing'],
    ['what it said before it failed', 1, 'TYPE=ext4\n', 'failed'],
  ];
  for (const [what, code, output, expected] of answers)
    it(`blkid that says ${what}: ${JSON.stringify(expected)}`, () => {
      expect(probed(code, output)).to.deep.equal(expected);
    });

  it('blkid looks at the device itself, not at what it remembers', () => {
    expect(probeCommand(DEVICE)).to.include.members(['--probe', DEVICE]);
  });
});
