/** Names and paths of a local cluster, and the small decisions around them. */
import { expect } from 'chai';
import { parseMountTable } from '../../../../agent/edge/mountTable.ts';
import { isOlder } from '../../../../tools/local/build.ts';
import { LocalClusterError } from '../../../../tools/local/errors.ts';
import { checkSocketPaths, nodeNames, operatorNames } from '../../../../tools/local/layout.ts';
import { listenRange } from '../../../../tools/local/ports.ts';
import { cacheDirectory } from '../../../../tools/local/programs.ts';
import { formatDuration } from '../../../../tools/local/progress.ts';
import { findMounts } from '../../../../tools/local/stop.ts';

describe('local cluster: names, paths and ports', () => {
  it('names nodes by letters and operators by numbers', () => {
    expect(nodeNames(3)).to.deep.equal(['node-a', 'node-b', 'node-c']);
    expect(nodeNames(26).at(-1)).to.equal('node-z');
    expect(operatorNames(2)).to.deep.equal(['operator-0', 'operator-1']);
  });

  it('accepts the longest path whose sockets the kernel takes, and refuses the next with what to do', () => {
    const socket = '/agent/node-a/run/pvc-00000000-0000-0000-0000-000000000000.sock';
    const longest = `/${'x'.repeat(107 - socket.length - 1)}`;
    expect(() => checkSocketPaths(longest, ['node-a'])).not.to.throw();
    expect(() => checkSocketPaths(`${longest}x`, ['node-a'])).to.throw(
      LocalClusterError,
      /is 1 bytes too long .* use a checkout with a shorter path/,
    );
    expect(() => checkSocketPaths(`${longest}x`, [])).not.to.throw();
  });

  const ranges: [string, { first: number; last: number }, { first: number; last: number }][] = [
    ['usual', { first: 32_768, last: 60_999 }, { first: 16_384, last: 32_767 }],
    ['begins low', { first: 20_000, last: 60_999 }, { first: 16_384, last: 19_999 }],
    ['begins very low', { first: 1024, last: 60_999 }, { first: 61_000, last: 65_535 }],
    ['takes all', { first: 1024, last: 65_535 }, { first: 16_384, last: 32_767 }],
  ];
  for (const [what, kernel, ours] of ranges) {
    it(`listens outside of the kernel's range for outgoing connections where that can be: ${what}`, () => {
      expect(listenRange(kernel)).to.deep.equal(ours);
    });
  }

  it('finds mounts below a directory, not the directory beside it', () => {
    const mountinfo = [
      '22 1 254:0 / / rw - ext4 /dev/vda rw',
      '30 22 0:40 / /c/.local/agent/node-a/my\\040mount rw - fuse x rw',
      '31 22 0:41 / /c/.local2/other rw - fuse x rw',
      '',
    ].join('\n');
    expect(findMounts('/c/.local', parseMountTable(mountinfo))).to.deep.equal(['/c/.local/agent/node-a/my mount']);
  });

  it('keeps programs where the user wants caches', () => {
    expect(cacheDirectory({ HOLDFAST_CACHE: '/h', XDG_CACHE_HOME: '/x' })).to.equal('/h');
    expect(cacheDirectory({ HOLDFAST_CACHE: '', XDG_CACHE_HOME: '/x' })).to.equal('/x/holdfast');
    expect(cacheDirectory({})).to.match(/\/\.cache\/holdfast$/);
  });

  const versions: [string, string, boolean][] = [
    ['1.26.0', '1.26.0', false],
    ['1.26.8', '1.26.0', false],
    ['1.25.9', '1.26.0', true],
    ['1.9', '1.26.0', true],
    ['2.0', '1.26.0', false],
    ['1.26', '1.26.1', true],
    ['', '1.26.0', true],
  ];
  for (const [version, than, older] of versions) {
    it(`takes Go ${version || 'without a version'} for ${older ? 'older' : 'not older'} than ${than}`, () => {
      expect(isOlder(version, than)).to.equal(older);
    });
  }

  it('shows durations that a person can compare', () => {
    expect([420, 4_120, 59_940, 61_000, 600_400].map(formatDuration)).to.deep.equal(['0.4 s', '4.1 s', '59.9 s', '1m01s', '10m00s']);
  });
});
