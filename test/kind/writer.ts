/** A pod that writes line after line and says which are on disk; what scenarios ask of it, and of the cluster when it is gone. */
import { acknowledged, apply, example, kubectl, runningPod, until } from './world.ts';

export const BOUND_SECONDS = 90;
export const seconds = (value: number): string => `${value.toFixed(1)} s`;

export async function writer(): Promise<{ name: string; node: string }> {
  await apply(example('storageclass.yaml'));
  await apply(`${example('claim.yaml').split('---')[0]}---\n${example('deployment.yaml')}`);
  await until('the writer runs', BOUND_SECONDS, async () => (await runningPod('writer')) !== null);
  const pod = await runningPod('writer');
  if (pod === null) throw new Error('the writer is gone again');
  await until('it writes', BOUND_SECONDS, async () => (await acknowledged(pod.name)) > 10);
  return pod;
}

export async function removeWriter(): Promise<void> {
  await kubectl('delete', 'deployment/writer', 'pvc/data', '--ignore-not-found', '--timeout=90s');
  await nothingLeft();
}

export const nothingLeft = (): Promise<number> =>
  until('volumes and snapshots are deleted', BOUND_SECONDS, async () => (await kubectl('get', 'hv,hs', '-o', 'name')) === '');

export async function allWell(): Promise<void> {
  await until('all nodes are ready and carry no taint of ours', BOUND_SECONDS, async () => {
    const taints = await kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints[*].key}');
    const ready = await kubectl('get', 'hn', '-o', 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}');
    return !taints.includes('out-of-service') && !taints.includes('unreachable') && ready.split(' ').every((one) => one === 'True');
  });
  await until('all volumes are healthy', BOUND_SECONDS, async () =>
    /^(Healthy ?)*$/.test(await kubectl('get', 'hv', '-o', 'jsonpath={.items[*].status.phase}')),
  );
}
