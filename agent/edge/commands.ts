/** Running the machine's own programs: bounded in time and output, and what they said in the error when they fail. Must never run a shell. */
import { execFile } from 'node:child_process';
import { OperatingError } from '../../core/errors.ts';

const OUTPUT_BYTES_MAX = 1024 * 1024;
const COMMAND_MS_MAX = 30_000;
const SHOWN_LENGTH_MAX = 500;

export type Result = { code: number; output: string; trouble: string };

type Bytes = { code: number; output: Buffer; trouble: Buffer };

type Limits = { forMs: number; outputBytesMax: number };

function ended(program: string, words: readonly string[], { forMs, outputBytesMax }: Limits, input?: Buffer): Promise<Bytes> {
  const options = { timeout: forMs, killSignal: 'SIGKILL', maxBuffer: outputBytesMax, encoding: 'buffer' } as const;
  return new Promise((resolve, reject) => {
    const child = execFile(program, words, options, (error, output, trouble) => {
      const attempted = [program, ...words].join(' ');
      if (error === null) resolve({ code: 0, output, trouble });
      else if (typeof error.code === 'number') resolve({ code: error.code, output, trouble });
      else if (error.killed) reject(new OperatingError('Timeout', attempted, `it did not end within ${forMs / 1_000} s`));
      else reject(new OperatingError('Unavailable', attempted, `it cannot be run: ${error.message}`, { cause: error }));
    });
    if (input === undefined) return;
    // One that ends without reading it says why by its code.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** What a program said, whatever it ended with. Rejects when it cannot be started, or does not end in time. */
export async function outcome(program: string, words: readonly string[], forMs = COMMAND_MS_MAX, input?: Buffer): Promise<Result> {
  const { code, output, trouble } = await ended(program, words, { forMs, outputBytesMax: OUTPUT_BYTES_MAX }, input);
  return { code, output: output.toString(), trouble: trouble.toString() };
}

const failure = (program: string, words: readonly string[], code: number, said: string): OperatingError =>
  new OperatingError('Unavailable', [program, ...words].join(' '), `it ended with ${code}: ${said.slice(0, SHOWN_LENGTH_MAX)}`);

/**
 * The `index`-th piece of that length of a device or file, or what there is of it: read by another process, which may hang where no thread of this one may.
 */
export async function pieceOf(path: string, lengthBytes: number, index = 0): Promise<Buffer> {
  const words = [`if=${path}`, `bs=${lengthBytes}`, 'count=1', `skip=${index}`, 'iflag=fullblock', 'status=none'];
  const { code, output, trouble } = await ended('dd', words, { forMs: COMMAND_MS_MAX, outputBytesMax: lengthBytes });
  if (code === 0) return output;
  throw failure('dd', words, code, trouble.toString().trim());
}

/** Its output, trimmed. Rejects unless it ended with 0. */
export async function run(program: string, words: readonly string[], forMs = COMMAND_MS_MAX): Promise<string> {
  const { code, output, trouble } = await outcome(program, words, forMs);
  if (code === 0) return output.trim();
  throw failure(program, words, code, trouble.trim() || output.trim());
}
