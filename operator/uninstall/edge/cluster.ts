/** What uninstalling asks of the API server. Must never change an object: it only asks for the end of some. */
import { systemClock } from '../../../core/clock.ts';
import { KubeConnection, type KubeMethod } from '../../../edge/kube/connection.ts';
import { sleep } from '../../../edge/timers.ts';
import type { KubeItem, UninstallPorts } from '../stop.ts';

const CALL_MS_MAX = 10_000;
const NOT_FOUND = 404;

export function uninstallPorts(kubeconfig: string): UninstallPorts & { close(): Promise<void> } {
  const connection = new KubeConnection(kubeconfig);
  const call = async <Answer>(method: KubeMethod, path: string, body?: unknown): Promise<Answer | null> => {
    const response = await connection.send(method, path, body, AbortSignal.timeout(CALL_MS_MAX));
    const text = await response.body.text();
    if (response.httpStatusCode === NOT_FOUND) return null;
    if (response.httpStatusCode >= 300)
      throw new Error(`${method} ${path}: the API server answered ${response.httpStatusCode}: ${text.slice(0, 300)}`);
    return JSON.parse(text) as Answer;
  };
  return {
    list: async (path) => (await call<{ items: KubeItem[] }>('GET', path))?.items ?? [],
    get: (path) => call<KubeItem>('GET', path),
    remove: async (path) => void (await call('DELETE', path, { propagationPolicy: 'Background' })),
    monotonicMs: () => systemClock.monotonicMs(),
    sleep,
    say: (sentence) => void process.stdout.write(`${sentence}\n`),
    close: () => connection.close(),
  };
}
