/** What people do with a cluster that is in use: drain a node, upgrade and go back, let certificates be renewed; and remove it all. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { acknowledged, kubectl, lines, run, runningPod, until } from './world.ts';
import { allWell, BOUND_SECONDS, nothingLeft, removeWriter, seconds, writer } from './writer.ts';

const HERE = import.meta.dirname;
const NAMESPACE = 'holdfast-system';
const ROLLED_SECONDS = 420;
/** Two thirds of the life that values.yaml gives certificates here, and the looks of all who take them up. */
const RENEWED_SECONDS = 420;
const COMPONENTS = ['agent', 'operator', 'signer', 'etcd'];

const inHoldfast = (...words: string[]): Promise<string> => kubectl('-n', NAMESPACE, ...words);
const script = (name: string, ...words: string[]): string =>
  execFileSync(path.join(HERE, name), words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

/** The very pod that wrote before writes on, and has all its lines. */
async function writesOn(pod: { name: string }): Promise<number> {
  const before = await acknowledged(pod.name);
  await until('it writes on', BOUND_SECONDS, async () => (await acknowledged(pod.name)) > before + 10);
  const now = await runningPod('writer');
  if (now?.name !== pod.name) throw new Error('the pod did not survive');
  return lines(pod.name);
}

/** Every agent and operator is made anew, nothing else changes. */
export async function restart(): Promise<string> {
  const pod = await writer();
  await inHoldfast('rollout', 'restart', 'daemonset/holdfast-agent', 'deployment/holdfast-operator');
  for (const what of ['daemonset/holdfast-agent', 'deployment/holdfast-operator'])
    await inHoldfast('rollout', 'status', what, `--timeout=${ROLLED_SECONDS}s`);
  const found = await writesOn(pod);
  await allWell();
  await removeWriter();
  return `every agent and operator replaced, ${found} lines, none missing, no error`;
}

/**
 * From the version before to this one, back, and here again, each by helm alone, under one pod that writes. It begins with a store that the version before has made: what is
 * new begins with a schema of etcd that it refuses.
 */
export async function upgrade(): Promise<string> {
  await removeAll();
  script('previous.sh');
  script('deploy.sh', '--previous');
  const pod = await writer();
  const found: number[] = [];
  for (const step of [
    () => script('deploy.sh'),
    () => script('helm.sh', 'rollback', 'holdfast', '--namespace', NAMESPACE, '--wait=legacy', '--timeout', '6m'),
    () => script('deploy.sh'),
  ]) {
    step();
    found.push(await writesOn(pod));
    await allWell();
  }
  await removeWriter();
  return `to this version, back, and here again: ${found.join(', ')} lines, none missing, no error`;
}

/** A node is emptied for work on it and comes back; its replicas are not made anew elsewhere, and nobody is called. */
export async function drain(): Promise<string> {
  const pod = await writer();
  await kubectl('patch', 'hn', pod.node, '--type=merge', '-p', '{"spec":{"maintenance":true}}');
  await kubectl('drain', pod.node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=180s', '--pod-selector=app=writer');
  const took = await until(
    'the pod runs elsewhere',
    BOUND_SECONDS,
    async () => ((await runningPod('writer'))?.node ?? pod.node) !== pod.node,
  );
  const now = await runningPod('writer');
  const found = await lines(now?.name ?? '');
  const status = await kubectl('get', 'hn', pod.node, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}');
  await kubectl('uncordon', pod.node);
  await kubectl('patch', 'hn', pod.node, '--type=merge', '-p', '{"spec":{"maintenance":false}}');
  await allWell();
  await removeWriter();
  return `drained in maintenance (${status}); elsewhere ${seconds(took)} after its pod was gone, ${found} lines, none missing`;
}

/** How many certificates each agent and operator has taken up while it ran. */
async function renewals(): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const [component, container] of [
    ['agent', 'agent'],
    ['operator', 'operator'],
  ] as const) {
    const pods = await inHoldfast(
      'get',
      'pods',
      '-l',
      `app.kubernetes.io/component=${component}`,
      '-o',
      'jsonpath={.items[*].metadata.name}',
    );
    for (const pod of pods.split(' '))
      counts.set(pod, (await inHoldfast('logs', pod, '-c', container)).split('certificate renewed').length - 1);
  }
  return counts;
}

/** Certificates live five minutes here (values.yaml): everybody gets a new one while a pod writes. */
export async function certificates(): Promise<string> {
  const pod = await writer();
  const before = await renewals();
  const took = await until('every agent and operator has a new certificate', RENEWED_SECONDS, async () => {
    const now = await renewals();
    return [...before].every(([name, count]) => (now.get(name) ?? 0) > count);
  });
  const found = await writesOn(pod);
  await allWell();
  await removeWriter();
  return `all ${before.size} took up a new certificate within ${seconds(took)}, ${found} lines, none missing, no error`;
}

/** What of Holdfast an API server may still have; the namespace was not made by helm. */
async function leftInKubernetes(): Promise<string[]> {
  const ours = (text: string): string[] => text.split('\n').filter((name) => name.includes('holdfast'));
  const cluster =
    'clusterroles,clusterrolebindings,crds,csidrivers,storageclasses,volumesnapshotclasses,priorityclasses,csr,validatingadmissionpolicies';
  const own = 'all,secrets,configmaps,serviceaccounts,roles,rolebindings,leases,pdb,networkpolicies,pvc';
  return [...ours(await kubectl('get', cluster, '-o', 'name')), ...ours(await inHoldfast('get', own, '-o', 'name'))];
}

/** Directories, mounts, processes and devices of ours on a node; the pool itself is the disk that people gave. */
const LEFT_ON_NODE =
  'ls -d /run/holdfast /run/holdfast-holder /var/lib/kubelet/plugins/csi.holdfast.dev /var/lib/kubelet/plugins_registry/csi.holdfast.dev* /var/lib/holdfast-etcd 2> /dev/null; ' +
  'grep -o "[^ ]*csi.holdfast.dev[^ ]*" /proc/mounts; pgrep -fl "nbdfus[e]|nbdki[t]|agent/main[.]ts|holder/main[.]ts"; ' +
  'find /var/lib/holdfast/pool -mindepth 1 -type f | head -5; true';

async function removeAll(): Promise<void> {
  await nothingLeft();
  await kubectl('delete', 'storageclass/holdfast-three-copies', '--ignore-not-found'); // an example's
  script('helm.sh', 'uninstall', 'holdfast', '--namespace', NAMESPACE, '--wait', '--timeout', '3m');
  await until('nothing is left in the API server', BOUND_SECONDS, async () => (await leftInKubernetes()).length === 0).catch(async () => {
    throw new Error(`left in the API server: ${(await leftInKubernetes()).join(', ')}`);
  });
  for (const node of (await kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}')).split(' ')) {
    const found = await run('docker', ['exec', node, 'bash', '-c', LEFT_ON_NODE]);
    if (found !== '') throw new Error(`left on ${node}: ${found.replaceAll('\n', ', ')}`);
  }
}

export async function uninstall(): Promise<string> {
  await removeAll();
  return `nothing is left of ${COMPONENTS.join(', ')}, neither in the API server nor on a node`;
}
