/**
 * Ends a Holdfast that nobody uses any more, in the order in which each part can still be told goodbye, and takes away what Helm does not know of. Must never go on while there is a volume
 * or a snapshot, nor touch what it was not told by name, by our signer's name, or by our driver's Lease. A crash in between: run again, what is gone is gone.
 */
import type { UninstallParameters } from './settings.ts';

export type KubeItem = { metadata: { name: string }; spec?: { signerName?: string; nodeName?: string }; status?: Record<string, unknown> };

export type UninstallPorts = {
  /** Empty where the kind is not known. */
  list(path: string): Promise<KubeItem[]>;
  /** Null: it is not there. */
  get(path: string): Promise<KubeItem | null>;
  /** Absence is no error. */
  remove(path: string): Promise<void>;
  monotonicMs(): number;
  sleep(ms: number): Promise<void>;
  say(sentence: string): void;
};

/** People read it, and run Helm again. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

const OURS = '/apis/holdfast.dev/v1alpha1';
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
/** An agent may take half a minute to let go, and the kubelet to notice. */
const PODS_MS = 90_000;
const NODES_MS = 45_000;
const CLEAN_MS = 60_000;
const LOOK_MS = 500;
const NAMED_MAX = 5;
/** As the sidecars and the operators call theirs. */
const LEASE = /(^|[.-])holdfast[.-]dev$/;

const namesOf = (items: readonly KubeItem[]): string => {
  const more = items.length - NAMED_MAX;
  const named = items.slice(0, NAMED_MAX).map(({ metadata }) => metadata.name);
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
};

/** Those that are left after the bound; none: it came to an end. */
async function untilNone(ports: UninstallPorts, boundMs: number, find: () => Promise<KubeItem[]>): Promise<KubeItem[]> {
  const untilMs = ports.monotonicMs() + boundMs;
  for (;;) {
    const left = await find();
    if (left.length === 0 || ports.monotonicMs() >= untilMs) return left;
    await ports.sleep(LOOK_MS);
  }
}

async function refuseWhileUsed(ports: UninstallPorts): Promise<void> {
  for (const [kind, advice] of [
    ['volumes', 'delete the claims that use them'],
    ['snapshots', 'delete the VolumeSnapshots'],
  ] as const) {
    const found = await ports.list(`${OURS}/${kind}`);
    if (found.length > 0)
      throw new Refused(`there are still ${kind}: ${namesOf(found)}; ${advice}, or keep everything (crds.keep=true), and uninstall again`);
  }
}

async function endPods(ports: UninstallPorts, parameters: UninstallParameters, components: readonly string[]): Promise<void> {
  const selector = `app.kubernetes.io/instance=${parameters.release},app.kubernetes.io/component in (${components.join(',')})`;
  const path = `/api/v1/namespaces/${parameters.namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  const left = await untilNone(ports, PODS_MS, () => ports.list(path));
  // Of a node that is dead nobody will ever say that they have ended.
  if (left.length > 0) ports.say(`these pods have not ended, and are not waited for: ${namesOf(left)}`);
}

async function removeNodes(ports: UninstallPorts): Promise<void> {
  const path = `${OURS}/storagenodes`;
  for (const { metadata } of await ports.list(path)) await ports.remove(`${path}/${metadata.name}`);
  const left = await untilNone(ports, NODES_MS, () => ports.list(path));
  if (left.length > 0) throw new Refused(`these StorageNodes cannot go yet: ${namesOf(left)}; kubectl describe storagenodes says why`);
}

export async function stop(parameters: UninstallParameters, ports: UninstallPorts): Promise<void> {
  const { namespace, daemonSets, deployments, statefulSets, secrets, configMaps, signerName } = parameters;
  const removeAll = async (group: string, kind: string, names: readonly string[]): Promise<void> => {
    for (const name of names) await ports.remove(`${group}/namespaces/${namespace}/${kind}/${name}`);
  };
  await refuseWhileUsed(ports);
  ports.say('no volume is left: agents and holders end');
  await removeAll('/apis/apps/v1', 'daemonsets', daemonSets);
  await endPods(ports, parameters, ['agent', 'holder']);
  // The operators still run: they alone let a StorageNode go, when its agent has.
  await removeNodes(ports);
  await refuseWhileUsed(ports);
  ports.say('no StorageNode is left: operators, signer and etcd end');
  await removeAll('/apis/apps/v1', 'deployments', deployments);
  await removeAll('/apis/apps/v1', 'statefulsets', statefulSets);
  await endPods(ports, parameters, ['operator', 'signer', 'etcd']);
  // Nobody is left who would make them anew.
  await removeAll('/api/v1', 'secrets', secrets);
  await removeAll('/api/v1', 'configmaps', configMaps);
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  for (const { metadata } of await ports.list(leases)) if (LEASE.test(metadata.name)) await ports.remove(`${leases}/${metadata.name}`);
  for (const { metadata, spec } of await ports.list(REQUESTS))
    if (spec?.signerName === signerName) await ports.remove(`${REQUESTS}/${metadata.name}`);
}

/** Until the cleaner has done its work on every node; those that do not answer keep what they have. */
export async function waitForCleaner({ namespace, cleaner }: UninstallParameters, ports: UninstallPorts): Promise<void> {
  const untilMs = ports.monotonicMs() + CLEAN_MS;
  for (;;) {
    const found = await ports.get(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${cleaner}`);
    const { desiredNumberScheduled: wanted = 0, numberReady: ready = 0 } = (found?.status ?? {}) as Record<string, number>;
    if (wanted > 0 && ready >= wanted) return ports.say(`${ready} nodes are clean`);
    if (ports.monotonicMs() >= untilMs) return ports.say(`${ready} of ${wanted} nodes are clean; the others are not waited for`);
    await ports.sleep(LOOK_MS);
  }
}
