/** Runs one program to its end, and makes an error of its failure that says what it said last. Knows nothing of images. */
import { spawn } from 'node:child_process';

const KEPT_BYTES = 4_096;

export type CommandOptions = { cwd?: string; env?: NodeJS.ProcessEnv };

/** Gives what it wrote to standard output. */
export async function command(program: string, words: readonly string[], options: CommandOptions = {}): Promise<string> {
  const child = spawn(program, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let trouble = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    trouble = (trouble + text).slice(-KEPT_BYTES);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${[program, ...words].join(' ')}: exit code ${code}\n${output.slice(-KEPT_BYTES)}${trouble}`);
  return output;
}
