/** The real log: JSON lines by winston. */
import type { Log, LogLevel } from '../core/log.ts';

export type ProgramLog = Log & { setLevel(level: LogLevel): void };

/** `program`: holdfast-agent; `name`: node-a. Lines go to standard output. */
export function createLog(_program: string, _name: string, _level: LogLevel): ProgramLog {
  throw new Error('not written yet');
}
