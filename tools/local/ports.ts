/**
 * Free TCP ports of 127.0.0.1. Chosen outside of the range from which the kernel takes ports for outgoing connections: a port of ours must stay
 * ours while its process is down for a moment. Nothing keeps a port; whoever asks is to listen on it at once.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { LocalClusterError } from './errors.ts';

export const ADDRESS = '127.0.0.1';

const PORT_MIN = 16_384;
const PORT_MAX = 32_767;
const ATTEMPTS_MAX = 200;

type PortRange = { first: number; last: number };

export async function findFreePort(taken: ReadonlySet<number>): Promise<number> {
  const range = listenRange();
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const port = range.first + Math.floor(Math.random() * (range.last - range.first + 1));
    if (!taken.has(port) && (await isFree(port))) {
      return port;
    }
  }
  throw new LocalClusterError(`No free port of ${ADDRESS} was found between ${range.first} and ${range.last} in ${ATTEMPTS_MAX} attempts.`);
}

/** Ours is below the kernel's range; where that begins lower than usual, ours is whatever is left below it, or above it. */
export function listenRange(kernelRange = readKernelRange()): PortRange {
  if (kernelRange.first > PORT_MIN + 1000) {
    return { first: PORT_MIN, last: Math.min(PORT_MAX, kernelRange.first - 1) };
  }
  if (kernelRange.last < 64_500) {
    return { first: kernelRange.last + 1, last: 65_535 };
  }
  return { first: PORT_MIN, last: PORT_MAX };
}

function readKernelRange(): PortRange {
  const [first, last] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number);
  return { first: first ?? 32_768, last: last ?? 60_999 };
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, ADDRESS, () => server.close(() => resolve(true)));
  });
}
