/** What a full disk says of itself. Must never be asked on a path that is in a hurry: it asks the file system. */
import { IoError } from '../../ports.ts';
import { type Disk, DiskError } from './disk.ts';
import { formatBytes } from './units.ts';

/** An error for want of space also says how much is left: it is the first thing that anybody asks. Other errors stay as they are. */
export function withSpaceLeft(disk: Disk, path: string, error: IoError): IoError {
  if (error.code !== 'noSpace') return error;
  return new IoError('noSpace', `${error.message}; ${spaceLeft(disk, path)}`, { cause: error.cause });
}

function spaceLeft(disk: Disk, path: string): string {
  try {
    const { capacityBytes, usedBytes } = disk.space(path);
    return `${formatBytes(capacityBytes - usedBytes)} of ${formatBytes(capacityBytes)} are free`;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    return `how much is free cannot be told: ${error.message}`;
  }
}
