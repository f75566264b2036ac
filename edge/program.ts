/** What every program does around its own work: start or say why not, stop when asked, end when something impossible happened. */
import type { Environment } from '../core/parameters.ts';
import type { ProgramLog } from './log.ts';

export type Program = {
  name: string;
  environment: Environment;
  /** At level info until `setLevel`. */
  log: ProgramLog;
  /** A fault that the program cannot go on with: written to the log, then exit with 1. */
  fail(error: unknown): void;
};

export type Running = {
  /** Called once, at SIGTERM or SIGINT. The program ends when it is done, or after a bound. */
  stop(): Promise<void>;
};

/** `start` throws ConfigurationError for a bad configuration: all problems are printed, exit with 2. */
export async function runProgram(_name: string, _start: (program: Program) => Promise<Running>): Promise<void> {
  throw new Error('not written yet');
}
