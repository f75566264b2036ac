/** The kernel's mount table, as it writes it. */
import { expect } from 'chai';
import { deviceNumbers, parseMountTable } from '../../../../agent/edge/mountTable.ts';

const ROWS = [
  '24 27 0:6 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw,size=12334492k,mode=755',
  '71 46 7:0 / /staging rw,nosuid,noatime - ext4 /dev/loop0 rw',
  '72 46 7:0 /sub\\040dir /pods/with\\040space\\134and\\011more ro,nosuid shared:3 master:1 propagate_from:2 - ext4 /dev/loop0 rw',
  '73 46 0:6 /loop0 /pods/block rw,relatime - devtmpfs devtmpfs rw',
  '75 46 0:39 /x//deleted /pods/gone ro - tmpfs tmpfs rw',
];

describe('agent/edge: the mount table', () => {
  it('is read row by row, with any number of optional fields', () => {
    expect(parseMountTable(`${ROWS.join('\n')}\n`)).to.deep.equal([
      { path: '/dev', root: '/', source: 'devtmpfs', options: ['rw', 'relatime'], device: '0:6', type: 'devtmpfs' },
      { path: '/staging', root: '/', source: '/dev/loop0', options: ['rw', 'nosuid', 'noatime'], device: '7:0', type: 'ext4' },
      {
        path: '/pods/with space\\and\tmore',
        root: '/sub dir',
        source: '/dev/loop0',
        options: ['ro', 'nosuid'],
        device: '7:0',
        type: 'ext4',
      },
      { path: '/pods/block', root: '/loop0', source: 'devtmpfs', options: ['rw', 'relatime'], device: '0:6', type: 'devtmpfs' },
      { path: '/pods/gone', root: '/x//deleted', source: 'tmpfs', options: ['ro'], device: '0:39', type: 'tmpfs' },
    ]);
    expect(parseMountTable('')).to.deep.equal([]);
  });

  for (const [major, minor, rdev] of [
    [7, 0, 0x700],
    [7, 255, 0x7ff],
    [7, 256, 0x100700],
    [259, 1_048_575, 0xfff103ff],
    [43, 1_056, 0x402b20],
  ] as const)
    it(`has the numbers ${major}:${minor} of a device`, () => {
      expect(deviceNumbers(rdev)).to.equal(`${major}:${minor}`);
    });
});
