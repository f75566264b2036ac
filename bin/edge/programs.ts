/** Other programs, run in this one's place: they have its input and output, and how they end is how it ends. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { CommandError, EXIT } from '../errors.ts';

const CHECKOUT = path.resolve(import.meta.dirname, '..', '..');
/** Endpoints may be IP addresses, which the gRPC library names in the handshake. */
const NODE_OPTIONS = ['--disable-warning=DEP0123'];

/** `node`: this very Node, with a program of this checkout. `environment`: beyond this program's own. Resolves with the exit code. */
export function programDone(program: 'node' | 'kubectl', words: readonly string[], environment: Record<string, string>): Promise<number> {
  const [file, all] = program === 'node' ? [process.execPath, [...NODE_OPTIONS, ...words]] : [program, words];
  return new Promise((resolve, reject) => {
    const child = spawn(file, all, {
      ...(program === 'node' ? { cwd: CHECKOUT } : {}),
      env: { NAME: 'recover', ...process.env, ...environment },
      stdio: 'inherit',
    });
    child.on('error', (error) => reject(new CommandError(`${file} cannot be run: ${error.message}`)));
    child.on('close', (code) => resolve(code ?? EXIT.failed));
  });
}
