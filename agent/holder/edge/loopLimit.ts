/** How much of its file a loop device shows, changed while it is in use: an ioctl that no program of the machine makes. */
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { OperatingError } from '../../../core/errors.ts';

const LOOP_SET_STATUS64 = 0x4c04;
const LOOP_GET_STATUS64 = 0x4c05;
/** struct loop_info64, and where lo_sizelimit lies in it. */
const INFO_BYTES = 232;
const SIZE_LIMIT_AT = 32;
/** Older kernels refuse while pages of the device are dirty. */
const EAGAIN = 11;
const ATTEMPTS_MAX = 50;
const PAUSE_MS = 100;

export async function setLoopLimit(device: string, sizeBytes: number): Promise<void> {
  const { default: koffi } = await import('koffi');
  const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, uintptr_t argument)');
  const info = Buffer.alloc(INFO_BYTES);
  const descriptor = openSync(device, 'r+');
  const attempted = `let ${device} show ${sizeBytes} bytes`;
  try {
    const at = koffi.address(info);
    if (ioctl(descriptor, LOOP_GET_STATUS64, at) !== 0) throw new OperatingError('Unavailable', attempted, `errno ${koffi.errno()}`);
    info.writeBigUInt64LE(BigInt(sizeBytes), SIZE_LIMIT_AT);
    for (let attempt = 1; ; attempt++) {
      if (ioctl(descriptor, LOOP_SET_STATUS64, at) === 0) return;
      const code = koffi.errno();
      if (code !== EAGAIN || attempt >= ATTEMPTS_MAX) throw new OperatingError('Unavailable', attempted, `errno ${code}`);
      await sleep(PAUSE_MS);
    }
  } finally {
    closeSync(descriptor);
  }
}
