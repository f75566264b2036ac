/** The kernel's nbd devices as sysfs shows them, and the one knob that netlink has not. Must never touch a device that is not ours. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { OperatingError } from '../../../core/errors.ts';
import { outcome } from '../../edge/commands.ts';

export const SYSFS = '/sys/block';
const NAME = /^nbd(\d+)$/;
const WRITE_MS_MAX = 30_000;

const textOf = (device: string, file: string): string => {
  try {
    return readFileSync(path.join(SYSFS, device, file), 'utf8').trim();
  } catch {
    return ''; // it has none: it is nobody's
  }
};

/** Where `stat` counts what was answered of each kind. */
const STAT = { read: 0, write: 4, trim: 11 } as const;

const numbersOf = (device: string, file: string): number[] => textOf(device, file).split(/\s+/).filter(Boolean).map(Number);

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

/** Requests that were sent and are not answered, and how many have been answered so far. */
export type Traffic = { reads: Flow; writes: Flow };
type Flow = { unanswered: number; answered: number };

/** As <Documentation/block/stat.rst> counts them; null: it is no device. */
export function trafficOf(index: number): Traffic | null {
  const [reads, writes] = numbersOf(`nbd${index}`, 'inflight');
  const stat = numbersOf(`nbd${index}`, 'stat');
  if (reads === undefined || writes === undefined) return null;
  const { [STAT.read]: read = 0, [STAT.write]: written = 0, [STAT.trim]: trimmed = 0 } = stat;
  return { reads: { unanswered: reads, answered: read }, writes: { unanswered: writes, answered: written + trimmed } };
}

/**
 * How long a request waits before the kernel looks whether it was sent over a connection that is no more, and if so sends it again. It is not a limit: a request over
 * a connection that lives goes on waiting. From 6.11 on the kernel holds the device up for it until nothing is in flight, so it is another program that waits there,
 * never this one, which may have to connect the device anew before that can be.
 */
export async function setLookAgain(index: number, afterMs: number): Promise<void> {
  const file = path.join(SYSFS, `nbd${index}`, 'queue/io_timeout');
  const { code, trouble } = await outcome('dd', [`of=${file}`, 'conv=notrunc', 'status=none'], WRITE_MS_MAX, Buffer.from(`${afterMs}`));
  if (code !== 0) throw new OperatingError('Unavailable', `write ${file}`, trouble.trim());
}
