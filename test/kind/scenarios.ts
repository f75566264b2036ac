/** What must hold in a real cluster, each from nothing to nothing: claims, snapshots, growing, upgrades, nodes that die and nodes that freeze. */
import { sleep } from '../../edge/timers.ts';
import { acknowledged, apply, example, kubectl, lines, power, runningPod, until } from './world.ts';

export type Scenario = { name: string; run(): Promise<string> };

const BOUND_SECONDS = 90;
/** At a grace period of 10 s for nodes (up.sh). */
const RETURN_SECONDS_MAX = 30;
const CLAIMS = 200;
const CLAIMS_SECONDS_MAX = 60;
const KILLS = Number(process.env.KILLS || '1');

const seconds = (value: number): string => `${value.toFixed(1)} s`;

async function writer(): Promise<{ name: string; node: string }> {
  await apply(example('storageclass.yaml'));
  await apply(`${example('claim.yaml').split('---')[0]}---\n${example('deployment.yaml')}`);
  await until('the writer runs', BOUND_SECONDS, async () => (await runningPod('writer')) !== null);
  const pod = await runningPod('writer');
  if (pod === null) throw new Error('the writer is gone again');
  await until('it writes', BOUND_SECONDS, async () => (await acknowledged(pod.name)) > 10);
  return pod;
}

async function removeWriter(): Promise<void> {
  await kubectl('delete', 'deployment/writer', 'pvc/data', '--ignore-not-found', '--timeout=90s');
  await nothingLeft();
}

const nothingLeft = (): Promise<number> =>
  until('volumes and snapshots are deleted', BOUND_SECONDS, async () => (await kubectl('get', 'hv,hs', '-o', 'name')) === '');

async function allWell(): Promise<void> {
  await until('all nodes are ready and carry no taint of ours', BOUND_SECONDS, async () => {
    const taints = await kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints[*].key}');
    const ready = await kubectl('get', 'hn', '-o', 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}');
    return !taints.includes('out-of-service') && !taints.includes('unreachable') && ready.split(' ').every((one) => one === 'True');
  });
  await until('all volumes are healthy', BOUND_SECONDS, async () =>
    /^(Healthy ?)*$/.test(await kubectl('get', 'hv', '-o', 'jsonpath={.items[*].status.phase}')),
  );
}

/** Seconds until it writes on elsewhere; every acknowledged line must be there. */
async function lose(action: 'kill' | 'freeze'): Promise<{ node: string; seconds: number }> {
  const before = await runningPod('writer');
  if (before === null) throw new Error('nobody writes');
  const told = await acknowledged(before.name);
  await power(action, before.node);
  const took = await until(`the pod of ${before.node} runs elsewhere`, BOUND_SECONDS, async () => {
    const now = await runningPod('writer');
    return now !== null && now.node !== before.node && (await acknowledged(now.name)) > 0;
  });
  const now = await runningPod('writer');
  const found = await lines(now?.name ?? '');
  if (found < told) throw new Error(`${told} lines were acknowledged, ${found} are there`);
  return { node: before.node, seconds: took };
}

async function claim(): Promise<string> {
  await apply(example('storageclass.yaml'));
  const begunMs = performance.now();
  await apply(example('claim.yaml'));
  const bound = await until(
    'bound',
    BOUND_SECONDS,
    async () => (await kubectl('get', 'pvc/data', '-o', 'jsonpath={.status.phase}')) === 'Bound',
  );
  await kubectl('wait', '--for=condition=Ready', 'pod/writer', `--timeout=${BOUND_SECONDS}s`);
  const runs = (performance.now() - begunMs) / 1_000;
  await until('it writes', BOUND_SECONDS, async () => (await acknowledged('writer')) > 5);
  return `bound after ${seconds(bound)}, the pod ready after ${seconds(runs)}`;
}

async function snapshots(): Promise<string> {
  await claim();
  await kubectl('wait', '--for=condition=Ready', 'pod/writer', `--timeout=${BOUND_SECONDS}s`);
  const before = await acknowledged('writer');
  await apply(example('snapshot.yaml'));
  const taken = await until(
    'the snapshot is ready',
    BOUND_SECONDS,
    async () => (await kubectl('get', 'volumesnapshot/data-now', '-o', 'jsonpath={.status.readyToUse}')) === 'true',
  );
  await apply(example('restore.yaml'));
  await apply(example('clone.yaml'));
  for (const pod of ['reader-of-restored', 'reader-of-clone']) {
    await kubectl('wait', '--for=condition=Ready', `pod/${pod}`, `--timeout=${BOUND_SECONDS}s`);
    const found = await lines(pod);
    if (found < before) throw new Error(`${pod}: ${before} lines were acknowledged before, ${found} are there`);
  }
  await kubectl('delete', 'pod/writer', 'pod/reader-of-restored', 'pod/reader-of-clone', '--timeout=90s');
  await kubectl('delete', 'pvc/restored', 'pvc/clone', 'volumesnapshot/data-now', 'pvc/data', '--timeout=90s');
  await nothingLeft();
  return `taken in ${seconds(taken)} under a pod that writes, restored and cloned`;
}

async function grow(): Promise<string> {
  const pod = await writer();
  await kubectl('patch', 'pvc/data', '--type=merge', '-p', '{"spec":{"resources":{"requests":{"storage":"3Gi"}}}}');
  const size = async () => Number((await kubectl('exec', pod.name, '--', 'df', '-k', '--output=size', '/data')).split('\n')[1]);
  const took = await until('the file system has grown', BOUND_SECONDS * 2, async () => (await size()) > 2.5 * 1024 ** 2);
  await apply(example('block.yaml'));
  await kubectl('wait', '--for=condition=Ready', 'pod/raw', `--timeout=${BOUND_SECONDS}s`);
  await kubectl('patch', 'pvc/raw', '--type=merge', '-p', '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}');
  const raw = await until(
    'the device has grown',
    BOUND_SECONDS * 2,
    async () => (await kubectl('exec', 'raw', '--', 'blockdev', '--getsize64', '/dev/disk')) === `${2 * 1024 ** 3}`,
  );
  await lines(pod.name);
  await kubectl('delete', 'pod/raw', 'pvc/raw', '--timeout=90s');
  await removeWriter();
  return `a file system in use after ${seconds(took)}, a block device after ${seconds(raw)}`;
}

/** What an upgrade does, one node after the other, while a pod writes. */
async function upgrade(): Promise<string> {
  const pod = await writer();
  await kubectl('-n', 'holdfast-system', 'rollout', 'restart', 'daemonset/holdfast-agent', 'deployment/holdfast-operator');
  for (const what of ['daemonset/holdfast-agent', 'deployment/holdfast-operator'])
    await kubectl('-n', 'holdfast-system', 'rollout', 'status', what, '--timeout=300s');
  const before = await acknowledged(pod.name);
  await until('it writes on', BOUND_SECONDS, async () => (await acknowledged(pod.name)) > before + 10);
  const now = await runningPod('writer');
  if (now?.name !== pod.name) throw new Error('the pod did not survive');
  const found = await lines(pod.name);
  await allWell();
  await removeWriter();
  return `every agent and operator replaced, ${found} lines, none missing, no error`;
}

async function kill(): Promise<string> {
  await writer();
  const times: number[] = [];
  for (let round = 0; round < KILLS; round++) {
    const lost = await lose('kill');
    times.push(lost.seconds);
    await power('start', lost.node);
    await allWell();
  }
  await removeWriter();
  const worst = Math.max(...times);
  if (worst > RETURN_SECONDS_MAX) throw new Error(`the pod was back after ${seconds(worst)}, ${RETURN_SECONDS_MAX} s are wanted`);
  return `${KILLS} nodes killed, the pod was back elsewhere after ${times.map(seconds).join(', ')}, every acknowledged line there`;
}

async function freeze(): Promise<string> {
  await writer();
  const lost = await lose('freeze');
  await power('thaw', lost.node);
  // Its writer wakes with a volume that is elsewhere: what it still writes goes nowhere.
  await allWell();
  await sleep(5_000);
  const now = await runningPod('writer');
  const found = await lines(now?.name ?? '');
  await removeWriter();
  return `elsewhere after ${seconds(lost.seconds)}; thawed, ${found} lines of one writer alone`;
}

function replaced(text: string, what: string, by: string): string {
  if (!text.includes(what)) throw new Error(`the example says nothing of ${what}`);
  return text.replace(what, by);
}

async function claims(): Promise<string> {
  await apply(example('storageclass.yaml'));
  const one = example('claim.yaml').split('---')[0] ?? '';
  const begunMs = performance.now();
  // Small: the pools of three nodes could not promise two hundred of a GiB each, and rightly would not.
  const named = (index: number): string =>
    replaced(replaced(one, '{ name: data }', `{ name: many-${index}, labels: { many: 'yes' } }`), 'storage: 1Gi', 'storage: 128Mi');
  await apply(Array.from({ length: CLAIMS }, (_, index) => named(index)).join('---\n'));
  const bound = () => kubectl('get', 'pvc', '-l', 'many=yes', '-o', 'jsonpath={.items[*].status.phase}');
  await until(
    `${CLAIMS} claims are bound`,
    CLAIMS_SECONDS_MAX * 3,
    async () => (await bound()).split(' ').filter((phase) => phase === 'Bound').length === CLAIMS,
  );
  const took = (performance.now() - begunMs) / 1_000;
  const volumes = (await kubectl('get', 'pvc', '-l', 'many=yes', '-o', 'jsonpath={.items[*].spec.volumeName}')).split(' ');
  const made = (await kubectl('get', 'hv', '-o', 'name')).split('\n').length;
  if (new Set(volumes).size !== CLAIMS || made !== CLAIMS)
    throw new Error(`${new Set(volumes).size} volumes are bound, ${made} were made, of ${CLAIMS}`);
  await kubectl('delete', 'pvc', '-l', 'many=yes', '--timeout=300s');
  await until('all are deleted', 300, async () => (await kubectl('get', 'hv', '-o', 'name')) === '');
  if (took > CLAIMS_SECONDS_MAX) throw new Error(`${CLAIMS} claims were bound after ${seconds(took)}, ${CLAIMS_SECONDS_MAX} s are wanted`);
  return `${CLAIMS} at once, bound after ${seconds(took)}, none twice`;
}

async function claimAlone(): Promise<string> {
  const figures = await claim();
  await kubectl('delete', 'pod/writer', 'pvc/data', '--timeout=90s');
  await nothingLeft();
  return figures;
}

export const scenarios: readonly Scenario[] = [
  { name: 'claim', run: claimAlone },
  { name: 'snapshots', run: snapshots },
  { name: 'grow', run: grow },
  { name: 'upgrade', run: upgrade },
  { name: 'kill', run: kill },
  { name: 'freeze', run: freeze },
  { name: 'claims', run: claims },
];
