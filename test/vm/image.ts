/** The emulated machine's file system, in memory: busybox, Node, this checkout's programs and the tools for disks. Holds nothing of this machine's own. */
import { execFileSync } from 'node:child_process';
import { closeSync, cpSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { findProgram, librariesOf, type Parts } from './parts.ts';

/** Tools that a node has. */
const PROGRAMS = [
  'mkfs.ext4',
  'resize2fs',
  'e2fsck',
  'mkfs.xfs',
  'xfs_growfs',
  'xfs_repair',
  'mount',
  'umount',
  'blockdev',
  'blkid',
  'fstrim',
  'flock',
  'dd',
];
const MODULES = ['lib/libcrc32c.ko', 'fs/xfs/xfs.ko', 'drivers/block/nbd.ko'];
const ROOMS = ['core', 'edge', 'agent', 'test/vm', 'package.json'];
/** Of which what is run there is made; with all that they need. */
const PACKAGES = ['express', 'koffi', '@koromix/koffi-linux-x64', 'winston', 'prom-client', '@grpc/grpc-js', '@grpc/proto-loader'];

/** nbd is left to the holder: it asks for it by name, as on a real node. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /tmp /run /mnt
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
ip link set lo up
insmod /lib/modules/libcrc32c.ko && insmod /lib/modules/xfs.ko
cd /app
PATH=/usr/sbin:/sbin:/bin:/usr/bin node test/vm/guest.ts
echo "guest ended with $?"
reboot -f
`;
/** As far as the holder needs it. */
const MODPROBE = `#!/bin/busybox sh
name=$1; shift
exec /bin/busybox insmod /lib/modules/$name.ko "$@"
`;

/** `sanity`: the standard tests of CSI drivers, which need no libraries. */
export function buildImage(parts: Parts, sanity: string, directory: string): string {
  const tree = path.join(directory, 'tree');
  mkdirSync(tree, { recursive: true });
  const place = (source: string, at: string): void => cpSync(source, path.join(tree, at), { recursive: true, dereference: true });
  place(parts.busybox, 'bin/busybox');
  mkdirSync(path.join(tree, 'lib/modules'), { recursive: true });
  for (const module of MODULES) writeFileSync(path.join(tree, 'lib/modules', path.basename(module)), moduleOf(parts, module));
  place(process.execPath, 'usr/bin/node');
  place(sanity, 'usr/bin/csi-sanity');
  const programs = PROGRAMS.map(findProgram);
  for (const program of programs) place(program, path.join('usr/sbin', path.basename(program)));
  for (const library of new Set([process.execPath, ...programs].flatMap(librariesOf))) place(library, library);
  for (const room of ROOMS) place(path.join(CHECKOUT, room), path.join('app', room));
  for (const name of closure(PACKAGES)) place(path.join(CHECKOUT, 'node_modules', name), path.join('app/node_modules', name));
  writeFileSync(path.join(tree, 'init'), INIT, { mode: 0o755 });
  mkdirSync(path.join(tree, 'sbin'), { recursive: true });
  writeFileSync(path.join(tree, 'sbin/modprobe'), MODPROBE, { mode: 0o755 });
  if (!existsSync(path.join(tree, 'etc'))) mkdirSync(path.join(tree, 'etc'));
  symlinkSync('/proc/self/mounts', path.join(tree, 'etc/mtab'));
  return pack(parts, tree, path.join(directory, 'image.cpio'));
}

/** Newer kernels' packages hold them compressed, which busybox cannot load. */
function moduleOf({ modules }: Parts, name: string): Buffer {
  const file = path.join(modules, name);
  return existsSync(file)
    ? readFileSync(file)
    : execFileSync('xz', ['--decompress', '--stdout', `${file}.xz`], { maxBuffer: 64 * 1024 ** 2 });
}

function pack({ busybox }: Parts, tree: string, image: string): string {
  const names = execFileSync('find', ['.', '-mindepth', '1'], { cwd: tree, maxBuffer: 64 * 1024 ** 2 });
  const output = openSync(image, 'w');
  try {
    execFileSync(busybox, ['cpio', '-o', '-H', 'newc'], { cwd: tree, input: names, stdio: ['pipe', output, 'ignore'] });
  } finally {
    closeSync(output);
  }
  rmSync(tree, { recursive: true });
  return image;
}

/** The packages with all that they ask for. */
function closure(names: readonly string[]): Set<string> {
  const found = new Set<string>();
  const wanted = [...names];
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    const description = path.join(CHECKOUT, 'node_modules', name, 'package.json');
    if (found.has(name) || !existsSync(description)) continue;
    found.add(name);
    wanted.push(...Object.keys((JSON.parse(readFileSync(description, 'utf8')) as { dependencies?: object }).dependencies ?? {}));
  }
  return found;
}
