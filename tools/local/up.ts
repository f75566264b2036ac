/**
 * `make up`: starts the local cluster of this checkout, or what is missing of it, waits until it is ready and leaves it running.
 * Interrupted, it ends what it had started itself, and nothing else.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Cluster, type ClusterOptions, startCluster } from './cluster.ts';
import { LocalClusterError } from './errors.ts';
import { LOCAL_DIRECTORY, NAMESPACE, NODES_MAX, OPERATORS_MAX, SERVICE_ACCOUNT } from './layout.ts';
import type { LocalProcess } from './processes.ts';
import { formatDuration, printer, printFailure } from './progress.ts';
import { stopCluster, stopLocked } from './stop.ts';

const NODES_DEFAULT = 3;
const OPERATORS_DEFAULT = 2;
const EXIT_FAILED = 1;
const EXIT_INTERRUPTED = 130;

function readCount(name: string, fallback: number, max: number): number {
  const text = process.env[name] || String(fallback); // make hands on what was not given as the empty string
  if (!/^\d{1,3}$/.test(text) || Number(text) > max) {
    throw new LocalClusterError(`${name}=${text} is not a whole number from 0 to ${max}.`);
  }
  return Number(text);
}

async function up(): Promise<void> {
  const startMs = performance.now();
  const asked = {
    nodes: readCount('NODES', NODES_DEFAULT, NODES_MAX),
    operators: readCount('OPERATORS', OPERATORS_DEFAULT, OPERATORS_MAX),
  };
  const isNew = !existsSync(LOCAL_DIRECTORY);
  const started: LocalProcess[] = [];
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => interruption.abort(signal));
  }
  try {
    const cluster = await interruptible(interruption.signal, startCluster(options(asked, started, interruption.signal)));
    tellReady(cluster, started, { ...asked, elapsedMs: performance.now() - startMs });
  } catch (error) {
    if (interruption.signal.aborted) {
      await cleanUp(isNew, started);
      process.exit(EXIT_INTERRUPTED);
    }
    if (started.length > 0) {
      process.stderr.write('What was started is left as it is, to be looked at: make up tries again, make down stops and removes it.\n\n');
    } else if (isNew) {
      await stopCluster(LOCAL_DIRECTORY);
    }
    throw error;
  }
}

function options(asked: { nodes: number; operators: number }, started: LocalProcess[], signal: AbortSignal): ClusterOptions {
  const level = process.env.LOG_LEVEL;
  const environment: Record<string, string> = level ? { LOG_LEVEL: level } : {};
  return {
    ...asked,
    directory: LOCAL_DIRECTORY,
    hasEtcdAccounts: true,
    nodeOptions: () => ({ environment }),
    operatorEnvironment: environment,
    onProgress: printer(process.stderr),
    signal,
    onStarted: (one) => started.push(one),
    keepRunning: true,
  };
}

/** What is interrupted is not waited for: a build may take minutes. It ends with this program. */
async function interruptible<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new LocalClusterError('interrupted')), { once: true });
  });
  return await Promise.race([work, interrupted]);
}

function tellReady(cluster: Cluster, started: LocalProcess[], asked: { nodes: number; operators: number; elapsedMs: number }): void {
  const lines = [started.length === 0 ? 'Everything was running already.' : `Ready in ${formatDuration(asked.elapsedMs)}.`];
  const wasFewer = (name: string, asked: number, running: number): boolean => Boolean(process.env[name]) && asked < running;
  if (wasFewer('NODES', asked.nodes, cluster.nodes.length) || wasFewer('OPERATORS', asked.operators, cluster.operators.length)) {
    lines.push(
      `${cluster.nodes.length} nodes and ${cluster.operators.length} operators run: make up takes none away, make down takes all.`,
    );
  }
  lines.push(
    'Next:',
    `  export KUBECONFIG=${path.relative(process.cwd(), cluster.kubeconfig)}`,
    '  kubectl get hn,hv',
    ...restLines(cluster),
    'make down stops all of it and leaves nothing.',
  );
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** How to ask the REST API, ready to be pasted. */
function restLines(cluster: Cluster): string[] {
  const [operator] = cluster.operators;
  if (operator === undefined) return [];
  const authority = path.relative(process.cwd(), cluster.administrator.ca);
  return [
    `  TOKEN=$(kubectl create token ${SERVICE_ACCOUNT} -n ${NAMESPACE})`,
    `  curl --cacert ${authority} -H "Authorization: Bearer $TOKEN" ${cluster.apiUrl(operator)}/v1/volumes`,
  ];
}

async function cleanUp(isNew: boolean, started: LocalProcess[]): Promise<void> {
  process.stderr.write('\nInterrupted: stopping what was started...\n');
  for (const one of started.reverse()) {
    await one.stop();
  }
  if (isNew) {
    await stopLocked(LOCAL_DIRECTORY); // the interrupted start holds the lock until this program ends
  }
}

try {
  await up();
} catch (error) {
  printFailure(error);
  process.exitCode = EXIT_FAILED;
}
