/** Runs the ordinary programs that the demo needs (mkfs, mount, ...). A program that fails is an error with what it said. */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { text } from 'node:stream/consumers';
import { LocalClusterError } from '../local/errors.ts';

const TIMEOUT_MS = 30_000;

export async function run(program: string, ...words: string[]): Promise<string> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [code, output, complaints] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  if (code !== 0) throw new LocalClusterError(`${program} ${words.join(' ')} failed: ${(complaints || output).trim()}`);
  return output.trim();
}

/** For cleaning up: whether it worked is no news. */
export function tryRun(program: string, ...words: string[]): boolean {
  return spawnSync(program, words, { stdio: 'ignore', timeout: TIMEOUT_MS }).status === 0;
}

export const isInstalled = (program: string): boolean => spawnSync('which', [program], { stdio: 'ignore' }).status === 0;

export function isUsable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
