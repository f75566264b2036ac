/**
 * kubectl against a local cluster, and the kubeconfig files for it. What is applied, and when, is decided by the caller.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { TlsFiles } from '../../edge/tls.ts';
import { LocalClusterError } from './errors.ts';
import { writeWhole } from './files.ts';

const TIMEOUT_MS = 60_000;
const SECRET = 0o600;

export type Kubectl = (words: string[], input?: string) => Promise<string>;

/** Runs kubectl, gives what it printed; what it complained of is in the error. */
export function kubectlFor(program: string, kubeconfig: string): Kubectl {
  return async (words, input = '') => {
    const child = spawn(program, ['--kubeconfig', kubeconfig, ...words], { stdio: 'pipe', timeout: TIMEOUT_MS });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    child.stdin.on('error', () => undefined); // it may end without having read all; its exit code says whether that was right
    child.stdin.end(input);
    const [code, output, complaints] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    if (code !== 0) {
      throw new LocalClusterError(
        `kubectl ${words.join(' ')} failed${code === null ? ` (no end within ${TIMEOUT_MS / 1000} s)` : ''}: ${complaints.trim()}`,
      );
    }
    return output;
  };
}

/** Holds all it needs in itself, so that it may be copied anywhere. */
export function writeKubeconfig(file: string, server: string, user: string, credentials: TlsFiles): void {
  const base64 = (path: string): string => readFileSync(path).toString('base64');
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'holdfast-local', cluster: { server, 'certificate-authority-data': base64(credentials.ca) } }],
    users: [{ name: user, user: { 'client-certificate-data': base64(credentials.cert), 'client-key-data': base64(credentials.key) } }],
    contexts: [{ name: 'holdfast-local', context: { cluster: 'holdfast-local', user } }],
    'current-context': 'holdfast-local',
  };
  writeWhole(file, `${JSON.stringify(kubeconfig, null, 2)}\n`, SECRET);
}
