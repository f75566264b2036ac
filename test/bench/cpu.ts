/** Processor time of processes with all their threads, those that have ended included, and memory that is theirs, as the kernel counts them. */
import { readFileSync } from 'node:fs';

/** USER_HZ: fixed by the kernel's interface on all machines that we know. */
const TICKS_PER_SECOND = 100;
const MICROSECONDS_PER_TICK = 1_000_000 / TICKS_PER_SECOND;
/** Fields of /proc/pid/stat behind the name, which may hold anything. */
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;

export function cpuMicroseconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS]);
  }
  return ticks * MICROSECONDS_PER_TICK;
}

export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}
