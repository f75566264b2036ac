/** The kernel's nbd devices as sysfs shows them, and the one knob that netlink has not. Must never touch a device that is not ours. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const SYSFS = '/sys/block';
const NAME = /^nbd(\d+)$/;

const textOf = (device: string, file: string): string => {
  try {
    return readFileSync(path.join(SYSFS, device, file), 'utf8').trim();
  } catch {
    return ''; // it has none: it is nobody's
  }
};

export const nbdDevice = (index: number): string => `/dev/nbd${index}`;

/** Null: another kind of device. */
export function nbdIndex(device: string): number | null {
  const [, digits] = NAME.exec(path.basename(device)) ?? [];
  return digits === undefined ? null : Number(digits);
}

/** Whose it is; '': nobody's, or another program's. */
export const backendOf = (index: number): string => textOf(`nbd${index}`, 'backend');

/** It still asks its server: what was disconnected has no process any more. */
export const isConnected = (index: number): boolean => Number(textOf(`nbd${index}`, 'pid')) > 0;

export const nbdIndexes = (): number[] =>
  readdirSync(SYSFS)
    .map((name) => nbdIndex(name))
    .filter((index) => index !== null);

/**
 * How long a request waits before the kernel looks whether it was sent over a connection that is no more, and if so sends it again. It is not a limit: a request over
 * a connection that lives goes on waiting.
 */
export function setLookAgain(index: number, afterMs: number): void {
  writeFileSync(path.join(SYSFS, `nbd${index}`, 'queue/io_timeout'), `${afterMs}`);
}
