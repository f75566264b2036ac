/**
 * Takes the demo's mounts, loop devices and files away when the demo is gone without having done so: killed, crashed, out of memory. The cluster in
 * there has a guard of its own, which is waited for. Must never touch anything outside of the demo's directory.
 */
import { spawn } from 'node:child_process';

/** What stays behind after this is for people to look at. */
const CLUSTER_GONE_SECONDS = 100;

/**
 * It reads from a pipe that only we hold; the kernel closes it when we are gone, in whatever way. File systems first, then the loop devices below them,
 * then the FUSE files below those; lazily, for whoever served them may be dead.
 */
const SCRIPT = `
[ "$(cat)" = dismissed ] && exit
mounts() { awk -v under="$1/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r; }
mounts "$1" | grep -e '-mount$' | xargs -r -n 1 umount --lazy
losetup --list --noheadings --output NAME,BACK-FILE | awk -v under="$1/" 'index($2, under) == 1 { print $1 }' | xargs -r -n 1 losetup --detach
mounts "$1" | xargs -r -n 1 umount --lazy
find "$1" -mindepth 1 -maxdepth 1 ! -name cluster -exec rm -rf --one-file-system {} +
for second in $(seq "$2"); do rmdir "$1" && exit; sleep 1; done
`;

export type Guard = { dismiss(): void };

export function guardDirectory(directory: string): Guard {
  const guard = spawn('sh', ['-c', SCRIPT, 'holdfast-demo-guard', directory, String(CLUSTER_GONE_SECONDS)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  guard.stdin.on('error', () => undefined); // it is gone already
  const { stdin } = guard;
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref(); // else the pipe alone would keep the demo alive
  return { dismiss: () => stdin.end('dismissed') };
}
