/**
 * The mark of a file system that was begun: durable on the volume before mkfs writes anything, durably gone before the first mount. So for as long as it is there nothing but mkfs has ever
 * written, and mkfs may do so again, over whatever a killed one left. It lies with the data, not in etcd, which may be restored as it was before the first mount. It
 * lies where mkfs of its type writes nothing, and where growing does not move it. It names the volume: a copy that was taken in the middle is no leave to make anything anew.
 * Pure.
 */
import type { VolumeUid } from '../../core/ids.ts';
import type { FileSystem } from './ports.ts';

/** One sector, so it is there or not, never half. */
export const MARK_BYTES = 512;
const MIB = 1024 * 1024;

/**
 * ext4: the first flexible group's inode tables, which only the kernel writes (programs.ts), or where the blocks are of 1 KiB, the end of the third group; below lie the
 * descriptors of up to 16 TiB, the journal in the middle of the volume. XFS: free space of its first allocation group, which is at least 16 MiB; what mkfs writes there lies in its first
 * MiB, and the log in the middle of the volume. Where people's mkfs options put something there, a kill in the middle leaves what is refused, as it does on a
 * volume without room for the mark.
 */
export const MARK_PLACE: Record<FileSystem, number> = { ext4: 23.5 * MIB, xfs: 12 * MIB };

export const hasPlace = (sizeBytes: number, type: FileSystem): boolean => sizeBytes >= MARK_PLACE[type] + MARK_BYTES;

export function markOf(uid: VolumeUid, type: FileSystem): Buffer {
  const mark = Buffer.alloc(MARK_BYTES);
  mark.write(`Holdfast: mkfs.${type} of the volume ${uid} was begun, and nothing was mounted since.\n`);
  return mark;
}

/** How much of a device's beginning `mayHaveBeenMounted` looks at. */
export const BEGINNING_BYTES = 4096;
const EXT4_MOUNTED_AT = 1024 + 0x2c;
const EXT4_MOUNTS_COUNT = 1024 + 0x34;
const XFS_IN_PROGRESS = 126;

/**
 * Of a device on which a file system of that type was found: an ext4 counts when it was mounted to be written; mkfs.xfs writes last that it is no longer at it, and before that
 * no kernel mounts it. So a mark never outweighs data, also where an agent that knows no marks was here in between.
 */
export const mayHaveBeenMounted = (beginning: Buffer, type: FileSystem): boolean =>
  type === 'ext4'
    ? beginning.readUInt32LE(EXT4_MOUNTED_AT) !== 0 || beginning.readUInt16LE(EXT4_MOUNTS_COUNT) !== 0
    : beginning[XFS_IN_PROGRESS] === 0;

export const noMark = (): Buffer => Buffer.alloc(MARK_BYTES);
