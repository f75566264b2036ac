/**
 * `kubectl holdfast recover`: has the operator's own program rebuild a lost etcd. It needs what only an operator has (certificates for etcd and the agents, and a way to
 * reach both), so it runs in an operator's pod, through `kubectl exec`; operators run on without etcd. Must never decide anything itself: see operator/recover.
 */
import type { Surroundings } from './commands.ts';
import { programDone } from './edge/programs.ts';
import { CommandError } from './errors.ts';
import type { Kube } from './kube.ts';

export type RecoverOptions = { yes?: boolean; amend?: boolean; without: string[]; acceptLoss: string[]; here?: boolean };
/** Given for every command. */
export type Access = { kubeconfig?: string; context?: string; namespace: string; output: 'text' | 'json' };

const OPERATOR_PODS = 'app.kubernetes.io/name=holdfast,app.kubernetes.io/component=operator';
const PROGRAM = 'operator/recover/main.ts';

export const RECOVER_HELP = `
When: volumes are Failed with ConfigLost, because etcd lost its data, answers empty, or is an old backup. Nothing was deleted and nothing is placed anew until then;
volumes that were being served are served on. First bring up an etcd that takes writes, and the agents; then look at the plan, then write it with --yes.

Where it runs: in a pod of the operator (kubectl exec, so you need the right to create pods/exec in its namespace). With --here on this machine, which must then
reach etcd and the agents, with the operator's environment: ETCD_ENDPOINTS, HOLDFAST_CLUSTER, TLS_CA, TLS_CERT, TLS_KEY (files of an operator's certificate).

Exit codes: 0 all is rebuilt or sound; 1 something is refused, missing, or would be written; 2 the command or the configuration is not understood.`;

const wordsOf = ({ yes, amend, without, acceptLoss }: RecoverOptions, output: string): string[] => [
  ...(yes ? ['--yes'] : []),
  ...(amend ? ['--amend'] : []),
  ...without.flatMap((node) => ['--without', node]),
  ...acceptLoss.flatMap((volume) => ['--accept-loss', volume]),
  ...(output === 'json' ? ['--output', 'json'] : []),
];

type Pod = { metadata: { name: string; deletionTimestamp?: string }; status?: { phase?: string } };

async function operatorPod(kube: Kube, namespace: string): Promise<string> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?labelSelector=${encodeURIComponent(OPERATOR_PODS)}`;
  const pods = (await kube.get<{ items: Pod[] }>(path))?.items ?? [];
  const running = pods.find(({ metadata, status }) => status?.phase === 'Running' && metadata.deletionTimestamp === undefined);
  if (running !== undefined) return running.metadata.name;
  throw new CommandError(
    `no pod of the operator (${OPERATOR_PODS}) runs in ${namespace}: start one (it needs no etcd for that), or see --here in kubectl holdfast recover --help`,
  );
}

const option = (name: string, value: string | undefined): string[] => (value === undefined ? [] : [name, value]);

/** What it prints and how it ends is the program's own. */
export async function recover({ kube }: Pick<Surroundings, 'kube'>, options: RecoverOptions, access: Access): Promise<void> {
  const words = wordsOf(options, access.output);
  const { kubeconfig, context, namespace } = access;
  if (options.here) {
    return end(await programDone('node', [PROGRAM, ...words], kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig }));
  }
  const pod = await operatorPod(kube, namespace);
  const reach = [...option('--kubeconfig', kubeconfig), ...option('--context', context), '--namespace', namespace];
  end(await programDone('kubectl', [...reach, 'exec', pod, '--', 'node', PROGRAM, ...words], {}));
}

function end(exitCode: number): void {
  process.exitCode = exitCode;
}
