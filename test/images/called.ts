/** What agent and holder call of the image, each asked for its version: it is there, is found, and so are its libraries. Held to the agent's sources by a unit test. */
export const CALLED: readonly (readonly [program: string, ...words: string[]])[] = [
  ['mkfs.ext4', '-V'],
  ['mkfs.xfs', '-V'],
  ['e2fsck', '-V'],
  ['resize2fs', '-h'],
  ['xfs_growfs', '-V'],
  ['mount', '--version'],
  ['umount', '--version'],
  ['losetup', '--version'],
  ['blkid', '--version'],
  ['flock', '--version'],
  ['dd', '--version'],
  ['modprobe', '--version'],
  ['nbdkit', '--version'],
  ['nbdkit', '--filter=retry', 'nbd', '--version'],
  ['nbdfuse', '--version'],
  ['fusermount3', '--version'],
];
