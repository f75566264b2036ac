/**
 * How much a unix socket takes before whoever sends has to wait. Linux gives it 208 KiB: a reply of a MiB goes out in six pieces, and between two of them both
 * sides sleep and are woken (measured, 1 MiB read from the page cache: 394 µs of processor time with 208 KiB, 214 with 1 MiB, 175 with 4). TCP sees to its own.
 *
 * One call of the C library that Node has not. Must never hold anybody up, nor fail anything: a socket that cannot be widened is used as it is.
 */
import type { Socket } from 'node:net';

/** The kernel counts its own bookkeeping as well, and doubles what it is told for it. */
const SEND_BUFFER_BYTES = 2 * 1024 * 1024;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
/** Beyond `net.core.wmem_max`, which is 208 KiB on most machines: for CAP_NET_ADMIN. */
const SO_SNDBUFFORCE = 32;
const INT_BYTES = 4;

type Widen = (descriptor: number) => void;
type WithDescriptor = { _handle: { fd?: number } | null };

let loading: Promise<Widen | null> | null = null;

/** Of a connected socket, soon; the library is loaded for the first one, for the reason that localReads.ts gives. */
export async function widenSendBuffer(socket: Socket): Promise<void> {
  loading ??= load();
  const widen = await loading;
  // Closed meanwhile: its descriptor may be another's by now, and is no longer told.
  const descriptor = (socket as unknown as WithDescriptor)._handle?.fd ?? -1;
  if (descriptor >= 0) widen?.(descriptor);
}

async function load(): Promise<Widen | null> {
  try {
    const koffi = (await import('koffi')).default;
    const setsockopt = koffi.load(null).func('int setsockopt(int fd, int level, int name, uintptr_t value, unsigned int length)');
    const value = new Int32Array(1);
    const address = koffi.address(value);
    const set = (descriptor: number, name: number): boolean => {
      // Each time: so the memory behind the address stays ours.
      value[0] = SEND_BUFFER_BYTES;
      return setsockopt(descriptor, SOL_SOCKET, name, address, INT_BYTES) === 0;
    };
    return (descriptor) => {
      if (!set(descriptor, SO_SNDBUFFORCE)) set(descriptor, SO_SNDBUF);
    };
  } catch {
    return null;
  }
}
