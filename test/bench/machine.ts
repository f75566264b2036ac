/** What was measured on: versions, machine and commit, as they are found. A program that is not there is `null`. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import process from 'node:process';

/** The first line that a program says of itself. */
export function versionOf(program: string, ...words: string[]): string | null {
  try {
    const output = execFileSync(program, words.length > 0 ? words : ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return output.split('\n')[0]?.trim() ?? null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export function commit(): string {
  const head = versionOf('git', 'rev-parse', '--short', 'HEAD') ?? 'unknown';
  const isClean = execFileSync('git', ['status', '--porcelain', '--', 'agent', 'core', 'edge'], { encoding: 'utf8' }) === '';
  return isClean ? head : `${head} with uncommitted changes`;
}

export function machine(directory: string): string {
  const cpus = os.cpus();
  const memory = `${Math.round(os.totalmem() / 2 ** 30)} GiB of memory`;
  const fileSystem = execFileSync('stat', ['--file-system', '--format=%T', directory], { encoding: 'utf8' }).trim();
  return `${cpus.length} x ${cpus[0]?.model ?? 'unknown'}, ${memory}, Linux ${os.release()}, ${fileSystem}, Node ${process.version}`;
}

/** How many threads wanted to run in the last minute before: a machine that is not quiet flatters nobody evenly. */
export const load = (): string => readFileSync('/proc/loadavg', 'utf8').split(' ')[0] ?? '';
