/** Running the machine's own programs: bounded in time and output, and what they said in the error when they fail. Must never run a shell. */
import { execFile } from 'node:child_process';
import { OperatingError } from '../../core/errors.ts';

const OUTPUT_BYTES_MAX = 1024 * 1024;
const COMMAND_MS_MAX = 30_000;
const SHOWN_LENGTH_MAX = 500;

export type Result = { code: number; output: string; trouble: string };

/** What a program said, whatever it ended with. Rejects when it cannot be started, or does not end in time. */
export function outcome(program: string, words: readonly string[], forMs = COMMAND_MS_MAX): Promise<Result> {
  return new Promise((resolve, reject) => {
    execFile(program, words, { timeout: forMs, killSignal: 'SIGKILL', maxBuffer: OUTPUT_BYTES_MAX }, (error, output, trouble) => {
      const attempted = [program, ...words].join(' ');
      if (error === null) resolve({ code: 0, output, trouble });
      else if (typeof error.code === 'number') resolve({ code: error.code, output, trouble });
      else if (error.killed) reject(new OperatingError('Timeout', attempted, `it did not end within ${forMs / 1_000} s`));
      else reject(new OperatingError('Unavailable', attempted, `it cannot be run: ${error.message}`, { cause: error }));
    });
  });
}

/** Its output, trimmed. Rejects unless it ended with 0. */
export async function run(program: string, words: readonly string[], forMs = COMMAND_MS_MAX): Promise<string> {
  const { code, output, trouble } = await outcome(program, words, forMs);
  if (code === 0) return output.trim();
  const said = (trouble.trim() || output.trim()).slice(0, SHOWN_LENGTH_MAX);
  throw new OperatingError('Unavailable', [program, ...words].join(' '), `it ended with ${code}: ${said}`);
}
