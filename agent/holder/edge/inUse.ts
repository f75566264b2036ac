/** Whether somebody has a device mounted. */
import { closeSync, constants, openSync } from 'node:fs';

/** In whatever namespace: the kernel then gives it to nobody else for himself alone. */
export function isInUse(device: string): boolean {
  try {
    closeSync(openSync(device, constants.O_RDONLY | constants.O_EXCL));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBUSY';
  }
}
