/** What the programs that carry a FUSE device are asked, and what is made of what they and the kernel say. Pure. */
import { growingExportOf } from '../nbd/negotiate.ts';
import type { Wish } from './ports.ts';

/** For ever: nothing ends the waiting but the volume's return, or `fail`. */
const RETRIES = 2_000_000_000;
const RETRY_DELAY_SECONDS = 1;

/** It connects to the volume, by its uid, and again and again; `between` is where nbdfuse finds it. */
export const nbdkitWords = ({ uid, socket, readonly }: Wish, between: string): string[] => [
  '--foreground',
  '--unix',
  between,
  ...(readonly ? ['--readonly'] : []),
  '--filter=retry',
  'nbd',
  `socket=${socket}`,
  `export=${growingExportOf(uid)}`,
  `retries=${RETRIES}`,
  `retry-delay=${RETRY_DELAY_SECONDS}`,
  'retry-exponential=no',
];

export const nbdfuseWords = ({ readonly }: Wish, file: string, between: string): string[] => [
  ...(readonly ? ['--readonly'] : []),
  file,
  '--unix',
  between,
];

/** The file is as large as any volume may be: the limit is the volume's size. */
export const losetupWords = ({ sizeBytes, readonly }: Wish, file: string): string[] => [
  '--find',
  '--show',
  ...(readonly ? ['--read-only'] : []),
  '--direct-io=on',
  '--sizelimit',
  String(sizeBytes),
  file,
];

/** `/proc/PID/stat` of a process that has ended and whose parent has not looked yet. In its name, in parentheses, there may be anything. */
export const isZombie = (stat: string): boolean => stat.startsWith(' Z', stat.lastIndexOf(')') + 1);
