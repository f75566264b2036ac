/** What people do with claims: make, snapshot, restore, clone, grow, and two hundred at once. */
import { acknowledged, apply, example, kubectl, lines, until } from './world.ts';
import { BOUND_SECONDS, nothingLeft, removeWriter, seconds, writer } from './writer.ts';

const CLAIMS = 200;
const CLAIMS_SECONDS_MAX = 60;

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

export async function snapshots(): Promise<string> {
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

export async function grow(): Promise<string> {
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

function replaced(text: string, what: string, by: string): string {
  if (!text.includes(what)) throw new Error(`the example says nothing of ${what}`);
  return text.replace(what, by);
}

export async function claims(): Promise<string> {
  await apply(example('storageclass.yaml'));
  const one = example('claim.yaml').split('---')[0] ?? '';
  const begunMs = performance.now();
  // Small: the pools of three nodes could not promise two hundred of a GiB each, and rightly would not.
  const named = (index: number): string =>
    replaced(replaced(one, '{ name: data }', `{ name: many-${index}, labels: { many: 'yes' } }`), 'storage: 1Gi', 'storage: 128Mi');
  await apply(Array.from({ length: CLAIMS }, (_, index) => named(index)).join('---\n'));
  // One program that watches: asking four times a second would take a fifth of the machine from what is measured.
  await kubectl('wait', 'pvc', '-l', 'many=yes', '--for=jsonpath={.status.phase}=Bound', `--timeout=${CLAIMS_SECONDS_MAX * 3}s`);
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

export async function claimAlone(): Promise<string> {
  const figures = await claim();
  await kubectl('delete', 'pod/writer', 'pvc/data', '--timeout=90s');
  await nothingLeft();
  return figures;
}
